"""FSDP2: weights, gradients, states and average of a run, sharded over its devices.

Every block is one group, gathered for its forward and its backward pass and freed after each; the
rest of the three networks is one more group, which stays gathered from the forward pass to the end
of the backward pass. Frozen parts are sharded too. Lightning's ModelParallelStrategy does the rest,
except for checkpoints: one file per rank (``models.weights.sharded``), which loads in any number of
processes, as a checkpoint of one process loads here.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from models.blocks import STBlock
from models.viton_dit import VitonDiT
from models.weights.files import read_torch_file
from models.weights.sharded import INDEX, MARK, Rows, is_sharded, rank_file, read_rows
from training.distributed.ranks import local

_METHODS = ("encode_caption", "encode_garment", "control_residuals")
"""Entry points of the network other than ``forward``."""


def shard_network(network: VitonDiT, mesh: DeviceMesh) -> None:
    """Shard every parameter over a mesh of one axis; names are unchanged."""
    for block in network.modules():
        if isinstance(block, STBlock):
            fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for method in _METHODS:
        register_fsdp_forward_method(network, method)


def is_network_sharded(network: nn.Module) -> bool:
    """Whether ``shard_network`` was applied."""
    return isinstance(network, FSDPModule)


def drop_gathered(network: nn.Module) -> None:
    """Free parameters left gathered by a forward pass without a backward pass.

    Call it before parameters are written: a gathered copy would keep the old values.
    """
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def like(part: Tensor, parameter: Tensor) -> Tensor:
    """This rank's rows as a tensor sharded like the parameter; plain if the parameter is."""
    if not isinstance(parameter, DTensor):
        return part
    return DTensor.from_local(
        part, parameter.device_mesh, parameter.placements, run_check=False,
        shape=parameter.shape, stride=parameter.stride(),
    )  # fmt: skip


def take_part(stored: Tensor | Rows, parameter: Tensor) -> Tensor:
    """This rank's rows of a stored tensor, for a parameter of that shape; a plain tensor."""
    if not isinstance(parameter, DTensor):
        return stored.whole() if isinstance(stored, Rows) else stored
    size, mesh = parameter.shape[0], parameter.device_mesh
    chunk = -(-size // mesh.size())
    start = min(mesh.get_local_rank() * chunk, size)
    stop = min(start + chunk, size)
    rows = stored.between(start, stop) if isinstance(stored, Rows) else stored[start:stop]
    return rows.to(local(parameter).device)


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all devices, with checkpoints that load in any number of processes."""

    def __init__(self, num_devices: int, timeout: timedelta) -> None:
        super().__init__(data_parallel_size=num_devices, tensor_parallel_size=1, timeout=timeout)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning restore optimizer states, as with any other strategy."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Every parameter, sharded."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's own state dict: numbered parameters, sharded moments."""
        return getattr(optimizer, "_optimizer", optimizer).state_dict()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """Write this rank's file; the first rank's also holds everything unsharded."""
        folder = Path(self.broadcast(str(filepath)))
        if self.global_rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
        self.barrier()
        shards: dict[str, Tensor] = {}
        content = _without_shards(checkpoint, "", shards)
        held = {"shards": shards} | ({"content": content} if self.global_rank == 0 else {})
        torch.save(held, rank_file(folder, self.global_rank))
        self.barrier()
        if self.global_rank == 0:
            files = [rank_file(folder, rank) for rank in range(self.world_size)]
            sizes = {file.name: file.stat().st_size for file in files}
            (folder / INDEX).write_text(json.dumps({"bytes": sizes}, indent=1), encoding="utf-8")
        self.barrier()

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Open a folder, or the file of an unsharded run; nothing is assembled yet."""
        path = Path(self.broadcast(str(checkpoint_path)))
        return read_rows(path) if is_sharded(path) else read_torch_file(path)

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this rank's rows of every tensor."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        stored = checkpoint["state_dict"]
        if own.keys() != stored.keys():
            raise ValueError(f"keys differ: {sorted(own.keys() ^ stored.keys())[:5]}")
        for name, tensor in own.items():
            if stored[name] is not tensor:
                local(tensor).copy_(take_part(stored[name], tensor))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this rank's rows of the optimizer's moments."""
        for optimizer, stored in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = {
                number: {name: _moment(value, parameters[number]) for name, value in values.items()}
                for number, values in stored["state"].items()
            }
            optimizer.load_state_dict({**stored, "state": state})


def _moment(value: Any, parameter: Tensor) -> Any:
    """A moment of a parameter's shape is sharded like it; a step count is a scalar."""
    if isinstance(value, Rows) or (isinstance(value, Tensor) and value.shape == parameter.shape):
        return like(take_part(value, parameter), parameter)
    return value


def _without_shards(value: Any, key: str, shards: dict[str, Tensor]) -> Any:
    """Copy containers, replacing every sharded tensor by a marker; its rows go into ``shards``."""
    if isinstance(value, DTensor):
        shards[key] = local(value).detach()
        return f"{MARK}{key}"
    if isinstance(value, Mapping):
        return {k: _without_shards(v, f"{key}/{k}", shards) for k, v in value.items()}
    if isinstance(value, list | tuple):
        made = [_without_shards(v, f"{key}/{i}", shards) for i, v in enumerate(value)]
        return made if isinstance(value, list) else tuple(made)
    return value
