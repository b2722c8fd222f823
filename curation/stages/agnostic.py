"""The inpainting mask of the configured category, and frames grayed out under it."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from configs.checks import check_choices
from curation.clip import AT_LEAST, AT_MOST, MORE, Check, Clip, Tracks
from curation.versions import MASKS
from datasets.densepose import paste_iuv
from datasets.labels import among
from datasets.masks import RULES, MaskSettings, check_margin, inpainting_mask, mask_rule

AGNOSTIC_BYTE = 128
"""``AGNOSTIC_GRAY`` of ``datasets/sample.py`` as a byte: that module loads torch."""


@dataclass(frozen=True, kw_only=True)
class AgnosticConfig:
    """Which garment is masked, how far around it, and when a mask has failed."""

    category: str = "upper"
    margin: str | None = None  # tight or wide; None: tight for upper, wide for lower and overall
    min_coverage: float = 0.97  # of the garment's pixels, in every frame
    max_area: float = 0.75  # of the frame: a mask that leaves nothing has also failed
    mask: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        check_choices(self, category=RULES)
        check_margin(self.margin)


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskGarment:
    """Fills ``mask``."""

    config: AgnosticConfig
    name: str = "agnostic"
    reads: tuple[str, ...] = ("densepose", "parsing")

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs ``parse``, ``iuv`` and ``boxes``."""
        assert tracks.parse is not None, "the parsing stage comes first"
        assert tracks.iuv is not None, "the densepose stage comes first"
        assert tracks.boxes is not None, "the densepose stage comes first"
        height, width = tracks.frames.shape[1:3]
        iuv = paste_iuv(tracks.iuv[..., :1], tracks.boxes, height, width)
        mask = inpainting_mask(
            tracks.parse, iuv, self.config.category, self.config.mask, self.config.margin
        )
        garment = among(tracks.parse, RULES[self.config.category].garment)
        sizes = np.count_nonzero(garment, axis=(1, 2))
        covered = np.count_nonzero(garment & (mask > 0), axis=(1, 2)) / np.maximum(sizes, 1)
        coverage = float(np.where(sizes > 0, covered, 1.0).min())
        areas = np.count_nonzero(mask, axis=(1, 2)) / (height * width)
        clip = clip.with_scores(
            mask_coverage=coverage,
            mask_area=float(np.median(areas)),
            mask_smallest_area=float(areas.min()),
            mask_largest_area=float(areas.max()),
        )
        clip = replace(clip, verdicts={**clip.verdicts, self.name: self.config.category})
        return clip, replace(tracks, mask=mask)

    def checks(self, clip: Clip) -> list[Check]:
        """No frame's mask may be empty, miss garment pixels, or cover nearly everything."""
        config, scores = self.config, clip.scores
        evidence = {
            "coverage": round(scores.get("mask_coverage", 0.0), 4),
            "min_coverage": config.min_coverage,
            "smallest_area": round(scores.get("mask_smallest_area", 0.0), 4),
            "largest_area": round(scores.get("mask_largest_area", 0.0), 4),
            "max_area": config.max_area,
        }
        rules = (
            ("mask_smallest_area", MORE, 0.0, ""),
            ("mask_largest_area", AT_MOST, config.max_area, "agnostic.max_area"),
            ("mask_coverage", AT_LEAST, config.min_coverage, "agnostic.min_coverage"),
        )
        return [
            Check(
                verdict=self.name, signal=signal, value=scores.get(signal), rule=rule,
                threshold=threshold, key=key, code="mask_failed", evidence=evidence,
                meaning="the mask is empty, misses the garment in part, or covers nearly all",
            )
            for signal, rule, threshold, key in rules
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """The category, the margin in effect, and how masks are widened."""
        category, margin = self.config.category, self.config.margin
        return {
            "category": category,
            "margin": mask_rule(category, margin).margin,
            "mask": asdict(self.config.mask),
            "version": MASKS,
        }


def agnostic_frames(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Frames with gray under the mask, as the model sees them: ``compose_agnostic`` in bytes.

    Args:
        frames: (t, height, width, 3) uint8.
        mask: (t, height, width) uint8, 255 = to be inpainted.

    Returns:
        (t, height, width, 3) uint8; gray is 128.
    """
    gray = np.full(frames.shape[1:], AGNOSTIC_BYTE, np.uint8)
    grayed = frames.copy()
    for frame, painted in zip(grayed, mask > 127, strict=True):
        cv2.copyTo(gray, painted.view(np.uint8), frame)
    return grayed
