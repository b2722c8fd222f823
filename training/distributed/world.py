"""How many processes a run has, and how they share an optimizer step.

One process per device, started by Lightning (``trainer.devices``), torchrun or Slurm (srun, one
task per device); the latter two set the number. The global batch of an optimizer step stays
the same when the number of processes changes: the number of micro-batches compensates.
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
"""How long ranks wait for each other: one may be validating, or reading a 30 GB checkpoint."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a run, and what launched them."""

    devices: int  # per node
    num_nodes: int
    launcher: str

    @property
    def size(self) -> int:
        """All processes."""
        return self.devices * self.num_nodes


def find_world(machine: TrainerConfig, environ: Mapping[str, str] | None = None) -> World:
    """Read the launcher's environment, or else the settings.

    Raises:
        ConfigError: the settings contradict what the launcher started.
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
                f"remove the setting, or start as many"
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
    """This process's rank before the process group exists; Lightning's processes have a local one.

    0 on the first process of every node if several nodes are started by hand.
    """
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


def settle(config: TrainConfig, world: World) -> TrainConfig:
    """The settings with the world's device counts and the number of micro-batches they imply.

    Raises:
        ConfigError: ``trainer.global_batch`` cannot be divided evenly.
    """
    machine, rows = config.trainer, config.data.batch_size
    accumulate = machine.accumulate
    if machine.global_batch:
        accumulate, rest = divmod(machine.global_batch, rows * world.size)
        if rest or not accumulate:
            raise ConfigError(
                f"trainer.global_batch is {machine.global_batch}, which {world.size} "
                f"{'devices' if world.size > 1 else 'device'} of data.batch_size {rows} cannot "
                f"share; use a multiple of {rows * world.size}"
            )
    settled = replace(
        machine, devices=world.devices, num_nodes=world.num_nodes, accumulate=accumulate
    )
    return replace(config, trainer=settled)


def global_batch(config: TrainConfig) -> int:
    """Windows per optimizer step, for settings after ``settle``."""
    machine = config.trainer
    return config.data.batch_size * machine.accumulate * machine.devices * machine.num_nodes


def build_strategy(machine: TrainerConfig) -> Strategy | str:
    """The strategy to pass to Lightning."""
    size = machine.devices * machine.num_nodes
    if machine.strategy == "fsdp2":
        return ShardedStrategy(size, timeout=PATIENCE)
    if machine.strategy == "ddp" or size > 1:
        return DDPStrategy(timeout=PATIENCE)
    return "auto"


def environment_plugins() -> list[Any]:
    """Slurm's variables name the ranks; this project requeues the job itself."""
    return [SLURMEnvironment(auto_requeue=False)] if is_slurm() else []
