"""Interlaced frames (camcorder tapes, broadcasts) become whole pictures, at the same rate.

FFmpeg's bwdif changes frames that their coder marked as interlaced, and all frames of a video where
``combs.py`` finds that the mark is missing; others pass untouched.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.filter
from av.error import FFmpegError

Timed = tuple[Fraction, Any]
"""A frame and its time in seconds."""


class Deinterlacer:
    """Frames in, as many frames out; with interlaced ones it stays one frame behind."""

    def __init__(self) -> None:
        self.num_interlaced = 0
        self._graph: Any = None
        self._count = 0
        self._waiting: deque[Timed] = deque()
        self._shape: tuple[int, int, str, str | None] = (0, 0, "", None)

    def push(self, time: Fraction, frame: Any, order: str | None = None) -> Iterator[Timed]:
        """Take the next frame; yields those that are finished.

        Args:
            time: of the frame, in seconds.
            frame: of PyAV.
            order: which lines come first in frames that are interlaced without a mark
                (``combs.hidden_order``); None: the mark is right.
        """
        is_interlaced = frame.interlaced_frame or order is not None
        self.num_interlaced += is_interlaced
        shape = frame.height, frame.width, frame.format.name, order
        if self._graph is not None and shape != self._shape:
            yield from self.flush()
        if self._graph is None:
            if not is_interlaced:
                yield time, frame
                return
            self._graph, self._shape = _build(frame, order), shape
        frame.pts, self._count = self._count, self._count + 1  # the times are kept here
        self._waiting.append((time, frame))
        self._graph.push(frame)
        yield from self._finished()

    def flush(self) -> Iterator[Timed]:
        """The frames that it still holds; it can be used again afterwards."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._finished()
        self._graph = None
        self._waiting.clear()

    def _finished(self) -> Iterator[Timed]:
        while self._waiting:
            try:
                whole = self._graph.pull()
            except (FFmpegError, BlockingIOError):  # it needs the next frame; or the end
                return
            time, _ = self._waiting.popleft()
            yield time, whole


def _build(frame: Any, order: str | None) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format,
        time_base=Fraction(1, 25), name="in",
    )  # fmt: skip
    which = "deint=interlaced" if order is None else f"deint=all:parity={order}"
    bwdif = graph.add("bwdif", f"mode=send_frame:{which}")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph
