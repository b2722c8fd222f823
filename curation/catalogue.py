"""What a whole output folder holds: the ledger's rows with duplicates resolved and splits drawn.

A pure function of the ledger and the settings; shards, manifest and report are made from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curation.ledger import ClipRow, SourceRow
from curation.shards import PackedClip, ShardsConfig, split_of
from curation.stages.duplicates import DuplicatesConfig, Fingerprint, find_clusters, unpack_hashes

SPLIT_ORDER = {"bench": 0, "val": 1, None: 2, "train": 3}
"""Of two copies in different splits, the one that scores are computed on stays."""
PRIVATE_FIELDS = ("hashes", "request", "num_people", "split", "shares")
"""Fields of a stored record that a sample's json does not carry, or carries elsewhere."""


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A candidate clip with its last word."""

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
) -> list[CatalogueEntry]:
    """All candidate clips, in order of clip_id."""
    by_sha = {source.sha256: source for source in sources}
    groups = {source.sha256: source.group for source in sources}
    losers: dict[str, dict[str, Any]] = {}
    if duplicates.enabled:
        for cluster in _clusters(clips, by_sha, duplicates):
            for loser in cluster[1:]:
                losers[loser.clip_id] = {
                    "same_as": cluster[0].clip_id,
                    "max_distance": duplicates.max_distance,
                }
            _join_groups(groups, [_sha_of(clip.clip_id, clips) for clip in cluster])
    entries: list[CatalogueEntry] = []
    for clip in clips:
        source = by_sha[clip.source_sha256]
        group = groups[clip.source_sha256]
        if clip.clip_id in losers:
            clip = replace(
                clip, status="rejected", code="near_duplicate", evidence=losers[clip.clip_id]
            )
        split = source.sidecar.get("split") or split_of(group, shards)
        is_kept = clip.status == "kept"
        entries.append(
            CatalogueEntry(clip=clip, source=source, split=split if is_kept else None, group=group)
        )
    return entries


def packed_clips(entries: Sequence[CatalogueEntry], clips_root: Path) -> list[PackedClip]:
    """Kept clips as they go into shards; the json gets what the sidecar says."""
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
        packed.append(
            PackedClip(
                key=entry.clip.clip_id,
                split=entry.split,
                folder=clips_root / entry.clip.folder,
                record=record,
            )
        )
    return packed


def _clusters(
    clips: Sequence[ClipRow], sources: dict[str, SourceRow], config: DuplicatesConfig
) -> list[list[Fingerprint]]:
    kept = [clip for clip in clips if clip.status == "kept"]
    kept.sort(key=lambda c: SPLIT_ORDER[sources[c.source_sha256].sidecar.get("split")])
    priority = {clip.clip_id: index for index, clip in enumerate(kept)}
    split = {c.clip_id: sources[c.source_sha256].sidecar.get("split") for c in kept}
    prints = [
        Fingerprint(
            clip_id=clip.clip_id,
            hashes=unpack_hashes(clip.record["hashes"]),
            pixels=clip.record["height"] * clip.record["width"],
            duration_s=clip.record["end_s"] - clip.record["start_s"],
        )
        for clip in sorted(kept, key=lambda clip: priority[clip.clip_id])
    ]
    return [
        sorted(cluster, key=lambda clip: SPLIT_ORDER[split[clip.clip_id]])
        for cluster in find_clusters(prints, config)
    ]


def _join_groups(groups: dict[str, str], shas: list[str]) -> None:
    """Sources of one cluster share a split: their groups become one."""
    merged = {groups[sha] for sha in shas}
    name = min(merged)
    for sha, group in groups.items():
        if group in merged:
            groups[sha] = name


def _sha_of(clip_id: str, clips: Sequence[ClipRow]) -> str:
    return next(clip.source_sha256 for clip in clips if clip.clip_id == clip_id)
