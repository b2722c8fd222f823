"""Clothes labels of the one person in every frame."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import AT_LEAST, AT_MOST, Check, Clip, Tracks, unpack_shares
from curation.first_pass.signals import median
from curation.perception.protocols import HumanParser
from curation.stages.outfits import outfit_change
from datasets.labels import ParseLabel, among

TOO_SMALL, TOO_SMALL_MEANING = "garment_too_small", "too little of the garment is visible"
WORN = (ParseLabel.UPPER, ParseLabel.DRESS)


@dataclass(frozen=True, kw_only=True)
class ParsingConfig:
    """Limits on visible garment."""

    min_garment_area: float = 0.008  # of the frame
    min_garment_share: float = 0.9  # of the frames must reach it
    max_outfit_change: float = 0.08  # see ``outfit_change``


@dataclass(frozen=True, kw_only=True, eq=False)
class ParseClothes:
    """Fills ``parse``."""

    parser: HumanParser
    config: ParsingConfig
    name: str = "parsing"
    reads: tuple[str, ...] = ()

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Needs ``people``."""
        assert tracks.people is not None, "the people stage comes first"
        parse = np.stack(self.parser.parse(list(tracks.frames), tracks.people))
        garment = among(parse, WORN)
        areas = garment.mean(axis=(1, 2))
        clip = clip.with_scores(garment_area=median(areas))
        clip = clip.with_shares(garment_area=areas)
        change = outfit_change(tracks.frames, garment, clip.fps or 1.0)
        if change is not None:  # None: the clip is too short
            clip = clip.with_scores(outfit_change=change)
        clip = replace(clip, verdicts={**clip.verdicts, self.name: "parsed"})
        return clip, replace(tracks, parse=parse)

    def checks(self, clip: Clip) -> list[Check]:
        """Enough frames must show enough of the garment, and the same garment throughout."""
        config, share, evidence = self.config, None, {}
        if "garment_area" in clip.shares:
            areas = unpack_shares(clip.shares["garment_area"])
            share = float((areas >= config.min_garment_area).mean())
            evidence = {
                "garment_area": round(median(areas), 4),
                "min_garment_area": config.min_garment_area,
                "share_of_frames": round(share, 3),
                "min_garment_share": config.min_garment_share,
            }
        change, most = clip.scores.get("outfit_change"), config.max_outfit_change
        return [
            Check(
                verdict=self.name, signal="share_of_frames", value=share, rule=AT_LEAST,
                threshold=config.min_garment_share, key="parsing.min_garment_share",
                code=TOO_SMALL, meaning=TOO_SMALL_MEANING, evidence=evidence,
            ),
            Check(
                verdict=self.name, signal="outfit_change", value=change, rule=AT_MOST,
                threshold=most, key="parsing.max_outfit_change", code="outfit_change",
                meaning="the garment changes during the clip",
                evidence={"outfit_change": round(change or 0.0, 3), "max_outfit_change": most},
            ),
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """Only the model."""
        return asdict(self.parser.info)
