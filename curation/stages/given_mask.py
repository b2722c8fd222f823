"""A mask that comes with the videos of a benchmark takes the place of the one made here."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from curation.clip import MORE, Check, Clip, Tracks
from curation.perception.protocols import BackendInfo
from datasets.benchmarks.vivid import clip_frames

_INFO = BackendInfo(
    name="the benchmark's own", version="as given", weights_sha256=None, is_approximate=False
)
GIVEN_MASK = {"mask": asdict(_INFO)}
"""For a sample's record: which model made its mask."""
_PAINTED = 127  # gray level above which a pixel of a mask video is to be painted


def given_mask(path: Path, num_frames: int) -> np.ndarray:
    """The first frames of a mask video, cropped as the frames of benchmark videos are.

    Returns:
        (t, height, width) uint8, 255 = to be painted; fewer than ``num_frames`` if it is shorter.

    Raises:
        DataError: it cannot be read.
    """
    gray = clip_frames(path, 0, num_frames)[..., 1]
    return np.where(gray > _PAINTED, np.uint8(255), np.uint8(0))


@dataclass(frozen=True, kw_only=True, eq=False)
class TakeGivenMask:
    """Fills ``mask`` with a given one."""

    mask: np.ndarray  # (t, height, width) uint8, 255 = to be painted
    category: str
    name: str = "agnostic"  # the stage that it replaces
    reads: tuple[str, ...] = ()

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs nothing."""
        areas = (self.mask > 0).mean(axis=(1, 2))
        clip = clip.with_scores(
            mask_area=float(np.median(areas)), mask_largest_area=float(areas.max())
        )
        clip = replace(clip, verdicts={**clip.verdicts, self.name: self.category})
        return clip, replace(tracks, mask=self.mask)

    def checks(self, clip: Clip) -> list[Check]:
        """Some frame must have something to paint."""
        largest = clip.scores.get("mask_largest_area", 0.0)
        return [
            Check(
                verdict=self.name, signal="mask_largest_area", value=largest, rule=MORE,
                threshold=0.0, key="", code="mask_failed", meaning="the benchmark's mask is empty",
                evidence={"largest_area": round(largest, 4)},
            )
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """The mask is the benchmark's."""
        return {"given": True, "category": self.category}
