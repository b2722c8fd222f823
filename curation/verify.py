"""``python -m curation.verify OUT``: check every shard, every track and every label value.

Reads the shards with their indices and the ledger; opens no raw video. Exit code 0 if all is well,
1 if there are faults.
"""

import io
import json
import logging
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.error import FFmpegError
from rich.console import Console

from configs.command import run_command
from configs.console import counted
from configs.errors import ConfigError
from curation.curated_folder import flag, open_output, output_argument
from curation.shards.shards import KEY, index_path
from datasets.labels import ParseLabel
from datasets.media_files import open_media
from datasets.storage import file_sha256, listed

logger = logging.getLogger(__name__)

USAGE = "make curate-verify OUT=data/dance [ARGS=quick=true]"
EXIT_FAULTS = 1
VIDEO_TRACKS = ("mp4", "parse.mp4", "mask.mp4", "iuv.mp4", "agnostic.mp4")
MEMBERS = (*VIDEO_TRACKS, "box.npy", "garment.png", "garment_mask.png", "json")
MAX_PART = 24
"""Largest valid I in an IUV track."""


@dataclass(frozen=True, kw_only=True)
class ShardFault:
    """One fault of a shard."""

    where: str  # shard, sample and member, as far as they apply
    what: str


def main(argv: list[str]) -> int:
    """Entry of ``python -m curation.verify``."""
    root, names, settings = output_argument(argv, USAGE)
    if names:
        raise ConfigError(f"{names[0]!r} is not an argument of this command; usage: {USAGE}")
    is_quick = flag(settings, "quick")
    with open_output(root) as output:
        expected = output.ledger.shards()
    console = Console()
    faults: list[ShardFault] = []
    num_samples = 0
    for shard in listed(root / "shards", "*.tar"):
        found, keys = check_shard(shard, is_quick=is_quick)
        faults += found
        if expected:  # folders of older versions do not record shards
            faults += _misplaced(shard.name, keys, expected)
        num_samples += len(keys)
        console.print(
            f"{shard.name}: {counted(len(keys), 'sample')}, {counted(len(found), 'fault')}",
            highlight=False,
        )
    for name in sorted(set(expected.values())):
        if not (root / "shards" / name).is_file():
            faults.append(ShardFault(where=name, what="is in the ledger, but missing"))
    for fault in faults:
        console.print(f"{fault.where}: {fault.what}", highlight=False, soft_wrap=True, markup=False)
    console.print(
        f"{counted(num_samples, 'sample')}, {counted(len(faults), 'fault')} in {root / 'shards'}"
    )
    return EXIT_FAULTS if faults else 0


def check_shard(shard: Path, *, is_quick: bool = False) -> tuple[list[ShardFault], list[str]]:
    """All faults of one shard, and its keys; ``is_quick`` skips checks that decode frames."""
    faults: list[ShardFault] = []

    def report(what: str, *names: str) -> None:
        faults.append(ShardFault(where=" ".join([shard.name, *names]), what=what))

    index = _read_index(shard, report)
    if index is not None:
        digest = file_sha256(shard)
        if digest != index["sha256"]:
            report(f"has sha256 {digest[:12]}, its index says {index['sha256'][:12]}")
    samples = _read_samples(shard, report)
    for key, members in samples.items():
        if not KEY.fullmatch(key):
            report("the key has characters that readers misinterpret", key)
        for member, what in check_sample(members, is_quick=is_quick):
            report(what, key, member)
    if index is not None:
        _compare(index, samples, shard, report)
    return faults, sorted(samples)


