"""Clips that are held out for `make eval` (``bench=50``), and what must not be trained on for them.

No two show the same person, garment or place, as far as sources' groups and colours
(``stages/colours.py``) can tell. The choice is permanent: the ledger stores it, and adding sources
changes nothing. The other clips of a chosen group, and clips that show its person or garment in
its place, are rejected as ``held_out``. Each held-out clip gets another one's garment to put on.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curation.clip import AT_MOST, Check
from curation.ledger import ClipRow
from curation.shards.catalogue import HELD_OUT, CatalogueEntry
from curation.stages.colours import (
    ColourProfile,
    HeldOutConfig,
    apart,
    measure_profile,
    people_apart,
    read_profile,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One benchmark clip; its group is never trained on again."""

    clip_id: str
    group: str
    target: str | None  # clip whose garment to put on; None: there is no other


def choose_held_out(
    entries: Sequence[CatalogueEntry],
    profiles: Mapping[str, ColourProfile],
    before: Sequence[HeldOut],
    count: int,
    config: HeldOutConfig,
) -> list[HeldOut]:
    """The held-out clips, in the order in which they were chosen.

    Earlier choices stay, with their groups, even if the clip itself is now rejected. New ones are
    added one by one, each the one that differs most from all chosen so far.
    """
    kept = {entry.clip.clip_id: entry for entry in entries if entry.is_kept}
    chosen = [_present(held, kept) for held in before]
    present = [held.clip_id for held in chosen if held.clip_id in kept]
    groups = {held.group for held in before}
    free = sorted(
        name
        for name, entry in kept.items()
        if not entry.source.sidecar.get("split") and entry.group not in groups
    )
    nearest = {
        name: _least(profiles[name], [profiles[p] for p in present], config) for name in free
    }
    while len(present) < count:
        fits = [name for name in free if kept[name].group not in groups and nearest[name] >= 0]
        if not fits:
            logger.warning(
                "only %d clips are held out, not %d: no other clip differs from all of them in "
                "person, garment and place", len(present), count,
            )  # fmt: skip
            break
        best = max(fits, key=lambda name: (nearest[name], name))
        present.append(best)
        groups.add(kept[best].group)
        chosen.append(HeldOut(clip_id=best, group=kept[best].group, target=None))
        for name in fits:
            distance = _least(profiles[name], [profiles[best]], config)
            nearest[name] = min(nearest[name], distance)
    return _with_targets(chosen, present, profiles)


def _present(held: HeldOut, kept: Mapping[str, CatalogueEntry]) -> HeldOut:
    """The same, or, if it is now cut differently, the longest kept clip of its group."""
    mine = [e.clip for e in kept.values() if e.group == held.group]
    if held.clip_id in kept or not mine:
        return held
    best = max(mine, key=lambda clip: (clip.record["end_s"] - clip.record["start_s"], clip.clip_id))
    return replace(held, clip_id=best.clip_id)


def left_out(
    entries: Sequence[CatalogueEntry],
    profiles: Mapping[str, ColourProfile],
    held: Sequence[HeldOut],
    config: HeldOutConfig,
) -> dict[str, dict[str, Any]]:
    """clip_id -> evidence, for kept clips that may no longer be used for training."""
    by_id = {one.clip_id: one for one in held}
    by_group = {one.group: one for one in held}
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = entry.clip.clip_id
        if not entry.is_kept or name in by_id or entry.source.sidecar.get("split") == "bench":
            continue
        if entry.group in by_group:
            found[name] = {"same_group_as": by_group[entry.group].clip_id}
            continue
        for one in held:
            match = None
            if one.clip_id in profiles:
                match = config.is_seen_in(profiles[name], profiles[one.clip_id])
            if match is not None:
                found[name] = {"shows_what_does": one.clip_id, **match}
                break
    return found


def held_out_check(evidence: Mapping[str, Any] | None) -> Check:
    """A clip must not show what a benchmark clip shows."""
    return Check(
        verdict=HELD_OUT, signal="shows what the benchmark shows", value=int(evidence is not None),
        rule=AT_MOST, threshold=0, key="held_out", code=HELD_OUT, evidence=evidence or {},
        meaning="it shows what a benchmark clip shows, so it may not be used for training",
    )  # fmt: skip


def _least(one: ColourProfile, others: Sequence[ColourProfile], config: HeldOutConfig) -> float:
    """Distance of a clip to the nearest of others; below 0: too near. 2 if there are none."""
    distances = [
        min(apart(one.garment, other.garment), apart(one.background, other.background))
        + people_apart(one, other) / 2
        if config.differ(one, other)
        else -1.0
        for other in others
    ]
    return min(distances, default=2.0)


def _with_targets(
    chosen: Sequence[HeldOut], present: Sequence[str], profiles: Mapping[str, ColourProfile]
) -> list[HeldOut]:
    """Assign each the garment least like its own; an existing choice stays while its clip does."""
    targets: list[HeldOut] = []
    for held in chosen:
        target = held.target if held.target in present else None
        others = [name for name in present if name != held.clip_id]
        if target is None and others and held.clip_id in present:
            mine = profiles[held.clip_id].garment
            target = max(others, key=lambda name: (apart(mine, profiles[name].garment), name))
        targets.append(replace(held, target=target))
    return targets


def clip_profiles(
    clips: Iterable[ClipRow], clips_root: Path, stored: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, ColourProfile], dict[str, dict[str, Any]]]:
    """Colour profiles of kept clips by clip_id, and newly measured ones by folder."""
    profiles: dict[str, ColourProfile] = {}
    new: dict[str, dict[str, Any]] = {}
    for clip in clips:
        if clip.status != "kept" or clip.folder is None:
            continue
        values = stored.get(clip.folder) or new.get(clip.folder)
        if values is None:
            values = new[clip.folder] = measure_profile(clips_root / clip.folder).pack()
        profiles[clip.clip_id] = read_profile(values)
    return profiles, new


def hold_out(
    entries: Sequence[CatalogueEntry],
    held: Sequence[HeldOut],
    left: Mapping[str, dict[str, Any]],
) -> list[CatalogueEntry]:
    """The catalogue with held-out clips in bench, and clips too similar to them rejected."""
    bench = {one.clip_id for one in held}
    listed: list[CatalogueEntry] = []
    for entry in entries:
        clip = entry.clip
        if entry.is_kept and clip.clip_id in bench:
            entry = replace(entry, split="bench")
        elif entry.is_kept and clip.clip_id in left:
            reject = held_out_check(left[clip.clip_id]).reject
            gone = replace(clip, status="rejected", code=reject.code, evidence=reject.evidence)
            entry = replace(entry, clip=gone, split=None)
        listed.append(entry)
    return listed
