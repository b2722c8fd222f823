"""Takes of one garment in one room: different clips, which a split keeps together.

Compared by colours (``stages/colours.py``). A clip joins the first clip like it, the first by
clip_id, and is compared with no other member, so that a thousand clips in one studio do not
become one group by a chain of small steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from configs.checks import check_range
from curation.shards.catalogue import CatalogueEntry
from curation.stages.colours import ColourProfile

COARSE = 32
"""Bins compared first: histograms that differ there differ at least as much in all 256."""


@dataclass(frozen=True, kw_only=True)
class TakesConfig:
    """When two clips show one garment in one room; see configs/curate.yaml."""

    together: bool = True  # in one split
    max_garment_apart: float = 0.15
    max_background_apart: float = 0.4

    def __post_init__(self) -> None:
        check_range(self, "max_garment_apart", "max_background_apart", least=0, most=1)


def find_takes(profiles: Mapping[str, ColourProfile], config: TakesConfig) -> list[list[str]]:
    """Names of clips that show one garment in one room, where there are several."""
    if not profiles or not config.together:
        return []
    names = sorted(profiles)
    garments, places = (
        np.array([getattr(profiles[name], part) for name in names], np.float32)
        for part in ("garment", "background")
    )
    coarse = garments.reshape(len(names), COARSE, -1).sum(axis=2)
    ours = np.empty_like(coarse)  # of the first clip of each take, in its first rows
    firsts: list[int] = []
    members: list[list[str]] = []
    for index, name in enumerate(names):
        near = np.flatnonzero(
            _apart(ours[: len(firsts)], coarse[index]) <= config.max_garment_apart
        )
        like = [firsts[take] for take in near.tolist()]
        is_same = _apart(garments[like], garments[index]) <= config.max_garment_apart
        is_same &= _apart(places[like], places[index]) <= config.max_background_apart
        joined = near[is_same]
        if len(joined):
            members[int(joined[0])].append(name)
        else:
            ours[len(firsts)] = coarse[index]
            firsts.append(index)
            members.append([name])
    return [found for found in members if len(found) > 1]


def _apart(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    """``colours.apart`` of each of (n, bins) from one; of joined bins, never more than of all."""
    return np.asarray(np.abs(many - one).sum(axis=1) / 2)


def in_several_splits(
    takes: Iterable[Sequence[str]], entries: Iterable[CatalogueEntry]
) -> list[list[str]]:
    """Takes that are in several splits: their groups are older, or a sidecar says so."""
    splits = {entry.clip.clip_id: entry.split for entry in entries if entry.is_kept}
    return [
        shown
        for take in takes
        for shown in [[name for name in take if name in splits]]
        if len({splits[name] for name in shown}) > 1
    ]
