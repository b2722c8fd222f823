"""One cheap pass: every frame of a source decoded once at proxy size, all signals taken from that.

Costs about 1.5x a bare decode; ``meter.py`` measures. An arbiter, if there is one, then reads small
copies of the frames where the signals are doubtful.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation

from configs.checks import check_choices, check_range
from configs.console import counted
from curation.first_pass.doubts import find_doubts
from curation.first_pass.signals import Previews, Signals
from curation.first_pass.small_frames import SmallFrames, ask_arbiter
from curation.first_pass.still_edges import GRID, PARTS, StillEdges, luma_of
from curation.perception.protocols import CutArbiter
from curation.step_times import StepTimes
from curation.video.decode import decode, decode_jpeg, to_rgb
from curation.video.inner_picture import blurred_fills
from datasets.storage import disk_errors_named, write_file
from datasets.video.colours import scaled_rgb
from datasets.video.orientation import Orientation, orientation_of, upright_size
from datasets.video.reader import ReadNotes, UnreadableVideoError
from datasets.webpage import encode_jpeg

ARBITERS = ("none", "transnet")


@dataclass(frozen=True, kw_only=True)
class FirstPassConfig:
    """What the pass measures. Changing it means decoding again."""

    proxy_side: int = 256  # longest side of the frames that signals are measured on
    sample_fps: float = 2.5  # frames a second kept for the person detector
    sample_side: int = 640  # longest side of those
    preview_side: int = 192  # longest side of the pictures that the report shows
    max_duration_s: float = 3600.0  # later frames are not read
    arbiter: str = "none"  # of doubtful cuts; "transnet": TransNet V2

    def __post_init__(self) -> None:
        check_choices(self, arbiter=ARBITERS)
        check_range(self, "proxy_side", least=64, most=1024)
        check_range(self, "sample_fps", least=0.2, most=60)
        check_range(self, "sample_side", least=128)


class SampleStore:
    """Frames for the detector and thumbnails for the report, as JPEG in temporary files."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._spans: list[tuple[int, int]] = []
        self._previews: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (likewise)
        self._preview_ends: list[int] = []

    @property
    def fps(self) -> float:
        """Typical rate of the stored frames; 0 for a single one."""
        steps = np.diff(self.times_s)
        return 1 / max(float(np.median(steps)), 1e-6) if len(steps) else 0.0

    def add(self, time_s: float, image: np.ndarray, preview_side: int) -> None:
        """Store one RGB frame, and a thumbnail of it for the report."""
        data = encode_jpeg(image, quality=90)
        height, width = fit_within(image.shape[0], image.shape[1], preview_side)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        with disk_errors_named(Path(tempfile.gettempdir())):
            self._previews.write(encode_jpeg(small, quality=80))
            self._preview_ends.append(self._previews.tell())
            start = self._file.seek(0, 2)
            self._file.write(data)
        self.times_s.append(time_s)
        self._spans.append((start, len(data)))

    def read(self, index: int) -> np.ndarray:
        """One stored frame, (height, width, 3) uint8 RGB."""
        start, length = self._spans[index]
        self._file.seek(start)
        return decode_jpeg(self._file.read(length))

    def save(self, path: Path) -> None:
        """Write all frames to a file, atomically."""
        self._file.seek(0)
        data = np.frombuffer(self._file.read(), dtype=np.uint8)
        spans = np.array(self._spans, dtype=np.int64).reshape(-1, 2)
        times = np.array(self.times_s)
        write_file(path, lambda file: np.savez(file, times=times, spans=spans, data=data))

    @classmethod
    def load(cls, path: Path) -> "SampleStore":
        """The inverse of ``save``, without the report's thumbnails."""
        store = cls()
        with np.load(path, allow_pickle=False) as stored:
            store._file.write(stored["data"].tobytes())
            store._spans = [(int(start), int(length)) for start, length in stored["spans"]]
            store.times_s = stored["times"].tolist()
        return store

    def previews(self) -> Previews:
        """The thumbnails of all frames, which stay in their file: those of an hour are 36 MB.

        They remain valid after ``close``.
        """
        with disk_errors_named(Path(tempfile.gettempdir())):
            self._previews.flush()
        return Previews(
            times_s=np.asarray(self.times_s, dtype=np.float64),
            ends=np.asarray(self._preview_ends, dtype=np.int64),
            jpeg=np.memmap(self._previews, dtype=np.uint8, mode="r"),
        )

    def close(self) -> None:
        """Close the temporary files."""
        self._file.close()
        self._previews.close()


