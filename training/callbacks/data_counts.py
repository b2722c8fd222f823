"""What the data gave, in the log: how often each swapping pattern was shown, and what was bad."""

from collections import Counter
from typing import Any

from lightning import Callback, LightningModule, Trainer

from datasets.loading.datamodule import TryOnData
from datasets.loading.latents import LatentBatch
from datasets.loading.swapping import PATTERNS
from datasets.sample import NumberedBatch
from training.module import TryOnModule


class DataCounts(Callback):
    """Logs ``data/swap_<pattern>``, samples of this rank so far, and ``data/bad_clips``."""

    def __init__(self, data: TryOnData) -> None:
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
        """Count; the run's log takes it from there (``RunLog``, which comes after)."""
        assert isinstance(pl_module, TryOnModule)
        self.patterns.update(batch.patterns)
        figures = {f"data/swap_{pattern}": float(self.patterns[pattern]) for pattern in PATTERNS}
        figures["data/bad_clips"] = float(len(self.data.tally.counts))
        pl_module.measured.update(figures)

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        return {"patterns": dict(self.patterns)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.patterns = Counter(state_dict["patterns"])
