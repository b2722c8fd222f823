"""Progress bar of a training run."""

import time

from lightning import LightningModule, Trainer

from configs.console import Progress
from training.callbacks.each_step import EachStep
from training.step_record import step_record

LINE_EVERY_S, EARLY_LINE_EVERY_S, EARLY_S = 300.0, 30.0, 900.0  # more lines in the first minutes
FIRST_LINES = 3  # update after each of the first steps, so that a bad start is seen at once


def _line_every(spent_s: float) -> float:
    return EARLY_LINE_EVERY_S if spent_s < EARLY_S else LINE_EVERY_S


class StepProgress(EachStep):
    """Shows steps, time left, loss and seconds per step, on one rank."""

    def __init__(self, max_steps: int) -> None:
        super().__init__()
        self.max_steps = max_steps
        self._bar: Progress | None = None
        self._started, self._first = 0.0, 0
        self._loss = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar, on one rank."""
        super().on_train_start(trainer, pl_module)
        self._started, self._first = time.perf_counter(), trainer.global_step
        if trainer.is_global_zero:
            self._bar = Progress(
                "training", self.max_steps, done=self._first, unit="steps", every_s=_line_every,
                first_lines=FIRST_LINES,
            ).__enter__()  # fmt: skip

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Advance; the loss shown is the last one logged."""
        losses = step_record(pl_module).losses
        if "loss/train" in losses:
            self._loss = f"loss {losses['loss/train']:.4f}, "
        if self._bar is None:
            return
        step = trainer.global_step
        pace = (time.perf_counter() - self._started) / max(1, step - self._first)
        self._bar.update(step, note=f"{self._loss}{pace:.2f} s a step")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the terminal."""
        self.on_train_end(trainer, pl_module)
