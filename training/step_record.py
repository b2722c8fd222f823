"""Records of one optimizer step and one validation: written by the module, read by callbacks.

A record is complete before the first callback runs, and never changes: the order of the callbacks
does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from lightning import LightningModule
from torch import Tensor

from datasets.loading.datamodule import NumberedBatch
from datasets.sample import signed_to_bytes


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step; the mappings use the names of the log."""

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
class SampledWindow:
    """One window as pictures."""

    key: str
    source: UInt8[np.ndarray, "t h w 3"]
    agnostic: UInt8[np.ndarray, "t h w 3"]
    garment: UInt8[np.ndarray, "h w 3"]
    result: UInt8[np.ndarray, "t h w 3"]

    @classmethod
    def of(cls, batch: NumberedBatch, video: Float[Tensor, "1 t 3 h w"]) -> "SampledWindow":
        """The first row of a batch, and the video sampled for it."""
        return cls(
            key=batch.keys[0],
            source=to_pixels(batch.video[0]),
            agnostic=to_pixels(batch.agnostic[0]),
            garment=to_pixels(batch.garment)[0],
            result=to_pixels(video[0]),
        )

    def film(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Garment, source, agnostic and result side by side, frame by frame."""
        still = np.repeat(self.garment[None], len(self.source), axis=0)
        return np.concatenate([still, self.source, self.agnostic, self.result], axis=2)

    def strip(self, num_frames: int = 4) -> UInt8[np.ndarray, "h w 3"]:
        """Rows source, agnostic and result of some frames; the garment is on the left."""
        count = min(num_frames, len(self.source))
        shown = np.linspace(0, len(self.source) - 1, count).round().astype(int)
        rows = [np.concatenate(list(track[shown]), axis=1)
                for track in (self.source, self.agnostic, self.result)]  # fmt: skip
        blank = np.full_like(self.garment, 255)
        left = np.concatenate([self.garment, blank, blank], axis=0)
        return np.concatenate([left, np.concatenate(rows, axis=0)], axis=1)


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


def to_pixels(video: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """[-1, 1] -> bytes."""
    scaled = signed_to_bytes(video.detach().cpu())
    return np.ascontiguousarray(rearrange(scaled, "t c h w -> t h w c").numpy())
