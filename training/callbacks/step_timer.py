"""Times the parts of a step: waiting for data, forward, backward, optimizer.

On a GPU the host runs ahead of the device, so the borders are CUDA events, read only when a log
line is due. Waiting for data is host time spent in the loader.
"""

import time
from typing import Any

import torch
from lightning import LightningModule, Trainer

from training.callbacks.each_step import EachStep, log_numbers
from training.step_record import step_record

PARTS = ("forward", "backward", "optimizer")


class StepTimer(EachStep):
    """Sums the parts over micro-batches and logs their mean per step.

    Args:
        clips_per_step: windows in an optimizer step, over all devices.
    """

    def __init__(self, clips_per_step: int) -> None:
        super().__init__()
        self.clips_per_step = clips_per_step
        self._logged_step = 0
        self._cuda = False
        self._spans: list[tuple[str, Any, Any]] = []
        self._seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._open: tuple[str, Any] | None = None
        self._waited = self._begun = self._last_batch = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run has restored its step by now."""
        super().on_train_start(trainer, pl_module)
        self._logged_step = trainer.global_step
        self._cuda = pl_module.device.type == "cuda"
        self.restart()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived."""
        self._waited += time.perf_counter() - self._last_batch
        self._open = ("forward", self._mark())

    def on_before_backward(self, *_: Any, **__: Any) -> None:
        """The forward pass is done."""
        self._next("backward")

    def on_after_backward(self, *_: Any, **__: Any) -> None:
        """The backward pass is done; clipping and the step follow, or the next micro-batch."""
        self._next("optimizer")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """The micro-batch is done."""
        self._next(None)
        self._last_batch = time.perf_counter()
        super().on_train_batch_end(trainer, pl_module)

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means when a log line is due."""
        if step_record(pl_module).is_logged:
            numbers = self.take(trainer.global_step - self._logged_step)
            numbers["data/clips_per_s"] = self.clips_per_step / numbers["time/step_s"]
            self._logged_step = trainer.global_step
            log_numbers(trainer, numbers)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard timings: validation is not part of a step."""
        self.restart()
        self._logged_step = trainer.global_step

    def take(self, num_steps: int) -> dict[str, float]:
        """Mean seconds per step since the last call, total and by part."""
        if self._cuda:
            torch.cuda.synchronize()
        for part, start, end in self._spans:
            self._seconds[part] += start.elapsed_time(end) / 1000 if self._cuda else end - start
        now = time.perf_counter()
        num_steps = max(1, num_steps)
        values = {f"time/{part}_s": total / num_steps for part, total in self._seconds.items()}
        values["time/step_s"] = (now - self._begun) / num_steps
        values["time/data_s"] = self._waited / num_steps
        values["time/data_share"] = self._waited / (now - self._begun)
        self.restart()
        return values

    def restart(self) -> None:
        """Discard all measurements."""
        self._spans = []
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._waited = 0.0
        self._begun = self._last_batch = time.perf_counter()

    def _next(self, part: str | None) -> None:
        mark = self._mark()
        if self._open is not None:
            self._spans.append((*self._open, mark))
        self._open = None if part is None else (part, mark)

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
