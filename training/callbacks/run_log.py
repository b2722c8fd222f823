"""A log line every N steps (losses, learning rate, gradients, gates, memory) and per validation."""

import logging

from lightning import LightningModule, Trainer
from torch import nn

from training.callbacks.each_step import EachStep, log_numbers
from training.diagnostics import gate_norms, memory_gb
from training.step_record import step_record, validation_record

logger = logging.getLogger(__name__)


class RunLog(EachStep):
    """Sends the module's numbers to the run's loggers."""

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Runs on every rank: norms are computed over all of them."""
        record = step_record(pl_module)
        if record.is_logged:
            network = pl_module.network
            assert isinstance(network, nn.Module)
            numbers = record.numbers | gate_norms(network) | memory_gb(pl_module.device)
            log_numbers(trainer, numbers)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the metrics of the held-out windows."""
        numbers = validation_record(pl_module).numbers
        log_numbers(trainer, {f"validation/{key}": value for key, value in numbers.items()})
        shown = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        logger.info("step %d: %s", trainer.global_step, shown)
