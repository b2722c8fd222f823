"""How far a run is: a bar with the time left on a terminal, lines of the log elsewhere."""

import logging
import sys
import time

from lightning import LightningModule, Trainer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.callbacks.each_step import EachStep
from training.step_record import step_record

logger = logging.getLogger(__name__)


class StepProgress(EachStep):
    """A bar with the loss and the time left on a terminal; a line now and then elsewhere."""

    def __init__(self, max_steps: int, num_lines: int = 10) -> None:
        super().__init__()
        self.max_steps, self.every = max_steps, max(1, max_steps // num_lines)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started, self._first = 0.0, 0
        self._loss = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar, on one rank."""
        super().on_train_start(trainer, pl_module)
        self._started, self._first = time.perf_counter(), trainer.global_step
        if sys.stderr.isatty() and trainer.is_global_zero:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
            )  # fmt: skip
            self._task = self._bar.add_task(
                "training", total=self.max_steps, completed=self._first, loss=""
            )
            self._bar.start()

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move on; the loss shown is the log's last one."""
        step, losses = trainer.global_step, step_record(pl_module).losses
        if "loss/train" in losses:
            self._loss = f"loss {losses['loss/train']:.4f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, loss=self._loss)
        elif step % self.every == 0 or step == self.max_steps:
            seconds = (time.perf_counter() - self._started) / max(1, step - self._first)
            logger.info("step %d/%d  %s  %.2f s/step", step, self.max_steps, self._loss, seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self.on_train_end(trainer, pl_module)
