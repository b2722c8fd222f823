"""Data counts in the log: how often each swapping pattern was seen, and how many clips were bad."""

from collections import Counter
from typing import Any

from lightning import LightningModule, Trainer

from datasets.loading.datamodule import TryOnData
from datasets.loading.latents import LatentBatch
from datasets.loading.swapping import PATTERNS
from datasets.sample import NumberedBatch
from training.callbacks.each_step import EachStep, log_numbers
from training.step_record import step_record


class DataCounts(EachStep):
    """Logs ``data/swap_<pattern>``, samples of this rank so far, and ``data/bad_clips``."""

    def __init__(self, data: TryOnData) -> None:
        super().__init__()
        self.data = data
        self.patterns: Counter[str] = Counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: NumberedBatch | LatentBatch,
        batch_idx: int,
    ) -> None:
        """Count every micro-batch."""
        self.patterns.update(batch.patterns)
        super().on_train_batch_end(trainer, pl_module)

    def on_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the counts when a log line is due."""
        if step_record(pl_module).is_logged:
            numbers = {f"data/swap_{name}": float(self.patterns[name]) for name in PATTERNS}
            numbers["data/bad_clips"] = float(len(self.data.tally.counts))
            log_numbers(trainer, numbers)

    def state_dict(self) -> dict[str, Any]:
        """The counts, for the checkpoint."""
        return {"patterns": dict(self.patterns)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts."""
        self.patterns = Counter(state_dict["patterns"])
