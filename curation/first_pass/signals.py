"""What the first pass measures of a source, frame by frame, and how it is stored.

Every threshold is applied to these numbers, so a changed threshold needs no decoding.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from configs.errors import DataError
from datasets.video.orientation import Orientation

THUMB_HEIGHT, THUMB_WIDTH = 16, 17
"""Gray thumbnail of every frame; 17 columns give the hash 16 differences per row."""
SIGNALS_SCHEMA = 9
ALIGNED = 16
FLAT_GRAY = 4
"""Neighbours in a thumbnail that differ by at most this count as equal."""
BLOCK = 4096
"""Thumbnails compared at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PersonSamples:
    """The detector's people in the sampled frames; n samples, p people in all."""

    times_s: np.ndarray  # (n,) float64
    num_people: np.ndarray  # (n,) int32
    boxes: np.ndarray  # (p, 4) float32: left, top, right, bottom as shares of width and height
    scores: np.ndarray  # (p,) float32
    keypoints: np.ndarray  # (p, 17, 3) float32: x and y as shares, visibility
    track_ids: np.ndarray  # (p,) int32; -1 stands for "not tracked" in the file only
    changes: np.ndarray  # (p,) float32: Person.change; NaN stands for "unknown" in the file only


@dataclass(frozen=True, kw_only=True, eq=False)
class Previews:
    """Thumbnails of a source for the report; n of them."""

    times_s: np.ndarray  # (n,) float64
    ends: np.ndarray  # (n,) int64: where each one ends in ``jpeg``
    jpeg: np.ndarray  # uint8, one after the other

    def read(self, index: int) -> bytes:
        """One picture as a JPEG file."""
        start = int(self.ends[index - 1]) if index else 0
        return self.jpeg[start : int(self.ends[index])].tobytes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals:
    """Per-frame measurements of one source; n frames. Times are PTS in seconds."""

    times_s: np.ndarray  # (n,) float64
    content: np.ndarray  # (n,) float32: ContentDetector's score, change of hue, saturation, value
    histogram: np.ndarray  # (n,) float32: correlation with the histogram of the frame before
    motion: np.ndarray  # (n,) float32: mean absolute change of gray, 0..255
    sharpness: np.ndarray  # (n,) float32: variance of the Laplacian of the proxy
    brightness: np.ndarray  # (n,) float32: mean gray, 0..255
    contrast: np.ndarray  # (n,) float32: standard deviation of gray
    bars: np.ndarray  # (n, 4) float32: dark top, bottom, left, right as shares of the side
    thumbs: np.ndarray  # (n, 16, 17) uint8
    sizes: np.ndarray  # (n, 2) int32: height and width, upright, square pixels
    fill_times_s: np.ndarray  # (k,) float64: frames that were checked for fills
    fills: np.ndarray  # (k, 4) float32: what inner_picture.blurred_fills gave
    still_edges: np.ndarray  # (k, 32, 32, 3) uint8: what StillEdges.add gave at fill_times_s
    fault_times_s: np.ndarray  # (m,) float64: where decoding failed
    joins_s: np.ndarray  # (j,) float64: where another recording begins in a joined file
    num_interlaced: int  # frames that were deinterlaced
    orientation: Orientation
    seconds: dict[str, list[float]]  # cost: step -> CPU s, wall s
    samples: PersonSamples | None = None
    previews: Previews | None = None
    cut_probability: np.ndarray | None = None  # (n,) float32, the arbiter's; NaN: not asked

    @property
    def num_frames(self) -> int:
        """Number of decoded frames."""
        return len(self.times_s)

    @property
    def is_resized(self) -> np.ndarray:
        """(n,) bool: the frame's size differs from the one before."""
        changes = (self.sizes[1:] != self.sizes[:-1]).any(axis=1)
        return np.concatenate(([False], changes))

    @property
    def is_joined(self) -> np.ndarray:
        """(n,) bool: the frame begins another recording."""
        return np.isin(self.times_s, self.joins_s)

    def size_at(self, time_s: float) -> tuple[int, int]:
        """Height and width of the frame shown at a time; changes only at cuts."""
        index = int(np.searchsorted(self.times_s, time_s + 1e-6, side="right")) - 1
        height, width = self.sizes[max(index, 0)]
        return int(height), int(width)

    @cached_property
    def frame_s(self) -> float:
        """Typical time between two frames, the median of the differences."""
        return median(np.diff(self.times_s)) if self.num_frames > 1 else 0.0

    @cached_property
    def edges_s(self) -> np.ndarray:
        """(n + 1,) times of the frames, and when the last one ends."""
        return np.append(self.times_s, self.end_s)

    @property
    def end_s(self) -> float:
        """When the last frame ends."""
        return float(self.times_s[-1]) + self.frame_s if self.num_frames else 0.0

    def between(self, start_s: float, end_s: float) -> slice:
        """Frames with start_s <= PTS < end_s."""
        first, last = np.searchsorted(self.times_s, [start_s - 1e-6, end_s - 1e-6])
        return slice(int(first), int(last))


