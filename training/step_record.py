"""What one optimizer step and one validation left behind: written by the module, read by callbacks.

A record is complete before the first callback hears of the step, and nobody changes it: in which
order the callbacks stand does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lightning import LightningModule

from training.validation_samples import SampledWindow


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step; the mappings are by the names of the log."""

    step: int
    lr: float
    gradient_norm: float  # before clipping, over all ranks
    num_skipped: int  # steps so far that were not taken, this one included
    is_logged: bool = False  # a line of the log is due
    losses: Mapping[str, float] = field(default_factory=dict)  # means since the last line, if due
    part_norms: Mapping[str, float] = field(default_factory=dict)  # of the gradients, if due

    @property
    def numbers(self) -> dict[str, float]:
        """The step's part of a line of the log."""
        return {
            **self.losses, **self.part_norms, "gradient/norm": self.gradient_norm, "lr": self.lr,
            "skipped_steps": float(self.num_skipped),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ValidationRecord:
    """One validation."""

    samples: tuple[SampledWindow, ...]  # painted by this rank
    numbers: Mapping[str, float]  # over all ranks, by the metrics' keys in metrics.json
    best_by: tuple[str, float] | None  # metric and score that choose the best; higher is better


def step_record(module: LightningModule) -> StepRecord:
    """The last optimizer step of a ``TryOnModule``."""
    record = module.step_record
    assert isinstance(record, StepRecord)
    return record


def validation_record(module: LightningModule) -> ValidationRecord:
    """The last validation of a ``TryOnModule``."""
    record = module.validation_record
    assert isinstance(record, ValidationRecord)
    return record
