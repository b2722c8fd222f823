"""Clothes labels of the one person in every frame."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import Clip, Reject, Tracks, unpack_shares
from curation.perception.protocols import HumanParser
from datasets.parts import ParseLabel

WORN = (ParseLabel.UPPER, ParseLabel.DRESS)


@dataclass(frozen=True, kw_only=True)
class ParsingConfig:
    """How much of a garment must be seen."""

    min_garment_area: float = 0.008  # of the frame
    min_garment_share: float = 0.9  # of the frames must reach it


@dataclass(frozen=True, kw_only=True, eq=False)
class ParseClothes:
    """Fills ``parse``."""

    parser: HumanParser
    config: ParsingConfig
    name: str = "parsing"

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """Reject with ``garment_too_small`` when the upper garment is hardly seen."""
        assert tracks.people is not None, "the people stage comes first"
        parse = np.stack(self.parser.parse(list(tracks.frames), tracks.people))
        areas = np.isin(parse, [int(label) for label in WORN]).mean(axis=(1, 2))
        clip = clip.with_shares(garment_area=areas)
        refused = self.judge(clip)
        if refused is not None:
            return refused
        passed = replace(clip, verdicts={**clip.verdicts, self.name: "parsed"})
        return passed.with_scores(garment_area=float(np.median(areas))), replace(
            tracks, parse=parse
        )

    def making(self) -> dict[str, Any]:
        """The model alone."""
        return asdict(self.parser.info)

    def judge(self, clip: Clip) -> Reject | None:
        """``garment_too_small``: too few frames show enough of an upper garment."""
        areas = unpack_shares(clip.shares["garment_area"])
        share = float((areas >= self.config.min_garment_area).mean())
        if share >= self.config.min_garment_share:
            return None
        evidence = {
            "garment_area": round(float(np.median(areas)), 4),
            "min_garment_area": self.config.min_garment_area,
            "share_of_frames": round(share, 3),
            "min_garment_share": self.config.min_garment_share,
        }
        return Reject(clip=clip, code="garment_too_small", evidence=evidence)
