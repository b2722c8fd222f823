"""The detections in every frame of a canonical clip, stored so that no detector has to run again.

``take.npz`` holds every detection of the stretch that was cut out, ``chosen.npz`` and
``person.mp4`` (lossless) everything else about the one person kept in the clip. They are stored
next to the clips, not in shards: changed thresholds and other models start from them.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.first_pass.signals import PersonSamples
from curation.perception.protocols import Person
from datasets.tracks import encode_labels

TAKE = {
    "num_people": ("<i4", ()), "boxes": ("<f4", (4,)), "scores": ("<f8", ()),
    "keypoints": ("<f4", (17, 3)), "track_ids": ("<i4", ()), "changes": ("<f4", ()),
}  # fmt: skip
"""Arrays of ``take.npz``: kind, and shape of one person's entry (for num_people: one frame's)."""


def pack_people(
    found: list[list[Person]], chosen: Sequence[Person | None] | None, fps: float
) -> dict[str, bytes]:
    """Files of a folder for ``read_take`` and ``read_chosen``.

    ``chosen``: the one person of every frame, from ``found``; None: the clip is rejected.
    """
    flat = [person for frame in found for person in frame]
    take = {
        "num_people": [len(frame) for frame in found],
        "boxes": [p.box for p in flat],
        "scores": [p.score for p in flat],
        "keypoints": [p.keypoints for p in flat],
        "track_ids": [-1 if p.track_id is None else p.track_id for p in flat],
        "changes": [np.nan if p.change is None else p.change for p in flat],
    }
    arrays = {n: np.array(take[n], kind).reshape(-1, *one) for n, (kind, one) in TAKE.items()}
    files = {"take.npz": _npz(**arrays)}
    if chosen is None:
        return files
    row_of = {id(person): row for row, person in enumerate(flat)}
    landmarks = {
        f"landmarks_{index}": person.landmarks
        for index, person in enumerate(chosen)
        if person is not None and person.landmarks is not None
    }
    rows = np.array([-1 if p is None else row_of[id(p)] for p in chosen], np.int32)
    masks = [None if person is None else person.mask for person in chosen]
    files["chosen.npz"] = _npz(
        rows=rows, has_mask=np.array([mask is not None for mask in masks]), **landmarks
    )
    first = next((mask for mask in masks if mask is not None), None)
    if first is not None:
        filled = (np.zeros_like(first) if mask is None else mask for mask in masks)
        files["person.mp4"] = encode_labels(filled, fps)
    return files


def read_take(folder: Path) -> list[list[Person]]:
    """Every detection of every frame, without masks and landmarks."""
    arrays = _read_arrays(folder / "take.npz")
    ends = np.cumsum(arrays["num_people"])
    people = [
        Person(
            box=arrays["boxes"][row],
            score=float(arrays["scores"][row]),
            keypoints=arrays["keypoints"][row],
            track_id=None if arrays["track_ids"][row] < 0 else int(arrays["track_ids"][row]),
            change=None if np.isnan(arrays["changes"][row]) else float(arrays["changes"][row]),
        )
        for row in range(int(ends[-1]) if len(ends) else 0)
    ]
    return [
        people[end - count : end] for end, count in zip(ends, arrays["num_people"], strict=True)
    ]


def read_seen(folder: Path, fps: float, height: int, width: int) -> PersonSamples:
    """``collect_samples`` of ``read_take``, without building a person for each detection."""
    arrays = _read_arrays(folder / "take.npz")
    scale = np.array([width, height, width, height], dtype=np.float32)
    keypoints = arrays["keypoints"].copy()
    keypoints[..., 0] /= scale[0]
    keypoints[..., 1] /= scale[1]
    return PersonSamples(
        times_s=np.arange(len(arrays["num_people"])) / fps,
        num_people=arrays["num_people"],
        boxes=arrays["boxes"] / scale,
        scores=arrays["scores"].astype(np.float32),
        keypoints=keypoints,
        track_ids=arrays["track_ids"],
        changes=arrays["changes"],
    )


def read_chosen(folder: Path) -> list[Person | None]:
    """The one person of every frame of the clip, with all stored fields."""
    from curation.stages.clip_files import read_gray

    flat = [person for frame in read_take(folder) for person in frame]
    arrays = _read(folder / "chosen.npz")
    masks = read_gray((folder / "person.mp4").read_bytes()) if arrays["has_mask"].any() else None
    chosen: list[Person | None] = []
    for index, row in enumerate(arrays["rows"]):
        if row < 0:
            chosen.append(None)
            continue
        seen = flat[row]
        has_mask = masks is not None and arrays["has_mask"][index]
        chosen.append(
            Person(
                box=seen.box,
                score=seen.score,
                keypoints=seen.keypoints,
                mask=masks[index] if masks is not None and has_mask else None,
                landmarks=arrays.get(f"landmarks_{index}"),
                track_id=seen.track_id,
            )
        )
    return chosen


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """``_read`` for arrays of known kinds, five times as fast: a refilter reads thousands.

    Most of the time would go to ``ZipFile.open``, which reads each member in small pieces.
    """
    data = path.read_bytes()
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as stored:
        for name, (kind, one) in TAKE.items():
            member = stored.getinfo(f"{name}.npy")
            # a member's own header: 30 bytes, then its name and extra field, of stated lengths
            lengths = struct.unpack_from("<HH", data, member.header_offset + 26)
            packed = memoryview(data)[member.header_offset + 30 + sum(lengths) :]
            array = zlib.decompress(packed[: member.compress_size], wbits=-15)
            if zlib.crc32(array) != member.CRC:
                raise zipfile.BadZipFile(f"{path}: {member.filename} is damaged")
            start = 10 + int.from_bytes(array[8:10], "little")
            assert f"'{kind}'".encode() in array[:start], f"{path}: {name} has an unexpected kind"
            arrays[name] = np.frombuffer(array, kind, offset=start).reshape(-1, *one)
    return arrays


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]  (stub of numpy)
    return buffer.getvalue()


def _read(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
