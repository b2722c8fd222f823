"""Callbacks that act once an optimizer step, not once a micro-batch."""

from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer


class EachStep(Callback):
    """Calls ``on_step`` after every optimizer step; a resumed run begins at its own step."""

    def __init__(self) -> None:
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """By now a resumed run knows its step."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any
    ) -> None:
        """Between micro-batches nothing happens."""
        if trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self.on_step(trainer, pl_module)

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the callback is there for."""
        raise NotImplementedError


class FreeGradients(EachStep):
    """Drop the gradients as soon as an optimizer step has used them.

    Lightning drops them only before the next backward pass: they would stand beside the
    activations of the whole next forward pass, and beside validation.
    """

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only after a step: between micro-batches they are still being summed."""
        for optimizer in trainer.optimizers:
            optimizer.zero_grad(set_to_none=True)


def log_numbers(trainer: Trainer, numbers: Mapping[str, float]) -> None:
    """Hand numbers of this step to every logger of the run."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(numbers), step=trainer.global_step)
