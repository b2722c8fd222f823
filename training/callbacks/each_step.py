"""Callbacks that act once per optimizer step, not once per micro-batch."""

from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer


class EachStep(Callback):
    """Calls ``on_step`` after every optimizer step, including in a resumed run."""

    def __init__(self) -> None:
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run has restored its step by now."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Call ``on_step`` if this micro-batch completed an optimizer step."""
        if trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self.on_step(trainer, pl_module)

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after each optimizer step."""
        raise NotImplementedError


class FreeGradients(EachStep):
    """Frees the gradients as soon as an optimizer step has used them.

    Lightning frees them only before the next backward pass: they would take memory during the
    whole next forward pass and during validation.
    """

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only after a step: between micro-batches they are still accumulating."""
        for optimizer in trainer.optimizers:
            optimizer.zero_grad(set_to_none=True)


def log_numbers(trainer: Trainer, numbers: Mapping[str, float]) -> None:
    """Send numbers of this step to every logger of the run."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(numbers), step=trainer.global_step)
