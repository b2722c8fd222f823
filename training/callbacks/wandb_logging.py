"""Weights & Biases beside TensorBoard, for those who name a project."""

from importlib.util import find_spec

from lightning.pytorch.loggers import WandbLogger

from configs.errors import ConfigError
from configs.loading import to_plain
from training.config import TrainConfig


def build_wandb_logger(config: TrainConfig) -> WandbLogger:
    """The same scalars; one run of theirs for a run of ours, also when it is resumed.

    Raises:
        ConfigError: wandb is not installed.
    """
    if find_spec("wandb") is None:
        raise ConfigError(
            "trainer.wandb_project is set and wandb is not installed; "
            "pip install -e '.[wandb]', or leave it out"
        )
    return WandbLogger(
        project=config.trainer.wandb_project,
        name=config.name,
        id=config.name,
        resume="allow",
        save_dir=config.runs,
        config=to_plain(config),
    )
