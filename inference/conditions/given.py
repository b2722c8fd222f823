"""Conditions made elsewhere: a mask video and a DensePose video next to the source."""

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from configs.console import counted
from configs.errors import ConfigError, DataError
from datasets.densepose import VIRIDIS, parts_of_picture
from datasets.storage import file_sha256, write_file
from inference.conditions.stored import (
    CHUNK,
    ConditionTracks,
    VideoConditions,
    count_chunks,
    frame_for_conditions,
    store_chunk,
)
from inference.progress import CONDITIONS, FINDING, Tracker
from inference.video.framing import CropWindow
from inference.video.source import Reading, SourceVideo, open_video, warn_of
from inference.video.work_folder import WorkFolder

FORMATS = ("rendered", "iuv")
_FAR_FROM_GROUND = 60  # sum over the channels; compression changes the plain ground by less
_FORMAT = 3


@dataclass(frozen=True, kw_only=True)
class GivenConditions:
    """Two videos with as many frames as the source, of its size or at least its aspect."""

    mask: Path  # bright = to be painted
    densepose: Path
    densepose_format: str = "rendered"  # the usual picture of parts; or iuv: I, U, V, lossless

    def __post_init__(self) -> None:
        if self.densepose_format not in FORMATS:
            raise ConfigError(
                f"densepose_format={self.densepose_format!r}; {' or '.join(FORMATS)} is accepted"
            )


def read_conditions(
    source: SourceVideo,
    given: GivenConditions,
    category: str,
    height: int,
    width: int,
    work: WorkFolder,
    tracker: Tracker,
) -> VideoConditions:
    """Cut the given videos around what they show, chunk by chunk.

    Args:
        source: the video.
        given: its conditions.
        category: for the record.
        height: of the network's frames, px.
        width: likewise.
        work: where to store them.
        tracker: receives the progress.

    Raises:
        VideoUnreadable: a file is not a video.
        DataError: the videos differ in length or aspect, or nothing is to be painted.
    """
    identity = {
        "format": _FORMAT, "source": _sha256(source.path), "mask": _sha256(given.mask),
        "densepose": _sha256(given.densepose), "kind": given.densepose_format,
        "category": category, "size": [height, width], "chunk": CHUNK,
    }  # fmt: skip
    folder = work.section("conditions", identity)
    record = folder / "summary.json"
    if record.is_file():
        summary = json.loads(record.read_text(encoding="utf-8"))
        tracker.start(CONDITIONS, summary["num_frames"], summary["num_frames"])
    else:
        summary = _make(source, given, height, width, folder, tracker)
        write_file(record, json.dumps(summary).encode())
    remarks = tuple(summary["remarks"])
    warn_of(source, remarks)
    return VideoConditions(
        source=source,
        category=category,
        margin=None,
        everyone=None,
        person=None,
        framing=CropWindow(**summary["framing"]),
        num_frames=summary["num_frames"],
        remarks=remarks,
        num_without_person=summary["num_without_person"],
        perception={"mask": given.mask.name, "densepose": given.densepose.name},
        identity=identity,
        folder=folder,
        work=work,
    )


def _make(
    source: SourceVideo,
    given: GivenConditions,
    height: int,
    width: int,
    folder: Path,
    tracker: Tracker,
) -> dict:
    tracker.start(FINDING, source.expected_frames)
    boxes: list[np.ndarray] = []
    num_frames = num_empty = 0
    for mask, densepose in _given_frames(source, given):
        shown = (mask > 127) | _is_body(densepose, given.densepose_format)
        num_empty += not (mask > 127).any()
        left, top, wide, high = cv2.boundingRect(shown.astype(np.uint8))
        if wide:
            boxes.append(np.array([left, top, left + wide, top + high], np.float32))
        num_frames += 1
        tracker.report(num_frames)
    if num_empty == num_frames:
        raise DataError(f"mask {given.mask} is dark everywhere; bright areas are painted")
    remarks = _check_length(source, given, num_frames)
    framing = frame_for_conditions(np.stack(boxes), source, height, width)
    finished = count_chunks(folder)
    tracker.start(CONDITIONS, num_frames, min(num_frames, finished * CHUNK))
    pairs = itertools.islice(_given_frames(source, given), finished * CHUNK, num_frames)
    cut = (_cut(framing, mask, pose, given.densepose_format) for mask, pose in pairs)
    done = finished * CHUNK
    while batch := list(itertools.islice(cut, CHUNK)):
        mask = np.stack([pair[0] for pair in batch])
        tracks = ConditionTracks(
            mask=mask,
            iuv=np.stack([pair[1] for pair in batch]),
            present=mask.reshape(len(mask), -1).max(axis=1) > 0,
        )
        store_chunk(folder, done // CHUNK, tracks)
        done += len(batch)
        tracker.report(done)
    return {
        "framing": asdict(framing),
        "num_frames": num_frames,
        "remarks": remarks,
        "num_without_person": int(num_empty),
    }


def _given_frames(
    source: SourceVideo, given: GivenConditions
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mask (height, width) and DensePose (height, width, 3) of each frame, at the source's size."""
    size = (source.width, source.height)
    masks, poses = open_video(given.mask), open_video(given.densepose)
    for name, track in (("mask", masks), ("densepose", poses)):
        if abs(track.width / track.height - source.width / source.height) > 0.02:
            raise DataError(
                f"{name} {track.path} is {track.height}x{track.width}, the video "
                f"{source.height}x{source.width} (height x width); the aspects must be equal"
            )
    for mask, pose in itertools.zip_longest(masks.frames(), poses.frames()):
        if mask is None or pose is None:
            raise DataError(
                f"mask {given.mask} and densepose {given.densepose} have different numbers of "
                "frames; both need one for each frame of the video"
            )
        gray = cv2.resize(mask.image.max(axis=-1), size, interpolation=cv2.INTER_NEAREST)
        yield gray, cv2.resize(pose.image, size, interpolation=cv2.INTER_NEAREST)


def _is_body(densepose: np.ndarray, kind: str) -> np.ndarray:
    if kind == "iuv":
        return densepose[..., 0] > 0
    return np.abs(densepose.astype(np.int16) - VIRIDIS[0]).sum(-1) > _FAR_FROM_GROUND


def _cut(
    framing: CropWindow, mask: np.ndarray, densepose: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    iuv = densepose if kind == "iuv" else parts_of_picture(densepose)
    return framing.take_mask(mask), framing.take_labels(iuv)


def _check_length(source: SourceVideo, given: GivenConditions, num_frames: int) -> tuple[str, ...]:
    """Compare with the video itself; returns the remarks on it."""
    reading = Reading()
    count = sum(1 for _ in source.frames(reading))
    if count != num_frames:
        raise DataError(
            f"video {source.path} has {counted(count, 'frame')}, mask {given.mask} has "
            f"{num_frames}; the mask needs one for each frame of the video"
        )
    return source.remarks(reading)


def _sha256(path: Path) -> str:
    if not os.path.isfile(path):
        raise DataError(f"{path} does not exist; give a video file")
    return file_sha256(path)
