"""Surface coordinates of the one person in every frame."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import Clip, Reject, Tracks, unpack_shares
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
        clip = clip.with_shares(body_share=body_shares)
        refused = self.judge(clip)
        if refused is not None:
            return refused
        passed = replace(clip, verdicts={**clip.verdicts, self.name: "mapped"})
        return (
            passed.with_scores(densepose_share=self._mapped_share(clip)),
            replace(tracks, iuv=iuv, boxes=boxes),
        )

    def making(self) -> dict[str, Any]:
        """The model alone."""
        return asdict(self.estimator.info)

    def judge(self, clip: Clip) -> Reject | None:
        """``densepose_failed``: too few frames show a body."""
        mapped = self._mapped_share(clip)
        if mapped >= self.config.min_mapped_share:
            return None
        evidence = {
            "mapped_share": round(mapped, 3),
            "min_mapped_share": self.config.min_mapped_share,
        }
        return Reject(clip=clip, code="densepose_failed", evidence=evidence)

    def _mapped_share(self, clip: Clip) -> float:
        shares = unpack_shares(clip.shares["body_share"])
        return float((shares >= self.config.min_body_share).mean())
