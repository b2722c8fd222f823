"""How many processes a run has, and how they share a step.

One process a device. They are started by Lightning (``trainer.devices``), by torchrun, or by Slurm
(srun, one task a device); the latter two say themselves how many there are. The global batch, what
one optimizer step sees, stays as it is when their number changes: micro-batches make up for it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy

from configs.errors import ConfigError
from training.config import TrainConfig, TrainerConfig
from training.distributed.sharding import ShardedStrategy

PATIENCE = timedelta(minutes=30)
"""That ranks wait for each other: one may be validating, or reading a checkpoint of 30 GB."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Processes of a run, and who started them."""

    devices: int  # of one node
    num_nodes: int
    launcher: str

    @property
    def size(self) -> int:
        """All processes."""
        return self.devices * self.num_nodes


def find_world(machine: TrainerConfig, environ: Mapping[str, str] | None = None) -> World:
    """What the launcher says, or else the settings.

    Raises:
        ConfigError: the settings ask for other numbers than the launcher started.
    """
    names = os.environ if environ is None else environ
    world = World(devices=machine.devices, num_nodes=machine.num_nodes, launcher="trainer")
    if "TORCHELASTIC_RUN_ID" in names:
        local, every = int(names["LOCAL_WORLD_SIZE"]), int(names["WORLD_SIZE"])
        world = World(devices=local, num_nodes=every // local, launcher="torchrun")
    elif is_slurm(names):
        nodes = int(names.get("SLURM_NNODES", names.get("SLURM_JOB_NUM_NODES", "1")))
        world = World(devices=int(names["SLURM_NTASKS"]) // nodes, num_nodes=nodes,
                      launcher="Slurm")  # fmt: skip
    for name in ("devices", "num_nodes"):
        asked, found = getattr(machine, name), getattr(world, name)
        if asked not in (1, found):
            raise ConfigError(
                f"trainer.{name} is {asked}, and {world.launcher} started {found}; "
                f"leave it out, or start as many"
            )
    return world


def is_slurm(names: Mapping[str, str] | None = None) -> bool:
    """Whether srun started this process as one of its tasks (not an interactive shell)."""
    given = os.environ if names is None else names
    return (
        "SLURM_NTASKS" in given
        and "SLURM_PROCID" in given
        and given.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    )


def launched_rank() -> int:
    """This process's number before the ranks have met; Lightning's own processes have a local one.

    The first process of every node where several nodes are started by hand.
    """
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def settle(config: TrainConfig, world: World) -> TrainConfig:
    """The settings with the world's numbers, and with the micro-batches that it needs.

    Raises:
        ConfigError: ``trainer.global_batch`` cannot be divided so.
    """
    machine, rows = config.trainer, config.data.batch_size
    accumulate = machine.accumulate
    if machine.global_batch:
        accumulate, rest = divmod(machine.global_batch, rows * world.size)
        if rest or not accumulate:
            raise ConfigError(
                f"trainer.global_batch is {machine.global_batch}, which {world.size} "
                f"{'devices' if world.size > 1 else 'device'} of data.batch_size {rows} cannot "
                f"share; a multiple of {rows * world.size} is expected"
            )
    settled = replace(
        machine, devices=world.devices, num_nodes=world.num_nodes, accumulate=accumulate
    )
    return replace(config, trainer=settled)


def global_batch(config: TrainConfig) -> int:
    """Windows that one optimizer step sees, of settled settings."""
    machine = config.trainer
    return config.data.batch_size * machine.accumulate * machine.devices * machine.num_nodes


def build_strategy(machine: TrainerConfig) -> Strategy | str:
    """What Lightning is given."""
    size = machine.devices * machine.num_nodes
    if machine.strategy == "fsdp2":
        return ShardedStrategy(size, timeout=PATIENCE)
    if machine.strategy == "ddp" or size > 1:
        return DDPStrategy(timeout=PATIENCE)
    return "auto"


def environment_plugins() -> list[Any]:
    """Slurm's own variables name the ranks; putting a job back into the queue is ours."""
    return [SLURMEnvironment(auto_requeue=False)] if is_slurm() else []
