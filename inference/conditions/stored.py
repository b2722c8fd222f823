"""A video's conditions on disk: frames around the person, mask and DensePose.

They are made a chunk of frames at a time (``perceiving.py``, ``given_conditions.py``) and read back
the same way, so that memory does not grow with the video. The frames themselves are not stored:
the source is read again.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datasets.densepose import NUM_PARTS, VIRIDIS
from datasets.storage import write_file
from inference.conditions.people import Cast, FoundPerson
from inference.video.framing import Framing
from inference.video.source import SourceVideo
from inference.video.work_folder import WorkFolder

CHUNK = 32
"""Frames stored in one file, and looked at by perception at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionFrame:
    """What the network is shown of one frame, in the rectangle around the person."""

    index: int  # in the video
    time: float  # s
    image: np.ndarray  # (height, width, 3) uint8 RGB
    mask: np.ndarray  # (height, width) uint8, 255 = to be painted
    densepose: np.ndarray  # (height, width, 3) uint8, rendered

    def overlay(self) -> np.ndarray:
        """The image with the mask tinted, (height, width, 3) uint8: for people to look at."""
        tint = np.array([255, 64, 160], np.float32)
        mixed = 0.5 * self.image.astype(np.float32) + 0.5 * tint
        return np.where(self.mask[..., None] > 127, mixed, self.image).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Mask and DensePose of some consecutive frames."""

    mask: np.ndarray  # (t, height, width) uint8, 255 = to be painted
    parts: np.ndarray | None  # (t, height, width) uint8 DensePose parts
    densepose: np.ndarray | None = None  # or (t, height, width, 3) uint8, rendered elsewhere
    present: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (t,) person found

    def rendered(self) -> np.ndarray:
        """The DensePose pictures, (t, height, width, 3) uint8."""
        if self.densepose is not None:
            return self.densepose
        assert self.parts is not None
        return VIRIDIS[np.minimum(self.parts, NUM_PARTS)]


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoConditions:
    """All frames of one video, cut around one person; read from the work folder."""

    source: SourceVideo
    category: str  # upper, lower or overall
    cast: Cast | None  # everyone in the video; None: conditions were given as files
    person: FoundPerson | None  # whom they are of
    framing: Framing  # where the cut frames lie in the source
    num_frames: int
    num_without_person: int  # frames in which the person was not found; they stay as they are
    perception: dict[str, str]  # role -> model
    identity: dict[str, Any]  # what they depend on: names what is painted from them
    folder: Path  # of the chunks
    work: WorkFolder

    def tracks(self, start: int, stop: int) -> Tracks:
        """Mask and DensePose of the frames [start, stop), which lie in one chunk."""
        chunk = start // CHUNK
        whole = load_chunk(self.folder, chunk, self.framing.out_height, self.framing.out_width)
        rows = slice(start - chunk * CHUNK, stop - chunk * CHUNK)
        return Tracks(
            mask=whole.mask[rows],
            parts=None if whole.parts is None else whole.parts[rows],
            densepose=None if whole.densepose is None else whole.densepose[rows],
            present=whole.present[rows],
        )

    def cuts(self) -> Iterator[tuple[int, list[np.ndarray], list[float], Tracks]]:
        """``CHUNK`` frames at a time: number of the first, cut frames, times in s, tracks."""
        start, frames = 0, self.source.counted_frames(self.num_frames)
        cut = ((float(frame.time), self.framing.take(frame.image)) for frame in frames)
        while batch := list(itertools.islice(cut, CHUNK)):
            tracks = self.tracks(start, start + len(batch))
            yield start, [image for _, image in batch], [time for time, _ in batch], tracks
            start += len(batch)

    def frames(self) -> Iterator[ConditionFrame]:
        """What the network sees, frame after frame."""
        for start, images, times, tracks in self.cuts():
            rendered = tracks.rendered()
            for row, (image, time) in enumerate(zip(images, times, strict=True)):
                yield ConditionFrame(
                    index=start + row, time=time, image=image,
                    mask=tracks.mask[row], densepose=rendered[row],
                )  # fmt: skip

    def samples(self, count: int = 6) -> list[ConditionFrame]:
        """Some frames, evenly spread over those that show the person."""
        shown = [
            start + int(row)
            for start in range(0, self.num_frames, CHUNK)
            for row in np.flatnonzero(
                self.tracks(start, min(start + CHUNK, self.num_frames)).present
            )
        ]
        wanted = set(evenly(shown or list(range(self.num_frames)), count))
        return [frame for frame in self.frames() if frame.index in wanted]


def evenly(values: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` of the values, evenly spread, the middle of each stretch."""
    if len(values) <= count:
        return list(values)
    return [values[int((i + 0.5) * len(values) / count)] for i in range(count)]


def store_chunk(folder: Path, chunk: int, tracks: Tracks) -> None:
    """Write one chunk; it appears whole or not at all."""
    arrays = {"mask": np.packbits(tracks.mask > 127, axis=-1), "present": tracks.present}
    if tracks.parts is not None:
        arrays["parts"] = tracks.parts
    if tracks.densepose is not None:
        arrays["densepose"] = tracks.densepose
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_file(_chunk_path(folder, chunk), buffer.getvalue())


def load_chunk(folder: Path, chunk: int, height: int, width: int) -> Tracks:
    """Read one chunk back."""
    with np.load(_chunk_path(folder, chunk)) as arrays:
        mask = np.unpackbits(arrays["mask"], axis=-1, count=width) * np.uint8(255)
        assert mask.shape[1] == height
        return Tracks(
            mask=mask,
            parts=arrays["parts"] if "parts" in arrays.files else None,
            densepose=arrays["densepose"] if "densepose" in arrays.files else None,
            present=arrays["present"],
        )


def count_chunks(folder: Path) -> int:
    """Chunks that lie there without a gap from the first on."""
    return next(i for i in itertools.count() if not _chunk_path(folder, i).is_file())


def framing_record(framing: Framing) -> dict[str, int]:
    """A framing as plain numbers, for an identity."""
    return asdict(framing)


def _chunk_path(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:06d}.npz"
