"""After a validation: its numbers into the log, and the best checkpoint chosen by them."""

import logging

from lightning import Callback, LightningModule, Trainer

from training.callbacks.checkpointing import Checkpoints
from training.module import TryOnModule

logger = logging.getLogger(__name__)


class JudgeCheckpoints(Callback):
    """Stands after the average's callback: what is saved are the raw weights and their average."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the windows of all ranks, log, judge."""
        assert isinstance(pl_module, TryOnModule)
        assert pl_module.held_out is not None
        numbers = pl_module.held_out.numbers()
        step = trainer.global_step
        values = {f"validation/{key}": value for key, value in numbers.items()}
        for line in trainer.loggers:
            line.log_metrics(values, step=step)
        logger.info("step %d: %s", step, ", ".join(f"{k} {v:.4g}" for k, v in numbers.items()))
        best = pl_module.held_out.best_number(numbers)
        if best is not None:
            self.checkpoints.judge(trainer, *best)
