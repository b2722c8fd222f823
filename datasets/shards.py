"""Shards: plain tar files of samples, read by random access.

A sample is the members that share a key, ``KEY.mp4, KEY.mask.mp4, ... KEY.json``: WebDataset's
layout. A shard is scanned once, header by header, and from then on each read is one seek: that is
what lets any sample be fetched at any step, by any worker.
"""

import json
import logging
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import DataError

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "bench")
TRACK_MEMBERS = ("mp4", "mask.mp4", "iuv.mp4", "box.npy", "garment.png", "json")
"""What training reads of a sample; a sample that lacks one of them is not a sample."""
GARMENT_REGION_MEMBERS = ("parse.mp4", "garment_mask.png")
"""What says where the garment is, in the frames and in its picture."""


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """The bytes of one sample's members, keyed by what follows the key: 'mp4', 'mask.mp4', ..."""

    key: str
    files: dict[str, bytes]

    @property
    def record(self) -> dict[str, Any]:
        """The sample's json."""
        return json.loads(self.files["json"])


@dataclass(frozen=True, kw_only=True)
class IndexedSample:
    """Where a sample's members lie, and what its json says."""

    key: str
    shard: Path
    members: dict[str, tuple[int, int]]  # extension -> (offset, size)
    record: dict[str, Any] = field(repr=False)

    @property
    def num_frames(self) -> int:
        """Frames of every track."""
        return int(self.record["num_frames"])

    def read(self, members: Iterable[str] | None = None) -> ShardSample:
        """Fetch the named members (all of them when None); those that do not exist are left out."""
        wanted = self.members if members is None else [m for m in members if m in self.members]
        files: dict[str, bytes] = {}
        with self.shard.open("rb") as shard:
            for member in wanted:
                offset, size = self.members[member]
                shard.seek(offset)
                files[member] = shard.read(size)
                if len(files[member]) != size:
                    raise DataError(f"{self.shard}: {self.key}.{member} is cut short; make it anew")
        return ShardSample(key=self.key, files=files)


def find_shards(root: str | Path, split: str) -> list[Path]:
    """The shards of one split under a curated folder, in order.

    Raises:
        DataError: the folder, its ``shards`` or the split is not there.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} does not exist; there are {', '.join(SPLITS)}")
    folder = Path(root) / "shards"
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist; make it with `make curate SRC=<raw videos> OUT={root}`"
        )
    shards = sorted(folder.glob(f"{split}-*.tar"))
    if not shards:
        found = sorted(path.name for path in folder.glob("*.tar"))
        raise DataError(f"{folder} holds no {split}-*.tar; it holds {', '.join(found) or 'no tar'}")
    return shards


def index_split(root: str | Path, split: str) -> list[IndexedSample]:
    """Every sample of a split, in the order in which the shards hold them."""
    samples = [sample for shard in find_shards(root, split) for sample in index_shard(shard)]
    if not samples:
        raise DataError(f"the {split} shards under {root} hold no sample")
    return samples


def index_shard(shard: Path) -> list[IndexedSample]:
    """Scan one tar file.

    Raises:
        DataError: it is no plain tar, is cut short, or a sample lacks a member that training needs.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                if info.isfile():
                    key, _, member = Path(info.name).name.partition(".")
                    found.setdefault(key, {})[member] = (info.offset_data, info.size)
    except tarfile.TarError as error:
        raise DataError(f"{shard} is not a whole, uncompressed tar file ({error})") from error
    return [_complete(shard, key, members) for key, members in found.items()]


def _complete(shard: Path, key: str, members: dict[str, tuple[int, int]]) -> IndexedSample:
    missing = [member for member in TRACK_MEMBERS if member not in members]
    if missing:
        raise DataError(f"{shard}: sample {key!r} has no {missing[0]}")
    offset, size = members["json"]
    with shard.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    try:
        record = json.loads(content)
    except ValueError as error:
        raise DataError(f"{shard}: {key}.json is not JSON ({error})") from error
    if not isinstance(record, dict) or "num_frames" not in record:
        raise DataError(f"{shard}: {key}.json does not say num_frames")
    return IndexedSample(key=key, shard=shard, members=members, record=record)
