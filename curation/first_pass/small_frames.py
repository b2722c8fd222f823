"""Every frame of a source at 48x27, the arbiter's input size, and how the arbiter is run on them.

Frames are kept in a temporary file, so that memory does not grow with a source's length.
"""

import tempfile
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from curation.perception.protocols import (
    ARBITER_HEIGHT,
    ARBITER_WIDTH,
    ARBITER_WINDOW,
    CutArbiter,
)
from datasets.storage import disk_errors_named

FRAME_BYTES = ARBITER_HEIGHT * ARBITER_WIDTH * 3
CELL = ARBITER_WINDOW // 2
"""Frames judged per window: its middle half, as in TransNet V2."""


class SmallFrames:
    """The frames of one source, in order."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, proxy: np.ndarray) -> None:
        """Append one BGR proxy (height, width, 3), scaled to the arbiter's size."""
        size = (ARBITER_WIDTH, ARBITER_HEIGHT)
        small = cv2.resize(proxy, size, interpolation=cv2.INTER_AREA)
        with disk_errors_named(Path(tempfile.gettempdir())):
            self._file.write(cv2.cvtColor(small, cv2.COLOR_BGR2RGB).tobytes())
        self._count += 1

    def read(self, first: int, last: int) -> np.ndarray:
        """Frames first <= i < last as (n, 27, 48, 3) uint8 RGB; beyond an end it is repeated."""
        start, stop = max(first, 0), min(last, self._count)
        with disk_errors_named(Path(tempfile.gettempdir())):
            self._file.seek(start * FRAME_BYTES)
            data = self._file.read((stop - start) * FRAME_BYTES)
        frames = np.frombuffer(data, np.uint8).reshape(-1, ARBITER_HEIGHT, ARBITER_WIDTH, 3)
        return np.pad(frames, ((start - first, last - stop), (0, 0), (0, 0), (0, 0)), mode="edge")

    def close(self) -> None:
        """Close the temporary file."""
        self._file.close()


def ask_arbiter(arbiter: CutArbiter, frames: SmallFrames, is_doubtful: np.ndarray) -> np.ndarray:
    """The arbiter's probabilities for doubtful frames.

    It runs on cells of ``CELL`` frames that begin at multiples of it, each in the middle of its
    window, so that every answer is the same as if the whole source were judged.

    Args:
        arbiter: maps a window of frames to probabilities.
        frames: of the whole source, n.
        is_doubtful: (n,) bool.

    Returns:
        (n,) float32 in 0..1; NaN where it did not run.
    """
    probability = np.full(len(frames), np.nan, np.float32)
    margin = (ARBITER_WINDOW - CELL) // 2
    for cell in np.unique(np.flatnonzero(is_doubtful) // CELL):
        start = int(cell) * CELL
        window = frames.read(start - margin, start - margin + ARBITER_WINDOW)
        answer = arbiter.judge(window)[margin : margin + CELL]
        probability[start : start + CELL] = answer[: len(frames) - start]
    probability[~is_doubtful] = np.nan
    return probability