def check_sample(members: dict[str, bytes], *, is_quick: bool = False) -> Iterator[tuple[str, str]]:
    """Faults of one sample as (member, what)."""
    for name in MEMBERS:
        if name not in members:
            yield name, "is missing"
    try:
        record: dict[str, Any] = json.loads(members.get("json", b"{}"))
    except ValueError as error:
        yield "json", f"is not JSON ({error})"
        return
    wanted = record.get("num_frames")
    for name in VIDEO_TRACKS:
        if name not in members:
            continue
        try:
            values = None if is_quick or name in {"mp4", "agnostic.mp4"} else _allowed(name)
            count, strange = _inspect(members[name], values)
        except (FFmpegError, OSError) as error:
            yield name, f"cannot be read ({error})"
            continue
        if count != wanted:
            yield name, f"has {counted(count, 'frame')}, the json says {wanted}"
        if strange:
            yield name, f"has invalid values: {', '.join(map(str, strange[:5]))}"
    yield from _check_boxes(members.get("box.npy"), wanted)
    for name in ("garment.png", "garment_mask.png", "target.png"):
        if name in members:
            data = np.frombuffer(members[name], np.uint8)
            if not len(data) or cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
                yield name, "is not a picture"


def _allowed(track: str) -> frozenset[int]:
    if track == "parse.mp4":
        return frozenset(int(label) for label in ParseLabel)
    return frozenset({0, 255}) if track == "mask.mp4" else frozenset(range(MAX_PART + 1))


def _inspect(data: bytes, allowed: frozenset[int] | None) -> tuple[int, list[int]]:
    """Number of frames, and the values of its labels (of I in IUV) that are not allowed."""
    count, seen = 0, np.zeros(256, dtype=bool)
    with open_media(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        if allowed is None:
            return sum(packet.size > 0 for packet in container.demux(stream)), []
        for frame in container.decode(stream):
            is_gray = frame.format.name.startswith("gray")
            pixels = frame.to_ndarray(format="gray" if is_gray else "rgb24")
            seen |= np.bincount(
                (pixels if is_gray else pixels[..., 0]).ravel(), minlength=256
            ).astype(bool)
            count += 1
    return count, [int(value) for value in np.flatnonzero(seen) if int(value) not in allowed]


def _check_boxes(data: bytes | None, num_frames: int | None) -> Iterator[tuple[str, str]]:
    if data is None:
        return
    try:
        boxes = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        yield "box.npy", f"cannot be read ({error})"
        return
    if boxes.shape != (num_frames, 4) or not np.isfinite(boxes).all():
        yield "box.npy", f"has shape {boxes.shape}; expected ({num_frames}, 4), all finite"


def _read_index(shard: Path, report: Callable[..., None]) -> dict[str, Any] | None:
    path = index_path(shard)
    if not path.is_file():
        report(f"has no index {path.name}")
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        report(f"its index is not JSON ({error})")
        return None


def _read_samples(shard: Path, report: Callable[..., None]) -> dict[str, dict[str, bytes]]:
    samples: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                key, _, member = info.name.partition(".")
                file = archive.extractfile(info)
                if file is not None:
                    samples.setdefault(key, {})[member] = file.read()
    except tarfile.TarError as error:
        report(f"is not a complete tar file ({error})")
    return samples


def _compare(
    index: dict[str, Any],
    samples: dict[str, dict[str, bytes]],
    shard: Path,
    report: Callable[..., None],
) -> None:
    """Compare the index with the tar: keys, members, and the bytes at every offset."""
    named = {sample["key"]: sample["members"] for sample in index["samples"]}
    for key in sorted(set(named) ^ set(samples)):
        report("is missing from the tar" if key in named else "is not in the index", key)
    with shard.open("rb") as file:
        for key in sorted(set(named) & set(samples)):
            for member in sorted(set(named[key]) | set(samples[key])):
                offset, size = named[key].get(member, (0, 0))
                file.seek(offset)
                if file.read(size) != samples[key].get(member):
                    report("is not where the index says", key, member)


def _misplaced(shard: str, keys: list[str], expected: dict[str, str]) -> list[ShardFault]:
    wanted = {key for key, name in expected.items() if name == shard}
    return [
        ShardFault(
            where=f"{shard} {key}",
            what="is missing" if key in wanted else "belongs elsewhere according to the ledger",
        )
        for key in sorted(wanted ^ set(keys))
    ]


if __name__ == "__main__":
    run_command(main)
