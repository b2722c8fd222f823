"""Surface coordinates of the one person in every frame."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import AT_LEAST, Check, Clip, Tracks, unpack_shares
from curation.perception.protocols import DensePoseEstimator

GRID = 112


@dataclass(frozen=True, kw_only=True)
class DensePoseConfig:
    """Limits on missing surface coordinates."""

    min_mapped_share: float = 0.9  # of the frames
    min_body_share: float = 0.05  # of the grid, for a frame to count as mapped


@dataclass(frozen=True, kw_only=True, eq=False)
class MapSurface:
    """Fills ``iuv`` and ``boxes``; frames without a person get an empty grid and box."""

    estimator: DensePoseEstimator
    config: DensePoseConfig
    name: str = "densepose"
    reads: tuple[str, ...] = ()

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs ``people``."""
        assert tracks.people is not None, "the people stage comes first"
        surfaces = self.estimator.estimate(list(tracks.frames), tracks.people)
        iuv = np.zeros((len(surfaces), GRID, GRID, 3), np.uint8)
        boxes = np.zeros((len(surfaces), 4), np.float32)
        for index, surface in enumerate(surfaces):
            if surface is not None:
                iuv[index], boxes[index] = surface.iuv, surface.box
        clip = clip.with_shares(body_share=(iuv[..., 0] > 0).mean(axis=(1, 2)))
        clip = replace(clip, verdicts={**clip.verdicts, self.name: "mapped"})
        share = self._mapped_share(clip)
        assert share is not None
        return clip.with_scores(densepose_share=share), replace(tracks, iuv=iuv, boxes=boxes)

    def checks(self, clip: Clip) -> list[Check]:
        """Enough frames must show a body."""
        share, least = self._mapped_share(clip), self.config.min_mapped_share
        return [
            Check(
                verdict=self.name, signal="mapped_share", value=share, rule=AT_LEAST,
                threshold=least, key="densepose.min_mapped_share", code="densepose_failed",
                meaning="the body could not be mapped",
                evidence={"mapped_share": round(share or 0.0, 3), "min_mapped_share": least},
            )
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """Only the model."""
        return asdict(self.estimator.info)

    def _mapped_share(self, clip: Clip) -> float | None:
        """Share of the frames that are mapped; None: not measured."""
        if "body_share" not in clip.shares:
            return None
        shares = unpack_shares(clip.shares["body_share"])
        return float((shares >= self.config.min_body_share).mean())
