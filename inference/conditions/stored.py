"""A video's conditions on disk: frames around the person, mask and DensePose.

They are made one chunk of frames at a time (``perceive.py``, ``given.py``) and read back the same
way, so memory does not grow with the video. The frames themselves are not stored: the source is
read again.
"""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.densepose import render_densepose
from datasets.storage import write_file
from inference.conditions.people import FoundPerson, PeopleInVideo
from inference.video.framing import CropWindow, frame_person
from inference.video.source import SourceVideo
from inference.video.work_folder import WorkFolder

CHUNK = 32
"""Frames stored in one file, and given to perception at once."""
_WORK_HEIGHT = 512  # rows that perception needs, about, whatever the network paints


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionFrame:
    """What the network sees of one frame, in the rectangle around the person."""

    index: int  # in the video
    time: float  # s
    image: np.ndarray  # (height, width, 3) uint8 RGB
    mask: np.ndarray  # (height, width) uint8, 255 = to be painted
    densepose: np.ndarray  # (height, width, 3) uint8, rendered

    def overlay(self) -> np.ndarray:
        """The image with the mask tinted, (height, width, 3) uint8, for display."""
        tint = np.array([255, 64, 160], np.float32)
        mixed = 0.5 * self.image.astype(np.float32) + 0.5 * tint
        return np.where(self.mask[..., None] > 127, mixed, self.image).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionTracks:
    """Mask and DensePose of some consecutive frames."""

    mask: np.ndarray  # (t, height, width) uint8, 255 = to be painted
    iuv: np.ndarray  # (t, height, width, 3) uint8 DensePose: I, U, V
    present: np.ndarray  # (t,) person found
    hem: np.ndarray | None = None  # (t, height, width) bool: see ``datasets.masks.below_hem``
    ground: np.ndarray | None = None  # (t, height, width) bool: certainly nobody's; None: unknown
    bare: np.ndarray | None = None  # (t, height, width) bool: bare arms; None: unknown


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoConditions:
    """All frames of one video, cut around one person; read from the work folder."""

    source: SourceVideo
    category: str  # upper, lower or overall
    margin: str | None  # of the mask, tight or wide; None: it was given as a file
    everyone: PeopleInVideo | None  # everyone in the video; None: conditions were given as files
    person: FoundPerson | None  # who gets the garment
    framing: CropWindow  # the rectangle of the source that the frames are cut to
    num_frames: int
    remarks: tuple[str, ...]  # on the source's file; see ``SourceVideo.remarks``
    num_without_person: int  # frames in which the person was not found; they are kept unchanged
    perception: dict[str, str]  # role -> model
    identity: dict[str, Any]  # everything they depend on; part of a result's identity
    folder: Path  # of the chunks
    work: WorkFolder

    def tracks(self, start: int, stop: int) -> ConditionTracks:
        """Mask and DensePose of the frames [start, stop), all of one chunk."""
        chunk = start // CHUNK
        whole = load_chunk(self.folder, chunk, self.framing.out_height, self.framing.out_width)
        rows = slice(start - chunk * CHUNK, stop - chunk * CHUNK)
        return ConditionTracks(
            mask=whole.mask[rows],
            iuv=whole.iuv[rows],
            present=whole.present[rows],
            hem=None if whole.hem is None else whole.hem[rows],
            ground=None if whole.ground is None else whole.ground[rows],
            bare=None if whole.bare is None else whole.bare[rows],
        )

    def cuts(self) -> Iterator[tuple[int, list[np.ndarray], list[float], ConditionTracks]]:
        """``CHUNK`` frames at a time: index of the first, cut frames, times in s, tracks."""
        start, frames = 0, self.source.counted_frames(self.num_frames)
        cut = ((float(frame.time), self.framing.take(frame.image)) for frame in frames)
        while batch := list(itertools.islice(cut, CHUNK)):
            tracks = self.tracks(start, start + len(batch))
            yield start, [image for _, image in batch], [time for time, _ in batch], tracks
            start += len(batch)

    def frames(self) -> Iterator[ConditionFrame]:
        """What the network sees, frame by frame."""
        for start, images, times, tracks in self.cuts():
            rendered = render_densepose(tracks.iuv)
            for row, (image, time) in enumerate(zip(images, times, strict=True)):
                yield ConditionFrame(
                    index=start + row, time=time, image=image,
                    mask=tracks.mask[row], densepose=rendered[row],
                )  # fmt: skip


def frame_for_conditions(
    boxes: np.ndarray, source: SourceVideo, height: int, width: int
) -> CropWindow:
    """The rectangle around a person, at a whole multiple of the network's size.

    Args:
        boxes: (n, 4) left, top, right, bottom in px: the person's places in the whole video.
        source: the video.
        height: of the network's frames, px.
        width: likewise.
    """
    scale = max(1, round(_WORK_HEIGHT / height))
    return frame_person(boxes, source.height, source.width, height * scale, width * scale)


def store_chunk(folder: Path, chunk: int, tracks: ConditionTracks) -> None:
    """Write one chunk, atomically."""
    packed = np.packbits(tracks.mask > 127, axis=-1)
    arrays = {"mask": packed, "present": tracks.present, "iuv": tracks.iuv}
    for name, track in (("hem", tracks.hem), ("ground", tracks.ground), ("bare", tracks.bare)):
        if track is not None:
            arrays[name] = np.packbits(track, axis=-1)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_file(_chunk_path(folder, chunk), buffer.getvalue())


def load_chunk(folder: Path, chunk: int, height: int, width: int) -> ConditionTracks:
    """Read one chunk back."""
    with np.load(_chunk_path(folder, chunk)) as arrays:
        mask = np.unpackbits(arrays["mask"], axis=-1, count=width) * np.uint8(255)
        assert mask.shape[1] == height
        found = {
            name: np.unpackbits(arrays[name], axis=-1, count=width) > 0
            for name in ("hem", "ground", "bare")
            if name in arrays
        }
        return ConditionTracks(mask=mask, iuv=arrays["iuv"], present=arrays["present"], **found)


def count_chunks(folder: Path) -> int:
    """Number of stored chunks before the first missing one."""
    return next(i for i in itertools.count() if not _chunk_path(folder, i).is_file())


def _chunk_path(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:06d}.npz"
