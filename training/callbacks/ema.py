"""An exponential moving average of the trainable weights, stored under the checkpoint key ``ema``.

``device: cpu`` keeps it in host memory: saves 4 bytes per trainable parameter on the GPU, at the
cost of copying the trainable weights at every optimizer step. Sharded weights have a sharded
average: every rank keeps its own rows.

Written here because Lightning's ``EMAWeightAveraging`` fails under FSDP2 (seen with 2.6.6).
"""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from models.weights.sharded import Rows
from training.callbacks.each_step import EachStep
from training.config import EmaConfig
from training.distributed.ranks import local
from training.distributed.sharding import drop_gathered, like, take_part


class Ema(EachStep):
    """Averages ``module.network`` after every optimizer step; validation uses the average."""

    def __init__(self, config: EmaConfig) -> None:
        super().__init__()
        self.config = config
        self.shadow: dict[str, Tensor] = {}  # this rank's rows
        self._stored: dict[str, Tensor | Rows] = {}  # of a checkpoint
        self._raw: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the current weights, or from a checkpoint's average."""
        super().on_train_start(trainer, pl_module)
        for name, parameter in _network(pl_module).named_parameters():
            if parameter.requires_grad:
                start = local(parameter.detach())
                if name in self._stored:
                    start = take_part(self._stored[name], parameter)
                self.shadow[name] = start.to(self._home(parameter), torch.float32, copy=True)
        self._stored = {}

    @torch.no_grad()
    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Update the average."""
        step = trainer.global_step
        decay = min(self.config.decay, (1 + step) / (10 + step))
        for name, parameter in _network(pl_module).named_parameters():
            if name in self.shadow:
                average = self.shadow[name]
                average.lerp_(local(parameter.detach()).to(average), 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the average in."""
        network = _network(pl_module)
        self._raw = {name: local(p.detach()).to(self._home(p), copy=True)
                     for name, p in network.named_parameters() if name in self.shadow}  # fmt: skip
        _write(network, self.shadow)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the raw weights."""
        network = _network(pl_module)
        drop_gathered(network)
        if self._raw is not None:
            _write(network, self._raw)
        self._raw = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the whole averaged state; frozen tensors are shared with the raw state."""
        prefix = "network."
        raw = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()
               if name.startswith(prefix)}  # fmt: skip
        parameters = dict(_network(pl_module).named_parameters())
        averaged = {name: like(value, parameters[name]) for name, value in self.shadow.items()}
        checkpoint["ema"] = {name: averaged.get(name, value) for name, value in raw.items()}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Load the stored average when the run resumes."""
        self._stored = dict(checkpoint.get("ema") or {})

    def _home(self, parameter: Tensor) -> torch.device:
        """The device of a parameter's average."""
        return torch.device("cpu") if self.config.device == "cpu" else parameter.device


def _network(pl_module: LightningModule) -> nn.Module:
    network = pl_module.network
    assert isinstance(network, nn.Module)
    return network


@torch.no_grad()
def _write(network: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in network.named_parameters():
        if name in values:
            local(parameter).copy_(values[name])