def measure_source(
    path: Path,
    config: FirstPassConfig,
    sample_aspect: float,
    arbiter: CutArbiter | None = None,
) -> tuple[Signals, SampleStore]:
    """Decode a source once.

    Args:
        path: of the source.
        config: what is measured.
        sample_aspect: width of a pixel over its height.
        arbiter: asked about doubtful cuts after all frames were read; None: no arbiter.

    Returns:
        Its signals (without people) and the detector's frames, which the caller must close.

    Raises:
        UnreadableVideoError: no frame could be decoded ("truncated", or the codes of open_video).
    """
    if arbiter is None:
        return _read_source(path, config, sample_aspect, None)
    with closing(SmallFrames()) as small, ExitStack() as undo:
        signals, store = _read_source(path, config, sample_aspect, small)
        undo.callback(store.close)
        watch = StepTimes()
        with watch.measure("arbiter"):
            probability = ask_arbiter(arbiter, small, find_doubts(signals))
        undo.pop_all()
    return replace(
        signals, cut_probability=probability, seconds={**signals.seconds, **watch.seconds}
    ), store


def _read_source(
    path: Path, config: FirstPassConfig, sample_aspect: float, small: SmallFrames | None
) -> tuple[Signals, SampleStore]:
    """``measure_source`` without the arbiter's answers; ``small`` collects the frames for it."""
    # imports PySceneDetect, which judging again does not need
    from curation.first_pass.meter import RESERVED_SAMPLES, Meter, Table

    meter, store, notes = Meter(), SampleStore(), ReadNotes()
    times, sizes = Table((), np.float64), Table((2,), np.int32)
    first_s, last_size = 0.0, (0, 0)
    fills: list[tuple[float, ...]] = []
    still_edges, still = (
        StillEdges(),
        Table((GRID, GRID, PARTS), np.uint8, reserved=RESERVED_SAMPLES),
    )
    orientation = Orientation()
    next_sample_s = 0.0
    watch = StepTimes()
    try:
        with watch.measure("first pass"):
            for time_s, frame in decode(path, notes):
                if not times:
                    orientation, first_s = orientation_of(frame), time_s
                if time_s - first_s > config.max_duration_s:
                    break
                size = upright_size(frame, sample_aspect, orientation)
                if size != last_size:
                    next_sample_s = time_s  # a scene begins
                last_size = size
                sizes.append(size)
                times.append(time_s)
                proxy = _proxy(frame, size, orientation, config.proxy_side)
                meter.add(proxy)
                if small is not None:
                    small.add(proxy)
                if time_s >= next_sample_s:
                    sample = to_rgb(frame, *fit_within(*size, config.sample_side), orientation)
                    store.add(time_s, sample, config.preview_side)
                    fills.append(blurred_fills(sample))
                    still.append(orientation.apply(still_edges.add(luma_of(frame))))
                    next_sample_s = max(next_sample_s + 1.0 / config.sample_fps, time_s)
    except BaseException:
        store.close()
        raise
    if not times:
        store.close()
        raise UnreadableVideoError(
            "truncated" if notes.num_errors else "no_frames",
            f"no frame could be decoded, {counted(notes.num_errors, 'error')}",
        )
    table = meter.rows.whole()
    signals = Signals(
        times_s=times.whole(),
        content=table[:, 0],
        histogram=table[:, 1],
        motion=table[:, 2],
        sharpness=table[:, 3],
        brightness=table[:, 4],
        contrast=table[:, 5],
        bars=table[:, 6:10],
        thumbs=meter.thumbs.whole(),
        sizes=sizes.whole(),
        fill_times_s=np.asarray(store.times_s),
        fills=np.asarray(fills, dtype=np.float32),
        still_edges=still.whole(),
        fault_times_s=np.asarray(notes.times_s, dtype=np.float64),
        joins_s=np.asarray(notes.joins_s, dtype=np.float64),
        num_interlaced=notes.num_interlaced,
        orientation=orientation,
        previews=store.previews(),
        seconds=watch.seconds,
    )
    return signals, store


def fit_within(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) scaled down so that the longest side is at most ``side``."""
    scale = min(1.0, side / max(height, width))
    return max(round(height * scale), 16), max(round(width * scale), 16)


def batches_of(store: SampleStore, indices: list[int], size: int) -> Iterator[list[np.ndarray]]:
    """Frames of a store in lists of at most ``size``, to bound memory.

    All frames of a list have the same height and width.
    """
    batch: list[np.ndarray] = []
    for index in indices:
        frame = store.read(index)
        if batch and (len(batch) == size or batch[0].shape != frame.shape):
            yield batch
            batch = []
        batch.append(frame)
    if batch:
        yield batch


def _proxy(frame: Any, upright: tuple[int, int], orientation: Orientation, side: int) -> np.ndarray:
    """A small BGR frame in coded orientation: cuts, blur and motion do not depend on rotation."""
    height, width = fit_within(*upright, side)
    if orientation.quarter_turns % 2:
        height, width = width, height
    small = scaled_rgb(frame, height, width, Interpolation.AREA)[..., ::-1]
    return orientation.apply(small) if orientation != Orientation() else small
