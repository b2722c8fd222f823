"""Stored DensePose (a 112x112 IUV grid and its box) -> frame-sized maps and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float64, Int16, UInt8

from datasets.labels import DensePosePart

NUM_PARTS = 24
DRAWINGS = ("parts", "iuv")
"""How DensePose is shown to a network; see ``render_densepose``."""
PART_STEP = 10
# matplotlib's viridis at part / 24: the colours of published DensePose videos.
# Row 0 is the background, (68, 1, 84).
VIRIDIS = np.array(
    [
        (68, 1, 84), (71, 15, 98), (72, 30, 112), (71, 44, 123), (68, 57, 130), (63, 69, 135),
        (58, 82, 139), (53, 92, 140), (48, 103, 141), (44, 114, 142), (40, 123, 142),
        (36, 134, 141), (32, 144, 140), (30, 153, 138), (32, 164, 133), (40, 174, 127),
        (53, 183, 120), (71, 192, 110), (94, 201, 97), (116, 208, 84), (144, 214, 67),
        (173, 220, 48), (199, 224, 31), (228, 227, 24), (253, 231, 36),
    ],
    dtype=np.uint8,
)  # fmt: skip
_VIRIDIS_OF_BYTES = VIRIDIS[np.minimum(np.arange(256), NUM_PARTS)][:, None]


def _other_side(name: str) -> str:
    swapped = {"LEFT": "RIGHT", "RIGHT": "LEFT"}
    return "_".join(swapped.get(word, word) for word in name.split("_"))


MIRRORED_PARTS = np.array(
    [0, *(DensePosePart[_other_side(part.name)] for part in DensePosePart)], dtype=np.uint8
)
"""The part that each part becomes in a mirror."""


@dataclass(frozen=True, kw_only=True)
class DensePoseGrids:
    """DensePose as stored, to be rendered later on the device.

    Attributes:
        iuv: I = 0..24, U and V = 255 x the coordinate, on the grid of DensePose's head, one grid
            per frame.
        boxes: left, top, right, bottom of the grid in pixels of the frame; may extend beyond it.
            An empty box is a frame without a person.
    """

    iuv: UInt8[np.ndarray, "t grid grid 3"]
    boxes: Float64[np.ndarray, "t 4"]

    def select(self, rows: Sequence[int]) -> "DensePoseGrids":
        """A subset of the frames."""
        return DensePoseGrids(iuv=self.iuv[list(rows)], boxes=self.boxes[list(rows)])

    def mirrored(self, width: int) -> "DensePoseGrids":
        """Mirrored: left parts become right ones, and V is counted from the other side."""
        left, top, right, bottom = self.boxes.T
        boxes = np.stack([width - right, top, width - left, bottom], axis=1)
        part, u, v = np.moveaxis(self.iuv[:, :, ::-1], -1, 0)
        v = np.where(part > 0, 255 - v, v)
        iuv = np.stack([MIRRORED_PARTS[np.minimum(part, NUM_PARTS)], u, v], axis=-1)
        return DensePoseGrids(iuv=iuv, boxes=boxes)

    def scaled(self, scale: tuple[float, float], left: int, top: int) -> "DensePoseGrids":
        """In a frame scaled across and down by ``scale``, then cropped at left and top, in px."""
        boxes = self.boxes * (*scale, *scale) - (left, top, left, top)
        return DensePoseGrids(iuv=self.iuv, boxes=boxes)

    def frames(self, height: int, width: int) -> UInt8[np.ndarray, "t height width 3"]:
        """IUV at the size of the frame."""
        return paste_iuv(self.iuv, self.boxes, height, width)

    def picture(
        self, height: int, width: int, drawing: str = "parts"
    ) -> UInt8[np.ndarray, "t height width 3"]:
        """Rendered on the CPU."""
        return render_densepose(self.frames(height, width), drawing)


def grid_rows_columns(
    boxes: Float[np.ndarray, "t 4"], grid: int, height: int, width: int
) -> tuple[Int16[np.ndarray, "t height"], Int16[np.ndarray, "t width"]]:
    """The nearest row and column of its grid for each pixel of a frame.

    Returns:
        Rows and columns, 0 .. grid - 1; ``grid`` outside the box.
    """
    rows = np.full((len(boxes), height), grid, np.int16)
    columns = np.full((len(boxes), width), grid, np.int16)
    for index, (left, top, right, bottom) in enumerate(boxes.astype(np.float64)):
        if right - left <= 0 or bottom - top <= 0:
            continue
        for places, first, last, size in (
            (rows, top, bottom, height),
            (columns, left, right, width),
        ):
            begin, end = max(0, int(np.floor(first))), min(size, int(np.ceil(last)))
            exact = (np.arange(begin, end) + 0.5 - first) / (last - first) * grid
            inside = (exact >= 0) & (exact < grid)
            places[index, begin:end] = np.where(inside, exact.astype(np.int16), grid)
    return rows, columns


def paste_iuv(
    iuv: UInt8[np.ndarray, "t grid grid c"],
    boxes: Float[np.ndarray, "t 4"],
    height: int,
    width: int,
) -> UInt8[np.ndarray, "t height width c"]:
    """Paste each frame's grid into its box, by nearest neighbour since parts are labels.

    Args:
        iuv: I = part 0..24, U and V = 255 x the coordinate; or I alone.
        boxes: left, top, right, bottom in pixels of the (height, width) frame; may extend beyond
            it. An empty box is a frame without a person.
        height: of the result.
        width: of the result.

    Returns:
        The same values in the frame, 0 outside the box.
    """
    grid = iuv.shape[1]
    frames = np.zeros((iuv.shape[0], height, width, iuv.shape[3]), np.uint8)
    rows, columns = grid_rows_columns(boxes, grid, height, width)
    for index in range(len(iuv)):
        y, x = np.flatnonzero(rows[index] < grid), np.flatnonzero(columns[index] < grid)
        if not len(y) or not len(x):
            continue
        pasted = iuv[index][rows[index, y]][:, columns[index, x]]
        frames[index, y[0] : y[-1] + 1, x[0] : x[-1] + 1] = pasted
    return frames


def render_densepose(
    iuv_frames: UInt8[np.ndarray, "t height width c"], drawing: str = "parts"
) -> UInt8[np.ndarray, "t height width 3"]:
    """The DensePose picture that a network sees.

    Args:
        iuv_frames: I, U, V; or I alone for "parts".
        drawing: "parts", the usual picture: part / 24 through viridis, without U and V; or "iuv":
            10 x I, U and V as red, green and blue.
    """
    if drawing == "iuv":
        drawn = iuv_frames.copy()
        drawn[..., 0] *= PART_STEP
        return drawn
    count, height, width = iuv_frames.shape[:3]
    parts = np.ascontiguousarray(iuv_frames[..., 0]).reshape(count * height, width)
    drawn = cv2.LUT(cv2.merge([parts] * 3), _VIRIDIS_OF_BYTES)  # a tenth of the time of indexing
    return drawn.reshape(count, height, width, 3)


def parts_of_picture(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The inverse of ``render_densepose`` with "parts": each colour's nearest part; no U and V."""
    flat = picture.astype(np.int32)
    nearest = np.full(picture.shape[:2], np.iinfo(np.int32).max, np.int32)
    iuv = np.zeros_like(picture)
    for part, colour in enumerate(VIRIDIS.astype(np.int32)):
        distance = np.square(flat - colour).sum(axis=-1)
        closer = distance < nearest
        nearest[closer] = distance[closer]
        iuv[..., 0][closer] = part
    return iuv
