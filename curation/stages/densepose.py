"""Surface coordinates of the one person in every frame."""

from dataclasses import dataclass, replace

import numpy as np

from curation.clip import Clip, Reject, Tracks
from curation.perception.protocols import DensePoseEstimator

GRID = 112


@dataclass(frozen=True, kw_only=True)
class DensePoseConfig:
    """How much may be missing."""

    min_mapped_share: float = 0.9  # of the frames
    min_body_share: float = 0.05  # of the grid, for a frame to count as mapped


@dataclass(frozen=True, kw_only=True, eq=False)
class MapSurface:
    """Fills ``iuv`` and ``boxes``; frames without a person get an empty grid and box."""

    estimator: DensePoseEstimator
    config: DensePoseConfig
    name: str = "densepose"

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """Reject with ``densepose_failed`` when too few frames show a body."""
        assert tracks.people is not None, "the people stage comes first"
        surfaces = self.estimator.estimate(list(tracks.frames), tracks.people)
        iuv = np.zeros((len(surfaces), GRID, GRID, 3), np.uint8)
        boxes = np.zeros((len(surfaces), 4), np.float32)
        for index, surface in enumerate(surfaces):
            if surface is not None:
                iuv[index], boxes[index] = surface.iuv, surface.box
        body_shares = (iuv[..., 0] > 0).mean(axis=(1, 2))
        mapped = float((body_shares >= self.config.min_body_share).mean())
        if mapped < self.config.min_mapped_share:
            evidence = {
                "mapped_share": round(mapped, 3),
                "min_mapped_share": self.config.min_mapped_share,
            }
            return Reject(clip=clip, code="densepose_failed", evidence=evidence)
        passed = replace(clip, verdicts={**clip.verdicts, self.name: "mapped"})
        return passed.with_scores(densepose_share=mapped), replace(tracks, iuv=iuv, boxes=boxes)
