"""Shards: plain tar files of samples, read by random access.

A sample is the members that share a key, ``KEY.mp4, KEY.mask.mp4, ... KEY.json``: WebDataset's
layout. A shard is scanned once, header by header or from the index that curation wrote next to it;
after that each read is one seek, so any worker can fetch any sample at any step.
"""

import hashlib
import json
import logging
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import DataError
from datasets.bad_samples import Fault

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "bench")
TRACK_MEMBERS = ("mp4", "mask.mp4", "iuv.mp4", "box.npy", "garment.png", "json")
"""The members that training reads; every sample must have all of them."""
GARMENT_REGION_MEMBERS = ("parse.mp4", "garment_mask.png")
"""The garment's region, in the frames and in its picture."""

Members = dict[str, tuple[int, int]]
"""Member (the part after the key) -> (offset, size)."""


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """The bytes of one sample's members, by member: 'mp4', 'mask.mp4', ..."""

    key: str
    files: dict[str, bytes]

    @property
    def record(self) -> dict[str, Any]:
        """The sample's json."""
        return json.loads(self.files["json"])


@dataclass(frozen=True, kw_only=True)
class IndexedSample:
    """The offsets of a sample's members, and its json."""

    key: str
    shard: Path
    members: Members
    record: dict[str, Any] = field(repr=False)

    @property
    def num_frames(self) -> int:
        """Frames of every track."""
        return int(self.record["num_frames"])

    def read(self, members: Iterable[str] | None = None) -> ShardSample:
        """Read the named members (all if None); those that do not exist are omitted."""
        wanted = self.members if members is None else [m for m in members if m in self.members]
        files: dict[str, bytes] = {}
        with self.shard.open("rb") as shard:
            for member in wanted:
                offset, size = self.members[member]
                shard.seek(offset)
                files[member] = shard.read(size)
                if len(files[member]) != size:
                    raise DataError(
                        f"{self.shard}: {self.key}.{member} is truncated; write the shard again"
                    )
        return ShardSample(key=self.key, files=files)


@dataclass(frozen=True, kw_only=True)
class ShardScan:
    """The good samples of a shard, and its faults."""

    samples: list[IndexedSample]
    faults: list[Fault]
    content: str  # hash of the content


def list_shards(root: str | Path, split: str) -> list[Path]:
    """The shards of one split under a curated folder, in order; may be empty.

    Raises:
        DataError: no such split.
    """
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; use {', '.join(SPLITS)}")
    return sorted((Path(root) / "shards").glob(f"{split}-*.tar"))


def find_shards(root: str | Path, split: str) -> list[Path]:
    """The shards of one split under a curated folder, in order: at least one.

    Raises:
        DataError: the folder, its ``shards`` or the split does not exist.
    """
    folder = Path(root) / "shards"
    shards = list_shards(root, split)
    if not shards and not folder.is_dir():
        raise DataError(
            f"{folder} does not exist; make it with `make curate SRC=<raw videos> OUT={root}`"
        )
    if not shards:
        found = sorted(path.name for path in folder.glob("*.tar"))
        raise DataError(f"{folder} holds no {split}-*.tar; it holds {', '.join(found) or 'no tar'}")
    return shards


def index_split(root: str | Path, split: str) -> list[IndexedSample]:
    """Every sample of a split, in stored order."""
    samples = [sample for shard in find_shards(root, split) for sample in index_shard(shard)]
    if not samples:
        raise DataError(f"the {split} shards under {root} contain no sample")
    return samples


def index_shard(shard: Path) -> list[IndexedSample]:
    """Every sample of one tar file, all of which must be complete.

    Raises:
        DataError: it is not a plain tar, is truncated, or a sample lacks a member of TRACK_MEMBERS.
    """
    scan = scan_shard(shard)
    if scan.faults:
        fault = scan.faults[0]
        where = fault.name if fault.key else fault.shard
        raise DataError(f"{where} {fault.reason}")
    return scan.samples


def scan_shard(shard: Path, needed: Iterable[str] = TRACK_MEMBERS) -> ShardScan:
    """The complete samples of a tar file and its faults; raises nothing for a bad file."""
    num_bytes = shard.stat().st_size
    index = _stored_index(shard)
    is_current = index is not None and index["num_bytes"] == num_bytes
    found, problem = (index["members"], "") if index and is_current else _tar_members(shard)
    faults: list[Fault] = []
    samples: list[IndexedSample] = []
    content = hashlib.sha256()
    with shard.open("rb") as file:
        for key, members in found.items():
            if max(offset + size for offset, size in members.values()) > num_bytes:
                faults.append(_fault(shard, key, "is truncated: the shard ends within it"))
                continue
            missing = [member for member in needed if member not in members]
            file.seek(members.get("json", (0, 0))[0])
            text = file.read(members.get("json", (0, 0))[1])
            record = _parse(text)
            content.update(f"{key}\0{sorted(members.items())}\0".encode() + text)
            if record is not None and "bad" in record:  # of a latent cache: the clip is unreadable
                missing = []
            if missing:
                faults.append(_fault(shard, key, f"has no {missing[0]}"))
            elif record is None:
                faults.append(_fault(shard, key, "has an invalid json, or one without num_frames"))
            else:
                samples.append(IndexedSample(key=key, shard=shard, members=members, record=record))
    lost = [key for key in index["members"] if key not in found] if index else []
    faults += [_fault(shard, key, f"is no longer in it: {problem}") for key in lost]
    if problem and not lost and not any("truncated" in fault.reason for fault in faults):
        faults.append(_fault(shard, "", f"is not a complete, uncompressed tar file ({problem})"))
    stored = index["content"] if index is not None and is_current else None
    return ShardScan(samples=samples, faults=faults, content=stored or content.hexdigest())


def _fault(shard: Path, key: str, reason: str) -> Fault:
    return Fault(shard=str(shard), key=key, reason=reason)


def _stored_index(shard: Path) -> dict[str, Any] | None:
    """Size, content and members from the index next to the shard; None without one."""
    path = shard.with_suffix(".json")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        members = {
            sample["key"]: {name: (int(o), int(s)) for name, (o, s) in sample["members"].items()}
            for sample in index["samples"]
        }
        return {
            "num_bytes": int(index["num_bytes"]), "content": str(index["content"]),
            "members": members,
        }  # fmt: skip
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is not an index of a shard (%r); the shard is scanned", path, error)
        return None


def _tar_members(shard: Path) -> tuple[dict[str, Members], str]:
    """Members by key, in stored order, up to the first error, and that error."""
    found: dict[str, Members] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                if info.isfile():
                    key, _, member = Path(info.name).name.partition(".")
                    found.setdefault(key, {})[member] = (info.offset_data, info.size)
    except tarfile.TarError as error:
        return found, str(error)
    return found, ""


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except ValueError:
        return None
    frames = record.get("num_frames") if isinstance(record, dict) else None
    return record if isinstance(frames, int) and frames > 0 else None
