"""Kept clips -> WebDataset shards: a pure function of the ledger, the same bytes every time.

Sorted keys, no timestamps, a fixed owner. A shard appears under its name only when complete, with
its index (offset and size of every member, sha256) next to it; an existing shard with the same
content is left alone.
"""

import hashlib
import io
import json
import logging
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from configs.checks import check_range
from configs.console import size_in_words
from datasets.shards import SPLITS
from datasets.storage import sweep, write_file

logger = logging.getLogger(__name__)

SAMPLE_SCHEMA = 1
KEY = re.compile(r"[a-z0-9_-]+")
"""A dot in a key would silently merge two samples."""


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """Size of shards, and how splits are assigned."""

    max_clips: int = 500
    max_bytes: int = 536_870_912
    val_share: float = 0.1  # of the groups not assigned by a sidecar
    salt: str = "viton-dit"  # another salt selects other groups

    def __post_init__(self) -> None:
        check_range(self, "val_share", least=0, below=1)
        check_range(self, "max_clips", "max_bytes", least=1)


@dataclass(frozen=True, kw_only=True)
class PackedClip:
    """A sample to pack: the location of its members, and its json."""

    key: str
    split: str
    folder: Path
    record: dict[str, Any]
    extra: dict[str, Path] = field(default_factory=dict)  # members from other clips' folders
    known_bytes: int | None = None  # of its members, if stored

    @property
    def num_bytes(self) -> int:
        """Size of its members; file sizes are read only if not stored."""
        if self.known_bytes is not None:
            return self.known_bytes
        return sum(path.stat().st_size for path in self.paths().values())

    def paths(self) -> dict[str, Path]:
        """Member -> its file, without the json."""
        return {path.name: path for path in self.folder.iterdir()} | self.extra


def split_of(group: str, config: ShardsConfig) -> str:
    """Train or val, by the hash of a group alone: adding data moves nothing."""
    digest = hashlib.sha256(f"{config.salt}\0{group}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") / 2**64 < config.val_share else "train"


def plan_shards(
    clips: Sequence[PackedClip], config: ShardsConfig, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Key -> file name of its shard; nothing is written.

    A clip stays in its shard of the ``known`` plan, so that adding and removing clips touches few
    shards; new clips fill the last shard of their split, then further ones, in order of keys. A
    shard that is too large is distributed again.
    """
    known = known or {}
    plan: dict[str, str] = {}
    for split in SPLITS:
        filled: dict[str, list[PackedClip]] = {}
        unplaced: list[PackedClip] = []
        for clip in sorted((c for c in clips if c.split == split), key=lambda clip: clip.key):
            is_placed = known.get(clip.key, "").startswith(f"{split}-")
            (filled.setdefault(known[clip.key], []) if is_placed else unplaced).append(clip)
        for name in [name for name, inside in filled.items() if _is_too_large(inside, config)]:
            unplaced += filled.pop(name)
        number = max((_number_of(name) for name in filled), default=0)
        room = list(filled.get(f"{split}-{number:06d}.tar", []))
        count, size = len(room), sum(clip.num_bytes for clip in room)
        plan |= {clip.key: name for name, inside in filled.items() for clip in inside}
        for clip in sorted(unplaced, key=lambda clip: clip.key):
            is_full = count >= config.max_clips or size + clip.num_bytes > config.max_bytes
            if count and is_full:
                number, count, size = number + 1, 0, 0
            plan[clip.key] = f"{split}-{number:06d}.tar"
            count, size = count + 1, size + clip.num_bytes
    return plan


def _is_too_large(clips: Sequence[PackedClip], config: ShardsConfig) -> bool:
    if len(clips) == 1:
        return False
    total = sum(clip.num_bytes for clip in clips)
    return len(clips) > config.max_clips or total > config.max_bytes


def _number_of(shard: str) -> int:
    return int(shard.removesuffix(".tar").rpartition("-")[2])


def pack_shards(clips: Sequence[PackedClip], out: Path, shard_of: Mapping[str, str]) -> int:
    """Write the shards of a plan and remove shards that no clip belongs to any more.

    Returns:
        Number of shards written.
    """
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    members: dict[str, list[PackedClip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.key):
        members.setdefault(shard_of[clip.key], []).append(clip)
    for path in sorted(out.glob("*.tar")):
        if path.name not in members:
            path.unlink()
            index_path(path).unlink(missing_ok=True)
    return sum(_write_shard(out / name, members[name]) for name in sorted(members))


def index_path(shard: Path) -> Path:
    """The index of a shard: ``train-000000.json`` next to ``train-000000.tar``."""
    return shard.with_suffix(".json")


def _write_shard(path: Path, clips: Sequence[PackedClip]) -> bool:
    """Write one shard unless it exists with the same content; returns whether it was written."""
    content = hashlib.sha256()
    for clip in clips:
        further = [f"{name}={path.parent.name}\0" for name, path in sorted(clip.extra.items())]
        named = f"{clip.key}\0{clip.folder.name}\0{''.join(further)}"
        content.update(named.encode() + _record_bytes(clip))
    index_file = index_path(path)
    if path.is_file() and index_file.is_file():
        index = json.loads(index_file.read_text(encoding="utf-8"))
        is_same = index["content"] == content.hexdigest()
        if is_same and index["num_bytes"] == path.stat().st_size:
            return False
    index_file.unlink(missing_ok=True)
    samples: list[dict[str, Any]] = []
    digest = hashlib.sha256()

    def fill(file: IO[bytes]) -> None:
        # same output as webdataset's TarWriter, without importing torch
        hashing: Any = _HashingFile(file, digest)
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for clip in clips:
                members: dict[str, list[int]] = {}
                for member, data in sorted(_members(clip)):
                    entry = tarfile.TarInfo(f"{clip.key}.{member}")
                    entry.size, entry.mode = len(data), 0o644
                    entry.uname = entry.gname = "viton-dit"  # the same for any user, on any day
                    members[member] = [tar.offset + tarfile.BLOCKSIZE, len(data)]
                    tar.addfile(entry, io.BytesIO(data))
                samples.append({"key": clip.key, "members": members})

    write_file(path, fill)
    index = {
        "schema": SAMPLE_SCHEMA,
        "sha256": digest.hexdigest(),
        "content": content.hexdigest(),
        "num_bytes": path.stat().st_size,
        "samples": samples,
    }
    text = json.dumps(index, sort_keys=True, indent=1).encode()
    write_file(index_file, text)
    logger.info("%s: %d clips, %s", path.name, len(clips), size_in_words(path.stat().st_size))
    return True


def _members(clip: PackedClip) -> Iterator[tuple[str, bytes]]:
    assert KEY.fullmatch(clip.key), f"{clip.key!r} is not a valid shard key"
    for name, path in sorted(clip.paths().items()):
        yield name, path.read_bytes()
    yield "json", _record_bytes(clip)


def _record_bytes(clip: PackedClip) -> bytes:
    return json.dumps({"schema": SAMPLE_SCHEMA, **clip.record}, sort_keys=True).encode()


class _HashingFile:
    """A writer that also hashes everything written."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file = file
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)
