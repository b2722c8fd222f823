"""Clips that are held out for `make eval` (``bench=50``), and what must not be trained on for them.

No two show the same person, garment or place, as far as sources' groups and looks (``looks.py``)
tell. What was chosen once stays: the ledger remembers it, and adding sources moves nothing. The
other clips of a chosen group, and those that show its person or garment in its place, are let go as
``held_out``. Each gets the garment of another one to put on.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curation.clip import AT_MOST, Check
from curation.shards.catalogue import HELD_OUT, CatalogueEntry
from curation.stages.colours import (
    HeldOutConfig,
    Looks,
    apart,
    measure_looks,
    people_apart,
    read_looks,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """One clip that is scored on; its group is never trained on again."""

    clip_id: str
    group: str
    target: str | None  # clip whose garment it is to put on; None: there is no other


def choose_held_out(
    entries: Sequence[CatalogueEntry],
    looks: Mapping[str, Looks],
    before: Sequence[HeldOut],
    count: int,
    config: HeldOutConfig,
) -> list[HeldOut]:
    """The clips that are held out, in the order in which they were chosen.

    Those of before stay, with their groups, even where the clip itself is rejected today. New
    ones follow one by one, each the one that differs most from all that were chosen.

    Args:
        entries: all candidate clips.
        looks: of the kept ones, by clip_id.
        before: what earlier runs chose.
        count: how many are wanted.
        config: what differing means.
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
    nearest = {name: _least(looks[name], [looks[p] for p in present], config) for name in free}
    while len(present) < count:
        fits = [name for name in free if kept[name].group not in groups and nearest[name] >= 0]
        if not fits:
            logger.warning(
                "held out are %d clips, not %d: no other one differs from all of them in person, "
                "garment and place", len(present), count,
            )  # fmt: skip
            break
        best = max(fits, key=lambda name: (nearest[name], name))
        present.append(best)
        groups.add(kept[best].group)
        chosen.append(HeldOut(clip_id=best, group=kept[best].group, target=None))
        for name in fits:
            distance = _least(looks[name], [looks[best]], config)
            nearest[name] = min(nearest[name], distance)
    return _with_targets(chosen, present, looks)


def _present(held: HeldOut, kept: Mapping[str, CatalogueEntry]) -> HeldOut:
    """The same, or, where it is cut otherwise today, the longest kept clip of its group."""
    mine = [e.clip for e in kept.values() if e.group == held.group]
    if held.clip_id in kept or not mine:
        return held
    best = max(mine, key=lambda clip: (clip.record["end_s"] - clip.record["start_s"], clip.clip_id))
    return replace(held, clip_id=best.clip_id)


def left_out(
    entries: Sequence[CatalogueEntry],
    looks: Mapping[str, Looks],
    held: Sequence[HeldOut],
    config: HeldOutConfig,
) -> dict[str, dict[str, Any]]:
    """clip_id -> evidence of kept clips that are trained on no more."""
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
            told = None
            if one.clip_id in looks:
                told = config.is_seen_in(looks[name], looks[one.clip_id])
            if told is not None:
                found[name] = {"shows_what_does": one.clip_id, **told}
                break
    return found


def held_out_check(evidence: Mapping[str, Any] | None) -> Check:
    """A clip must not give one of the benchmark away.

    Args:
        evidence: how it does (``left_out``); None: it does not.
    """
    return Check(
        verdict=HELD_OUT, signal="shows what the benchmark shows", value=int(evidence is not None),
        rule=AT_MOST, threshold=0, key="held_out", code=HELD_OUT, evidence=evidence or {},
        meaning="it shows what a clip of the benchmark shows, so that it may not be trained on",
    )  # fmt: skip


def _least(one: Looks, others: Sequence[Looks], config: HeldOutConfig) -> float:
    """How far a clip is from the nearest of others; below 0: too near. 2 where there is none."""
    distances = [
        min(apart(one.garment, other.garment), apart(one.background, other.background))
        + people_apart(one, other) / 2
        if config.differ(one, other)
        else -1.0
        for other in others
    ]
    return min(distances, default=2.0)


def _with_targets(
    chosen: Sequence[HeldOut], present: Sequence[str], looks: Mapping[str, Looks]
) -> list[HeldOut]:
    """Each with the garment that is most unlike its own, which stays while its clip is there."""
    targets: list[HeldOut] = []
    for held in chosen:
        target = held.target if held.target in present else None
        others = [name for name in present if name != held.clip_id]
        if target is None and others and held.clip_id in present:
            mine = looks[held.clip_id].garment
            target = max(others, key=lambda name: (apart(mine, looks[name].garment), name))
        targets.append(HeldOut(clip_id=held.clip_id, group=held.group, target=target))
    return targets


def clip_looks(
    entries: Sequence[CatalogueEntry], clips_root: Path, stored: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Looks], dict[str, dict[str, Any]]]:
    """Looks of kept clips, and those that were measured now by their folders.

    Args:
        entries: all candidate clips.
        clips_root: where their folders lie.
        stored: folder -> looks, of the ledger.
    """
    looks: dict[str, Looks] = {}
    new: dict[str, dict[str, Any]] = {}
    for entry in entries:
        folder = entry.clip.folder
        if not entry.is_kept or folder is None:
            continue
        values = stored.get(folder) or new.get(folder)
        if values is None:
            values = new[folder] = measure_looks(clips_root / folder).pack()
        looks[entry.clip.clip_id] = read_looks(values)
    return looks, new


def hold_out(
    entries: Sequence[CatalogueEntry],
    held: Sequence[HeldOut],
    left: Mapping[str, dict[str, Any]],
) -> list[CatalogueEntry]:
    """The catalogue with held-out clips in bench, and those that give them away let go."""
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
