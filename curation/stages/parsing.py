"""Clothes labels of the one person in every frame."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import Clip, Reject, Tracks, unpack_shares
from curation.perception.protocols import HumanParser
from curation.stages.outfits import outfit_change
from datasets.labels import ParseLabel

WORN = (ParseLabel.UPPER, ParseLabel.DRESS)


@dataclass(frozen=True, kw_only=True)
class ParsingConfig:
    """How much of a garment must be seen."""

    min_garment_area: float = 0.008  # of the frame
    min_garment_share: float = 0.9  # of the frames must reach it
    max_outfit_change: float = 0.05  # by how much two parts of the clip differ more than each


@dataclass(frozen=True, kw_only=True, eq=False)
class ParseClothes:
    """Fills ``parse``."""

    parser: HumanParser
    config: ParsingConfig
    name: str = "parsing"

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """Reject where the upper garment is hardly seen, or another one from a moment on."""
        assert tracks.people is not None, "the people stage comes first"
        parse = np.stack(self.parser.parse(list(tracks.frames), tracks.people))
        garment = np.isin(parse, [int(label) for label in WORN])
        areas = garment.mean(axis=(1, 2))
        clip = clip.with_shares(garment_area=areas)
        change = outfit_change(tracks.frames, garment, clip.fps or 1.0)
        if change is not None:
            clip = clip.with_scores(outfit_change=change)
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
        """``garment_too_small``: too few frames show enough; ``outfit_change``: two are worn."""
        areas = unpack_shares(clip.shares["garment_area"])
        share = float((areas >= self.config.min_garment_area).mean())
        if share >= self.config.min_garment_share:
            change = clip.scores.get("outfit_change")  # absent where the clip is too short to tell
            if change is None or change <= self.config.max_outfit_change:
                return None
            told = {
                "outfit_change": round(change, 3),
                "max_outfit_change": self.config.max_outfit_change,
            }
            return Reject(clip=clip, code="outfit_change", evidence=told)
        evidence = {
            "garment_area": round(float(np.median(areas)), 4),
            "min_garment_area": self.config.min_garment_area,
            "share_of_frames": round(share, 3),
            "min_garment_share": self.config.min_garment_share,
        }
        return Reject(clip=clip, code="garment_too_small", evidence=evidence)
