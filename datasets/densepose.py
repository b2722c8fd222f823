"""DensePose as it is stored (a 112x112 IUV grid and its box) -> frame-sized maps and pictures."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

NUM_PARTS = 24
# matplotlib's viridis at part / 24: the colours of the DensePose videos that others publish.
# Row 0 is the background, (68, 1, 84).
VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 15, 98),
        (72, 30, 112),
        (71, 44, 123),
        (68, 57, 130),
        (63, 69, 135),
        (58, 82, 139),
        (53, 92, 140),
        (48, 103, 141),
        (44, 114, 142),
        (40, 123, 142),
        (36, 134, 141),
        (32, 144, 140),
        (30, 153, 138),
        (32, 164, 133),
        (40, 174, 127),
        (53, 183, 120),
        (71, 192, 110),
        (94, 201, 97),
        (116, 208, 84),
        (144, 214, 67),
        (173, 220, 48),
        (199, 224, 31),
        (228, 227, 24),
        (253, 231, 36),
    ],
    dtype=np.uint8,
)


def paste_iuv(
    iuv: UInt8[np.ndarray, "t grid grid 3"],
    boxes: Float[np.ndarray, "t 4"],
    height: int,
    width: int,
) -> UInt8[np.ndarray, "t height width 3"]:
    """Lay each frame's grid into its box by nearest neighbour: parts are labels, not amounts.

    Args:
        iuv: I = part 0..24, U and V = 255 x the coordinate.
        boxes: left, top, right, bottom in pixels of the (height, width) frame; may reach beyond it.
            A box without an area is a frame without a person.
        height: of the result.
        width: of the result.

    Returns:
        The same values in the frame, 0 outside the box.
    """
    grid = iuv.shape[1]
    frames = np.zeros((iuv.shape[0], height, width, 3), np.uint8)
    for index, (left, top, right, bottom) in enumerate(boxes.astype(np.float64)):
        if right - left <= 0 or bottom - top <= 0:
            continue
        x_first, x_last = max(0, int(np.floor(left))), min(width, int(np.ceil(right)))
        y_first, y_last = max(0, int(np.floor(top))), min(height, int(np.ceil(bottom)))
        columns = (np.arange(x_first, x_last) + 0.5 - left) / (right - left) * grid
        rows = (np.arange(y_first, y_last) + 0.5 - top) / (bottom - top) * grid
        inside_x, inside_y = (columns >= 0) & (columns < grid), (rows >= 0) & (rows < grid)
        if not inside_x.any() or not inside_y.any():
            continue
        x = x_first + np.flatnonzero(inside_x)
        y = y_first + np.flatnonzero(inside_y)
        pasted = iuv[index][rows[inside_y].astype(int)][:, columns[inside_x].astype(int)]
        frames[index, y[0] : y[-1] + 1, x[0] : x[-1] + 1] = pasted
    return frames


def render_densepose(
    iuv_frames: UInt8[np.ndarray, "t height width 3"],
) -> UInt8[np.ndarray, "t height width 3"]:
    """The picture that models of this field are trained on: part / 24 through viridis.

    Only I is drawn; U and V stay in the stored track.
    """
    return VIRIDIS[np.minimum(iuv_frames[..., 0], NUM_PARTS)]


def resize_iuv(
    iuv_frames: UInt8[np.ndarray, "t height width 3"], height: int, width: int
) -> UInt8[np.ndarray, "t new_height new_width 3"]:
    """Frame-sized IUV at another size, by nearest neighbour."""
    resized = [
        cv2.resize(frame, (width, height), interpolation=cv2.INTER_NEAREST) for frame in iuv_frames
    ]
    return np.stack(resized) if resized else np.zeros((0, height, width, 3), np.uint8)
