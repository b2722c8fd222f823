"""Weights & Biases logging next to TensorBoard, if a project is set."""

from importlib.util import find_spec

from lightning.pytorch.loggers import WandbLogger

from configs.errors import ConfigError
from configs.loading import to_plain
from training.config import TrainConfig


def build_wandb_logger(config: TrainConfig) -> WandbLogger:
    """Logs the same scalars; one W&B run per training run, also when it is resumed.

    Raises:
        ConfigError: wandb is not installed.
    """
    if find_spec("wandb") is None:
        raise ConfigError(
            "trainer.wandb_project is set and wandb is not installed; "
            "`make setup-wandb`, or remove the setting"
        )
    return WandbLogger(
        project=config.trainer.wandb_project,
        name=config.name,
        id=config.name,
        resume="allow",
        save_dir=config.runs,
        config=to_plain(config),
    )