def join_samples(parts: Sequence[PersonSamples]) -> PersonSamples:
    """Concatenate samples."""
    names = [field.name for field in fields(PersonSamples)]
    return PersonSamples(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def gradients_of(thumbs: np.ndarray) -> np.ndarray:
    """Signs (n, 16, 16) int8 of thumbnails (n, 16, 17): 1 where it gets brighter to the right.

    A difference hash with a third value: 0 where neighbours are nearly equal, so that flat areas,
    whose bits are compression noise, carry no information.
    """
    change = thumbs[:, :, 1:].astype(np.int16) - thumbs[:, :, :-1]
    return (change > FLAT_GRAY).astype(np.int8) - (change < -FLAT_GRAY).astype(np.int8)


def median(values: np.ndarray) -> float:
    """``np.median`` of (n,) without NaN, n >= 1; eight times as fast for the frames of a clip."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def thumb_changes(thumbs: np.ndarray, lag: int) -> np.ndarray:
    """Mean absolute difference of thumbnails (n, h, w) ``lag`` frames apart, (n - lag,)."""
    flat = thumbs.reshape(len(thumbs), -1)
    changes = np.empty(max(len(flat) - lag, 0))
    for start in range(0, len(changes), BLOCK):  # temporaries triple an hour's 30 MB
        stop = min(start + BLOCK, len(changes))
        change = cv2.absdiff(flat[start:stop], flat[start + lag : stop + lag])
        sums = cv2.reduce(change, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
        changes[start:stop] = sums[:, 0] / flat.shape[1]
    return changes


def runs_of(flags: np.ndarray) -> list[slice]:
    """Maximal runs of True in (n,) bool, as slices."""
    if not len(flags):
        return []
    edges = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist(), len(flags)]
    runs = [slice(start, stop) for start, stop in pairwise(edges)]
    return runs[::2] if flags[0] else runs[1::2]


def write_signals(signals: Signals, file: IO[bytes]) -> None:
    """Write one file: a line of JSON with the position of each array, then the arrays.

    Not compressed, so that judging a folder of 10,000 again reads each file fast. Written array by
    array, so that an hour's arrays are not held twice.
    """
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, object] = {}
    for field in fields(signals):
        value = getattr(signals, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, PersonSamples | Previews):
            arrays |= {f"{field.name}.{key}": array for key, array in vars(value).items()}
        elif isinstance(value, Orientation):
            plain[field.name] = asdict(value)
        elif value is not None:
            plain[field.name] = value
    layout: dict[str, tuple[str, tuple[int, ...], int]] = {}
    offset = 0
    for name, array in arrays.items():
        layout[name] = (array.dtype.str, array.shape, offset)
        offset += array.nbytes + -array.nbytes % ALIGNED
    head = json.dumps({"schema": SIGNALS_SCHEMA, "plain": plain, "arrays": layout}).encode() + b"\n"
    file.write(head + bytes(-len(head) % ALIGNED))
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).data)
        file.write(bytes(-array.nbytes % ALIGNED))


def read_signals(path: Path) -> Signals:
    """The inverse of ``write_signals``; the arrays are views of its bytes."""
    data = path.read_bytes()
    end = data.find(b"\n")
    try:
        head = json.loads(data[: max(end, 0)])
        is_known = head["schema"] == SIGNALS_SCHEMA
    except (ValueError, KeyError, TypeError):
        is_known, head = False, {}
    if not is_known:
        raise DataError(
            f"{path} was written by another version of curation; run `make curate` on its folder"
        )
    start = end + 1 + -(end + 1) % ALIGNED
    plain = head["plain"]
    plain["orientation"] = Orientation(**plain["orientation"])
    parts: dict[str, dict[str, np.ndarray]] = {"": {}, "samples": {}, "previews": {}}
    for name, (kind, shape, offset) in head["arrays"].items():
        section, _, key = name.rpartition(".")
        count = math.prod(shape)
        array = np.frombuffer(data, kind, count, start + offset) if count else np.empty(0, kind)
        parts[section][key] = array.reshape(shape)
    return Signals(
        **parts[""],
        **plain,
        samples=PersonSamples(**parts["samples"]) if parts["samples"] else None,
        previews=Previews(**parts["previews"]) if parts["previews"] else None,
    )
