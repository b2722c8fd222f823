"""Callbacks that act once an optimizer step, not once a micro-batch."""

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
