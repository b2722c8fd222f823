"""When checkpoints are written: every N steps, at the end, at a new best, before a stop."""

import logging
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from datasets.storage import PART
from training.callbacks.each_step import EachStep
from training.callbacks.stopping import StopSignals
from training.checkpoints.files import (
    finish,
    forget_newer,
    prune,
    read_scores,
    step_file,
    write_scores,
)
from training.distributed.ranks import any_rank, rank
from training.step_record import validation_record

logger = logging.getLogger(__name__)


class Checkpoints(EachStep, Checkpoint):
    """Writes checkpoints, keeps the newest and the best, and stops a run on a signal.

    Lightning calls checkpoint callbacks last, wherever they are in its list: the saved raw weights
    and their average (``ema.py``) are both of this step.

    Args:
        folder: ``runs/<name>/checkpoints``.
        every_steps: optimizer steps between two checkpoints.
        keep_last: number of newest checkpoints to keep.
        keep_best: number of checkpoints with the best validation scores to keep; 0: none.
        signals: report whether the run should stop.
    """

    def __init__(
        self, folder: Path, every_steps: int, keep_last: int, keep_best: int, signals: StopSignals
    ) -> None:
        super().__init__()
        self.folder, self.every_steps = folder, every_steps
        self.keep_last, self.keep_best, self.signals = keep_last, keep_best, signals
        self._saved_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run already has the checkpoint of its first step."""
        super().on_train_start(trainer, pl_module)
        self._saved_step = trainer.global_step
        if rank() == 0:
            forget_newer(self.folder, trainer.global_step)
        self.signals.listen()

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save every ``every_steps`` steps, and when any rank received a stop signal."""
        stop = any_rank(self.signals.received is not None)
        if stop or trainer.global_step % self.every_steps == 0:
            self.save(trainer)
        if stop:
            self.signals.is_stopping = trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep this step's weights if they are among the best."""
        best_by = validation_record(pl_module).best_by
        if best_by is not None:
            self.judge(trainer, *best_by)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final weights."""
        self.save(trainer)
        self.signals.ignore()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the previous signal handlers."""
        self.signals.ignore()

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint of this step unless it exists."""
        step = trainer.global_step
        if step == self._saved_step:
            return
        self._saved_step = step
        final = step_file(self.folder, step)
        pending = final.with_name(f"{final.name}{PART}")
        if rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
        trainer.strategy.barrier()
        trainer.save_checkpoint(pending)
        if rank() == 0:
            finish(pending, final)
            prune(self.folder, self.keep_last, self.keep_best)
        trainer.strategy.barrier()

    def judge(self, trainer: Trainer, metric: str, score: float) -> None:
        """Record the validation score of this step's weights; keep them if they are among the best.

        Args:
            trainer: at the validated step.
            metric: name of the metric.
            score: higher is better.
        """
        if not self.keep_best:
            return
        step, scores = trainer.global_step, read_scores(self.folder)
        scores = {known: value for known, value in scores.items() if known < step}
        better = sum(value > score for value in scores.values())
        if better < self.keep_best:
            self.save(trainer)
        if rank() == 0:
            write_scores(self.folder, metric, scores | {step: score})
            prune(self.folder, self.keep_last, self.keep_best)
        trainer.strategy.barrier()
