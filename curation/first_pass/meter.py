"""Measurements of each small frame of the first pass, including PySceneDetect's scores."""

from typing import Any

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, HistogramDetector
from scenedetect.stats_manager import StatsManager

from curation.first_pass.signals import THUMB_HEIGHT, THUMB_WIDTH
from curation.video.inner_picture import dark_bars

NOMINAL_FPS = 30.0
NUM_NUMBERS = 10  # of each frame: see Meter.add
RESERVED = 2**18  # rows: an hour at 72 frames a second
RESERVED_SAMPLES = 2**13  # an hour at 2.3 samples a second


class _Content(AdaptiveDetector):
    """An AdaptiveDetector with the last frame's score (a StatsManager would compute edges)."""

    @property
    def score(self) -> float:
        return float(self._frame_score or 0.0)


class _LastMetric(StatsManager):
    """Keeps only the newest value of a detector's metric."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 1.0

    def set_metrics(self, timecode: Any, metric_kv_dict: dict[str, Any]) -> None:
        self.value = float(next(iter(metric_kv_dict.values())))


class Table:
    """Growing array of rows of one shape, reserved at once: only the filled part uses memory.

    Many small arrays allocated between frames would fragment the heap, and concatenating blocks at
    the end would need twice the memory.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type, reserved: int = RESERVED) -> None:
        self._rows = np.empty((reserved, *shape), dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: Any) -> None:
        """Copy one row to the end."""
        if self._count == len(self._rows):
            grown = np.empty((2 * len(self._rows), *self._rows.shape[1:]), self._rows.dtype)
            grown[: self._count] = self._rows
            self._rows = grown
        self._rows[self._count] = row
        self._count += 1

    def whole(self) -> np.ndarray:
        """All rows, (n, *shape); a view."""
        return self._rows[: self._count]


class Meter:
    """Measures proxies one by one."""

    def __init__(self) -> None:
        self.rows = Table((NUM_NUMBERS,), np.float32)
        self.thumbs = Table((THUMB_HEIGHT, THUMB_WIDTH), np.uint8)
        self._begin()

    def _begin(self) -> None:
        """The next frame is not compared with earlier ones, of another size."""
        self.content, self.histogram = _Content(), HistogramDetector()
        self.metric = self.histogram._stats_manager = _LastMetric()
        self.previous: np.ndarray | None = None

    def add(self, proxy: np.ndarray) -> None:
        """Measure one BGR proxy (height, width, 3)."""
        if self.previous is not None and self.previous.shape != proxy.shape[:2]:
            self._begin()
        timecode = FrameTimecode(len(self.rows), fps=NOMINAL_FPS)  # we keep the PTS ourselves
        self.content.process_frame(timecode, proxy)
        self.histogram.process_frame(timecode, proxy)
        gray = cv2.cvtColor(proxy, cv2.COLOR_BGR2GRAY)
        motion = 0.0 if self.previous is None else _mean_change(gray, self.previous)
        mean, deviation = cv2.meanStdDev(gray)
        _, spread = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
        self.rows.append(
            (
                self.content.score, self.metric.value, motion, float(spread[0, 0]) ** 2,
                float(mean[0, 0]), float(deviation[0, 0]), *dark_bars(gray),
            )
        )  # fmt: skip
        self.thumbs.append(
            cv2.resize(gray, (THUMB_WIDTH, THUMB_HEIGHT), interpolation=cv2.INTER_AREA)
        )
        self.previous = gray


def _mean_change(gray: np.ndarray, previous: np.ndarray) -> float:
    return cv2.norm(gray, previous, cv2.NORM_L1) / gray.size
