"""Edges that stay exactly where they are from one sample to the next, cell by cell.

What an app draws over a video (captions, watermarks, stickers, buttons) has edges one pixel wide at
exactly one place. Edges of a body move, and those of a camera's background are softer. So each cell
of a grid says which share of its strong edges is both sharp and at the same pixel as in the sample
before, and how much of it changed. Judging that is ``curation/selection/overlays.py``'s work.

Only lines are read: every n-th row for vertical edges, every n-th column for horizontal ones.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

GRID = 32
"""Cells along both sides of a frame."""
LINES = 3 * GRID
"""Rows, and columns, that are read of a frame: a multiple of GRID."""
MIN_STEP = 40
"""Gray levels across an edge, over two pixels. A white watermark of alpha 0.4 makes 40-100."""
SHARP_SHARE = 4
"""An edge is sharp if less than one part in so many of its step lies beside its steepest pixel:
0.8-0.99 of the edges of drawn text and shapes, 0.2-0.5 of those that a camera took."""
CHANGED_GRAY = 15
"""A pixel that changes by more shows something else."""
WHITE = 228
"""Gray from which something is white: letters and icons, mostly, and overexposed windows."""
PARTS = 3
"""Numbers that StillEdges.add gives of each cell."""
FAINT = 0.004
"""Share of a cell's pixels added to its edges: a few alone say nothing."""
LUMA_FIRST = {
    "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray",
}  # fmt: skip
"""8-bit pixel formats whose first plane is the luma."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Edges:
    """Along lines of a frame: gray (LINES, n), and edges of every pixel, as one long row.

    Flat arrays are several times as fast as views of rows.
    """

    gray: np.ndarray
    strong: np.ndarray  # 0 or 255
    sharp: tuple[np.ndarray, np.ndarray]  # rising and falling
    is_white: np.ndarray  # next to white, on either side


class StillEdges:
    """Compares each sample of a source with the one before."""

    def __init__(self) -> None:
        self._before: tuple[_Edges, _Edges] | None = None

    def add(self, luma: np.ndarray) -> np.ndarray:
        """Compare a frame's luma (height, width) uint8 with the sample before.

        Returns:
            (GRID, GRID, 3) uint8, 255 for 1.0, of each cell and those around it: the share of edges
            that are sharp and stayed, the share of edges that border on white besides, and the
            share of pixels that changed. Zeros: there was nothing to compare with.
        """
        height = len(luma)
        rows = luma[np.arange(LINES) * height // LINES]
        columns = cv2.resize(luma, (LINES, height), interpolation=cv2.INTER_NEAREST)
        now = _edges(rows), _edges(cv2.transpose(columns))
        before, self._before = self._before, now
        if before is None or any(
            a.gray.shape != b.gray.shape for a, b in zip(before, now, strict=True)
        ):
            return np.zeros((GRID, GRID, PARTS), np.uint8)
        still, white, edges, changed = (
            across + down.T for across, down in zip(*map(_compare, before, now), strict=True)
        )
        all_edges = _around(edges) + 2 * FAINT
        shares = _around(still) / all_edges, _around(white) / all_edges, _around(changed) / 2
        found = np.stack(shares, axis=-1)
        return np.rint(255 * np.clip(found, 0, 1)).astype(np.uint8)


def luma_of(frame: Any) -> np.ndarray:
    """Luma (height, width) uint8 of a coded PyAV frame, not yet upright; a view where it can be."""
    if frame.format.name in LUMA_FIRST:
        plane = frame.planes[0]
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return lines[: frame.height, : frame.width]
    return np.asarray(frame.to_ndarray(format="gray"))


def _edges(gray: np.ndarray) -> _Edges:
    """Edges along the rows of (LINES, n)."""
    flat = gray.ravel()
    before, middle, after = flat[:-2], flat[1:-1], flat[2:]
    steepest = cv2.max(cv2.absdiff(middle, before), cv2.absdiff(after, middle))
    rises, falls = cv2.subtract(after, before), cv2.subtract(before, after)
    whole = cv2.max(rises, falls)
    is_sharp = cv2.compare(cv2.subtract(whole, steepest), whole // SHARP_SHARE, cv2.CMP_LT)
    up, down = (_above(step, MIN_STEP) for step in (rises, falls))
    sharp = cv2.bitwise_and(up, is_sharp), cv2.bitwise_and(down, is_sharp)
    is_white = _above(cv2.max(before, after), WHITE)
    strong = cv2.bitwise_or(up, down)
    return _Edges(gray=gray, strong=strong, sharp=sharp, is_white=is_white)


def _compare(before: _Edges, now: _Edges) -> tuple[np.ndarray, ...]:
    """Shares (GRID, GRID) of each cell's pixels.

    Sharp still edges, those that border on white, edges of either sample, changed pixels.
    """
    up, down = map(cv2.bitwise_and, before.sharp, now.sharp)
    either = cv2.bitwise_or(before.strong, now.strong)
    shape = now.gray.shape
    still = cv2.bitwise_or(up, down)
    masks = still, cv2.bitwise_and(still, now.is_white), either
    changed = _above(cv2.absdiff(before.gray, now.gray), CHANGED_GRAY)
    return *(_cells(_inside(mask, shape)) for mask in masks), _cells(changed)


def _above(values: np.ndarray, limit: int) -> np.ndarray:
    """255 where a value is above a limit, else 0."""
    return cv2.threshold(values, limit, 255, cv2.THRESH_BINARY)[1]


def _inside(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Flags of all pixels but the first and last as (LINES, n).

    Those at the ends of lines are cleared: they were compared with the next line.
    """
    flags = np.zeros(shape, np.uint8)
    flags.ravel()[1:-1] = flat.ravel()
    flags[:, [0, -1]] = 0
    return flags


def _cells(flags: np.ndarray) -> np.ndarray:
    """Share of flags (LINES, n), 0 or 255, that are set in each cell: (GRID, GRID) float32."""
    lines = LINES // GRID
    ends = np.linspace(0, flags.shape[1], GRID + 1).astype(int)
    sums = (flags & 1).reshape(GRID, lines, -1).sum(axis=1, dtype=np.uint8)
    counts = np.add.reduceat(sums, ends[:-1], axis=1, dtype=np.uint32)
    return (counts / (lines * np.diff(ends))).astype(np.float32)


def _around(cells: np.ndarray) -> np.ndarray:
    """Mean over each cell and the eight around it; there are none beyond the frame."""
    return cv2.blur(cells, (3, 3), borderType=cv2.BORDER_REPLICATE)
