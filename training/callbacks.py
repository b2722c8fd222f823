"""What happens around the steps: checkpoints, progress, throughput, pictures."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.module import TryOnModule

logger = logging.getLogger(__name__)


class LastCheckpoint(Checkpoint):
    """``checkpoints/last.ckpt``, every N steps and at the end, written aside and renamed."""

    def __init__(self, folder: Path, every_steps: int) -> None:
        super().__init__()
        self.folder, self.every_steps = folder, every_steps
        self._saved_step = -1

    def on_train_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        """Save where the step count is a multiple."""
        if trainer.global_step % self.every_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the run ended with."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if trainer.global_step in (self._saved_step, 0):
            return
        self._saved_step = trainer.global_step
        self.folder.mkdir(parents=True, exist_ok=True)
        pending = self.folder / "last.ckpt.part"
        trainer.save_checkpoint(pending)
        if trainer.is_global_zero:
            os.replace(pending, self.folder / "last.ckpt")
        trainer.strategy.barrier()


class Throughput(Callback):
    """Seconds a step takes, the share that waits for data, and clips a second."""

    def __init__(self, every_steps: int, clips_per_step: int) -> None:
        self.every_steps, self.clips_per_step = every_steps, clips_per_step
        self._mark = self._waiting = self._waited = 0.0
        self._step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._mark = self._waiting = time.perf_counter()
        self._step, self._waited = trainer.global_step, 0.0

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """The batch is there."""
        self._waited += time.perf_counter() - self._waiting

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Log the mean over the last steps."""
        now = time.perf_counter()
        steps = trainer.global_step - self._step
        if steps >= self.every_steps:
            step_s = (now - self._mark) / steps
            figures = {"time/step_s": step_s, "time/data_s": self._waited / steps}
            figures["data/clips_per_s"] = self.clips_per_step / step_s
            pl_module.log_dict(figures)
            self._mark, self._step, self._waited = now, trainer.global_step, 0.0
        self._waiting = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sampling is not part of a step: start the clock anew."""
        self.on_train_start(trainer, pl_module)


class StepProgress(Callback):
    """A bar with the loss and the time left on a terminal; a line now and then elsewhere."""

    def __init__(self, max_steps: int, num_lines: int = 10) -> None:
        self.max_steps, self.every = max_steps, max(1, max_steps // num_lines)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started, self._first = 0.0, 0
        self._loss: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        self._started, self._first = time.perf_counter(), trainer.global_step
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[loss]}"),
            )  # fmt: skip
            self._task = self._bar.add_task(
                "training", total=self.max_steps, completed=self._first, loss=""
            )
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        """Move on; the loss shown is a running mean."""
        step = trainer.global_step
        if isinstance(outputs, dict) and "loss" in outputs:
            value = float(outputs["loss"])
            self._loss = value if self._loss is None else 0.95 * self._loss + 0.05 * value
        shown = "" if self._loss is None else f"loss {self._loss:.4f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, loss=shown)
        elif step % self.every == 0 or step == self.max_steps:
            seconds = (time.perf_counter() - self._started) / max(1, step - self._first)
            logger.info("step %d/%d  %s  %.2f s/step", step, self.max_steps, shown, seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self.on_train_end(trainer, pl_module)


class Pictures(Callback):
    """Validation's samples as files under ``samples/`` and in TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write one strip a clip: source, agnostic, result; the garment on the left."""
        assert isinstance(pl_module, TryOnModule)
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for sample in pl_module.samples:
            strip = sample.strip()
            file = self.folder / f"step-{trainer.global_step:06d}-{sample.key}.png"
            cv2.imwrite(str(file), strip[..., ::-1])
            if isinstance(trainer.logger, TensorBoardLogger):
                trainer.logger.experiment.add_image(
                    f"validation/{sample.key}", strip, trainer.global_step, dataformats="HWC"
                )
