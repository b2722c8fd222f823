"""Where the actual picture is in a frame: inside dark bars, or on a blurred copy of itself.

Many programs show a video of the wrong aspect on an enlarged, blurred copy of itself. Such a fill
is recognised by two straight lines across the frame, equally far from its sides, beyond which
nothing is sharp, and by its likeness to the inner picture, from which it was enlarged.
"""

import cv2
import numpy as np

DARK_GRAY = 24
"""Brightest gray of a letterbox bar, including compression noise."""
NO_FILL = (0.0, 0.0)
MIN_SIDE, MAX_SIDE = 0.06, 0.42
"""Accepted share of the frame for a fill on each side."""
MIN_STEP = 2.0
"""Minimum mean step in gray levels along a fill's border."""
MIN_CLEARNESS = 3.0
"""How much stronger the border must be than the strongest line in the fill."""
GUARD = 4
"""Pixels next to a border that belong to it: scaling and compression blur it."""
MIN_SPREAD = 1.0
"""Gray levels; with less variation there is nothing to correlate."""
GRID = 32
"""Cells along the frame's longer side for comparing fill and picture."""


def dark_bars(gray: np.ndarray) -> tuple[float, float, float, float]:
    """Dark shares of the sides from the border inwards: top, bottom, left, right."""
    lit_rows = np.flatnonzero(cv2.reduce(gray, 1, cv2.REDUCE_MAX).ravel() > DARK_GRAY)
    lit_columns = np.flatnonzero(cv2.reduce(gray, 0, cv2.REDUCE_MAX).ravel() > DARK_GRAY)
    if not len(lit_rows) or not len(lit_columns):
        return 1.0, 1.0, 1.0, 1.0
    height, width = gray.shape
    return (
        float(lit_rows[0]) / height,
        float(height - 1 - lit_rows[-1]) / height,
        float(lit_columns[0]) / width,
        float(width - 1 - lit_columns[-1]) / width,
    )


def blurred_fills(rgb: np.ndarray) -> tuple[float, float, float, float]:
    """Fills of one frame (height, width, 3) uint8.

    Returns:
        Share of the height above and below the picture, likeness of that fill to the picture
        (-1..1), share of the width left and right of it, likeness. 0 and 0: no fill.
    """
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return *_fill_beside(np.ascontiguousarray(gray.T)), *_fill_beside(gray)


def _fill_beside(gray: np.ndarray) -> tuple[float, float]:
    """Share of the width on each side, and likeness, of a fill left and right of the picture."""
    side = _fill_width(gray)
    if side is None:
        return NO_FILL
    return side / gray.shape[1], _likeness(gray, side)


def _fill_width(gray: np.ndarray) -> int | None:
    """Columns on each side without anything sharp, up to a line across the whole frame."""
    width = gray.shape[1]
    steps = cv2.reduce(cv2.absdiff(gray[:, 2:], gray[:, :-2]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    steps = steps.ravel()  # of column x + 1
    left, right = steps, steps[::-1]
    wide = np.arange(max(round(MIN_SIDE * width), GUARD + 1), round(MAX_SIDE * width))
    # a border at ``wide`` columns shows in the steps around the columns next to it
    near = np.stack([wide - 3, wide - 2, wide - 1, wide])
    line = np.minimum(left[near].max(axis=0), right[near].max(axis=0))
    inside = np.maximum(np.maximum.accumulate(left), np.maximum.accumulate(right))
    strongest = inside[wide - GUARD - 1]
    clearness = line / (strongest + 0.3)
    best = int(np.argmax(clearness))
    if clearness[best] < MIN_CLEARNESS or line[best] < MIN_STEP:
        return None
    # the strongest of the four steps of either side is centred on the border
    at = [float(wide[best] - 2 + np.argmax(half[near[:, best]])) for half in (left, right)]
    return round(sum(at) / 2)


def _likeness(gray: np.ndarray, side: int) -> float:
    """Correlation of the fill with the picture enlarged to the frame's width, both coarse."""
    height, width = gray.shape
    picture = gray[:, side : width - side]
    shown = height * picture.shape[1] / width  # its rows visible in the enlarged copy
    top = round((height - shown) / 2)
    cells = GRID, max(round(GRID * height / width), 4)
    enlarged = cv2.resize(
        picture[top : round(top + shown)], cells, interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    enlarged = cv2.GaussianBlur(enlarged, (0, 0), 1.0)
    found = cv2.resize(gray, cells, interpolation=cv2.INTER_AREA).astype(np.float32)
    columns = int(side / width * GRID)
    outside = np.r_[:columns, GRID - columns : GRID]
    one, other = enlarged[:, outside].ravel(), found[:, outside].ravel()
    flat = one.std() < MIN_SPREAD, other.std() < MIN_SPREAD
    if any(flat):
        return float(all(flat))  # a plain picture has a plain copy
    return float(np.corrcoef(one, other)[0, 1])
