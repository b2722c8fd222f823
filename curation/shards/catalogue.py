"""What a whole output folder holds: the ledger's rows with duplicates resolved and splits drawn.

A pure function of the ledger and the settings; shards, manifest and report are built from it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curation.clip import Reject
from curation.ledger import ClipRow, SourceRow
from curation.shards.duplicates import (
    NEAR_DUPLICATE,
    DuplicatesConfig,
    Fingerprint,
    copy_check,
    find_clusters,
    unpack_hashes,
)
from curation.shards.groups import HELD_OUT_FIRST, name_groups
from curation.shards.shards import PackedClip, ShardsConfig, split_of

PRIVATE_FIELDS = (
    "hashes", "request", "num_people", "split", "shares", "seconds", "made", "people", "followed",
    "num_bytes",
)  # fmt: skip
"""Fields of a stored record that are omitted from a sample's json, or stored elsewhere in it."""

GARMENT = "garment.png"
HELD_OUT = "held_out"
"""Reject code of clips that show what a benchmark clip shows."""


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A candidate clip and its final status."""

    clip: ClipRow
    source: SourceRow
    split: str | None  # None: rejected
    group: str

    @property
    def is_kept(self) -> bool:
        """Whether it goes into a shard."""
        return self.clip.status == "kept"


def build_catalogue(
    sources: Sequence[SourceRow],
    clips: Sequence[ClipRow],
    duplicates: DuplicatesConfig,
    shards: ShardsConfig,
    known_groups: Mapping[str, str] | None = None,
    held_out: Collection[str] = (),
    takes: Sequence[Sequence[str]] = (),
) -> list[CatalogueEntry]:
    """All candidate clips, in order of clip_id, as the ledger's are.

    ``known_groups``: own group -> group, as named by an earlier run. Clips ``held_out`` are kept
    rather than their copies. ``takes``: clip_ids of clips that one split keeps together.
    """
    by_sha = {source.sha256: source for source in sources}
    clusters = _clusters(clips, duplicates) if duplicates.enabled else []
    owner = {clip.clip_id: by_sha[clip.source_sha256].group for clip in clips}
    names = name_groups(
        (source.group for source in sources),
        [
            *([owner[member.clip_id] for member in cluster] for cluster in clusters),
            *([owner[name] for name in take] for take in takes),
        ],
        known_groups or {},
        lambda name: split_of(name, shards),
    )

    def split_of_clip(clip_id: str, source: SourceRow) -> str:
        if clip_id in held_out:
            return "bench"
        return source.sidecar.get("split") or split_of(names[owner[clip_id]], shards)

    splits = {
        clip.clip_id: split_of_clip(clip.clip_id, by_sha[clip.source_sha256]) for clip in clips
    }
    losers: dict[str, Reject] = {}
    for cluster in clusters:
        # of copies in different splits, the one used for scoring is kept
        ordered = sorted(cluster, key=lambda member: HELD_OUT_FIRST[splits[member.clip_id]])
        for loser in ordered[1:]:
            losers[loser.clip_id] = copy_check(None, duplicates, ordered[0].clip_id).reject
    entries: list[CatalogueEntry] = []
    for clip in clips:
        if clip.clip_id in losers:
            reject = losers[clip.clip_id]
            clip = replace(clip, status="rejected", code=reject.code, evidence=reject.evidence)
        entries.append(
            CatalogueEntry(
                clip=clip,
                source=by_sha[clip.source_sha256],
                split=splits[clip.clip_id] if clip.status == "kept" else None,
                group=names[owner[clip.clip_id]],
            )
        )
    return entries


def groups_of(entries: Sequence[CatalogueEntry]) -> dict[str, str]:
    """Own group -> group of every source that took part; these names never change."""
    return {
        entry.source.group: entry.group
        for entry in entries
        if entry.is_kept or entry.clip.code in (NEAR_DUPLICATE, HELD_OUT)
    }


def packed_clips(
    entries: Sequence[CatalogueEntry],
    clips_root: Path,
    targets: Mapping[str, str | None] | None = None,
) -> list[PackedClip]:
    """Kept clips as they go into shards; their json includes the sidecar's values.

    ``targets``: clip_id -> the clip whose garment a held-out one is to wear.
    """
    folders = {entry.clip.clip_id: entry.clip.folder for entry in entries if entry.is_kept}
    packed: list[PackedClip] = []
    for entry in entries:
        if not entry.is_kept:
            continue
        assert entry.split is not None
        assert entry.clip.folder is not None
        record = {k: v for k, v in entry.clip.record.items() if k not in PRIVATE_FIELDS}
        record |= {
            "clip_id": entry.clip.clip_id,
            "source": entry.source.name,
            "licence": entry.source.sidecar.get("licence"),
            "url": entry.source.sidecar.get("url"),
            "group": entry.group,
            "split": entry.split,
        }
        target = folders.get((targets or {}).get(entry.clip.clip_id) or "")
        packed.append(
            PackedClip(
                key=entry.clip.clip_id,
                split=entry.split,
                folder=clips_root / entry.clip.folder,
                record=record,
                extra={} if target is None else {"target.png": clips_root / target / GARMENT},
                known_bytes=entry.clip.record.get("num_bytes"),
            )
        )
    return packed


def _clusters(clips: Sequence[ClipRow], config: DuplicatesConfig) -> list[list[Fingerprint]]:
    prints = [
        Fingerprint(
            clip_id=clip.clip_id,
            hashes=unpack_hashes(clip.record["hashes"]),
            pixels=clip.record["height"] * clip.record["width"],
            duration_s=clip.record["end_s"] - clip.record["start_s"],
        )
        for clip in clips
        if clip.status == "kept" and "hashes" in clip.record
    ]
    return find_clusters(prints, config)
