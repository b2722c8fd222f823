"""One line of the log every N steps: losses, rate, gradients, gates, time, memory."""

from lightning import LightningModule, Trainer

from training.callbacks.each_step import EachStep
from training.callbacks.step_timer import StepClock
from training.diagnostics import gate_norms, memory_gb
from training.module import TryOnModule


class RunLog(EachStep):
    """Hands the numbers of the last steps to the run's loggers.

    Args:
        every_steps: between two lines.
        clips_per_step: windows in an optimizer step, over all devices.
        clock: knows where the time went.
    """

    def __init__(self, every_steps: int, clips_per_step: int, clock: StepClock) -> None:
        super().__init__()
        self.every_steps, self.clips_per_step, self.clock = every_steps, clips_per_step, clock
        self._logged_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """By now a resumed run knows its step."""
        super().on_train_start(trainer, pl_module)
        self._logged_step = trainer.global_step

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Every rank takes part: sums and norms are over all of them."""
        assert isinstance(pl_module, TryOnModule)
        step = trainer.global_step
        if step % self.every_steps:
            return
        values = pl_module.losses.take() | pl_module.measured | gate_norms(pl_module.network)
        values |= self.clock.take(step - self._logged_step) | memory_gb(pl_module.device)
        values["data/clips_per_s"] = self.clips_per_step / values["time/step_s"]
        values["skipped_steps"] = float(pl_module.skipped.total)
        pl_module.logged = values
        self._logged_step = step
        for logger in trainer.loggers:
            logger.log_metrics(values, step=step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sampling is not part of a step: start the clock anew."""
        self.clock.restart()
        self._logged_step = trainer.global_step
