"""The inside of a collar, which a garment's picture shows above its neckline, and nobody wears.

A garment that lies flat or hangs shows the inside of its back there. On a person the neck is in
front of it.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_SEED_ROWS, _SEED_STEP, _SEED_WIDTH = 0.16, 0.01, 0.04
"""Of the garment's height: how far down to look, and how often. Of the torso's breadth."""
_BLUR, _LEAST_BLUR = 0.004, 0.7
"""Of the garment's height, and px: a weave's spread."""
_ALIKE = 11.0
"""Delta E (CIE76) of pixels that belong together."""
_REACH, _DEPTH = 0.4, 0.4
"""Of the torso's breadth, from the middle, and of the garment's height: a collar ends before."""
_RIM = 0.05
"""Of the garment's height: what begins lower than this below the cloth's edge is no inside."""
_COLLAR_ROWS, _COLLAR_WIDTH, _BESIDE_MIDDLE = (0.05, 0.2), 0.5, 0.15
"""Of the garment's height: where a collar and shoulders are. Of the breadth, at most: a collar, and
how far its middle is from the shoulders'."""
_LEAST_WIDTH, _MOST_WIDTH, _LEAST_HEIGHT = 0.2, 0.7, 0.025
"""Of the torso's breadth, and of the garment's height. Wider than a neck: shoulders.
Half of the first: most from the middle."""
_MOST_AREA = 0.13
"""Of the cloth."""
_SOLID = 0.75
"""Share of its convex hull: a collar's ribbing is a ring."""
_DARKER = 3.0
"""L (0 to 100): an inside lies in the shade, compared with the lighter quarter around it."""
_AROUND = 0.06
"""Of the garment's height: how far around to compare, beyond the ribbing."""
_GAPS = 0.14
"""Of the torso's breadth: the ground of a pattern that is narrower does not belong to an inside."""
_CUT = 0.45
"""Of its outline: a piece that is cut off by more, where it was narrow, is the front."""
_STRETCHED = 3.0
"""Of the height by which a neckline is raised: as much cloth below it is stretched."""
_CONTINUED = 0.1
"""Of its outline: a piece that touches more cloth beyond a collar's reach is the front."""


def inside_of_collar(
    picture: UInt8[np.ndarray, "h w 3"], cloth: Bool[np.ndarray, "h w"], sides: tuple[float, float]
) -> Bool[np.ndarray, "h w"]:
    """Which cloth is the inside of the back, with the rim above it; nothing if none is certain.

    Found is one piece in one colour in the middle of the upper edge, as wide as a neck and darker
    than the cloth around it. An inside in a pattern, or in the colour of the front, is not found.

    Args:
        picture: RGB.
        cloth: where it shows the garment.
        sides: where the garment's torso begins and ends, in pixels.
    """
    nothing = np.zeros(cloth.shape, bool)
    rows = np.flatnonzero(cloth.any(axis=1))
    breadth, middle = sides[1] - sides[0], (sides[0] + sides[1]) / 2
    column = cloth[:, int(middle)] if 0 <= middle < cloth.shape[1] else np.zeros(0, bool)
    if not len(rows) or not column.any() or breadth <= 0:
        return nothing
    height, top = int(rows[-1] - rows[0]) + 1, int(np.argmax(column))
    blurred = cv2.GaussianBlur(picture, (0, 0), max(_LEAST_BLUR, _BLUR * height))
    lab = cv2.cvtColor(blurred, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] *= 100 / 255
    left, right = (round(middle + sign * _REACH * breadth) for sign in (-1, 1))
    window = nothing.copy()
    window[: top + round(_DEPTH * height), max(left, 0) : right] = True
    half = max(1, round(_SEED_WIDTH / 2 * breadth))
    across = slice(max(int(middle) - half, 0), int(middle) + half + 1)
    step = max(1, round(_SEED_STEP * height))
    for row in range(top + step, top + round(_SEED_ROWS * height), step):
        seed = np.median(lab[row : row + step, across].reshape(-1, 3), axis=0)
        alike = (np.sqrt(np.square(lab - seed).sum(axis=-1)) < _ALIKE) & cloth
        for region in (alike, _opened(alike, _GAPS * breadth)):
            _, pieces = cv2.connectedComponents((region & window).astype(np.uint8), connectivity=4)
            number = pieces[row + step // 2, int(middle)]
            piece = pieces == number
            if not number or _contact(piece, alike & window) > _CUT:
                continue
            if _is_inside(piece, lab, cloth, window, (middle, breadth), height):
                return _with_rim(piece, cloth)
    return nothing


def raise_neckline(
    cloth: Float[np.ndarray, "c h w"], inside: Bool[np.ndarray, "h w"], height: float
) -> Float[np.ndarray, "c h w"]:
    """A garment whose neckline lies higher: the cloth below it is stretched upwards.

    Necklines come out low: a picture shows them flat, and necks are round.

    Args:
        cloth: colours, known beyond the cloth, too, and where it is.
        inside: from ``inside_of_collar``; the neckline is its lower edge, which rises in it alone.
        height: px, at most.
    """
    rows = np.arange(len(inside), dtype=np.float32)[:, None]
    rise = np.minimum(inside.sum(axis=0), height).astype(np.float32)
    rise = cv2.blur(rise[None], (2 * round(height / 2) + 1, 1))[0]
    line = len(inside) - np.argmax(inside[::-1], axis=0)
    reach = _STRETCHED * height
    share = np.clip((line + reach - rows) / (reach + np.maximum(rise, 1e-6)), 0, 1)
    moved = np.where(inside.any(axis=0), rows + rise * share, rows).astype(np.float32)
    columns = np.broadcast_to(np.arange(inside.shape[1], dtype=np.float32), inside.shape)
    stacked = np.ascontiguousarray(np.moveaxis(cloth, 0, -1))
    raised = cv2.remap(stacked, columns, moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.moveaxis(raised, -1, 0)


def is_collar(cloth: Bool[np.ndarray, "h w"], sides: tuple[float, float]) -> bool:
    """Whether a garment ends above in a collar that stands up around the neck, or a turtleneck.

    Seen from in front that is narrow and has no dip. Necklines dip, and shoulders are wide.

    Args:
        cloth: where its picture shows it, without the inside of its back.
        sides: where its torso begins and ends, in pixels.
    """
    rows = cloth[cloth.any(axis=1)]
    if not len(rows):
        return False
    row, shoulders = (rows[int(share * len(rows))] for share in _COLLAR_ROWS)
    columns = np.flatnonzero(row)
    is_whole = len(columns) == columns[-1] - columns[0] + 1
    breadth = min(sides[1] - sides[0], np.count_nonzero(shoulders))  # a torso's may be a skirt's
    beside = abs(float(columns.mean() - np.flatnonzero(shoulders).mean()))  # as a strand of hair
    is_narrow = len(columns) < _COLLAR_WIDTH * breadth
    return bool(is_whole and is_narrow and beside < _BESIDE_MIDDLE * breadth)


def _is_inside(
    piece: np.ndarray,
    lab: np.ndarray,
    cloth: np.ndarray,
    window: np.ndarray,
    torso: tuple[float, float],  # middle and breadth
    height: int,
) -> bool:
    """Whether a piece of cloth is as an inside is: its place, size, shape and shade."""
    middle, breadth = torso
    rows, columns = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
    is_neck = _LEAST_WIDTH * breadth <= len(columns) <= _MOST_WIDTH * breadth
    if not is_neck or len(rows) < _LEAST_HEIGHT * height:
        return False
    if abs((columns[0] + columns[-1]) / 2 - middle) > _LEAST_WIDTH / 2 * breadth:
        return False
    grown = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    beyond = np.count_nonzero(grown & cloth & ~window)
    if beyond > _CONTINUED * np.count_nonzero(grown & ~piece):
        return False
    if np.count_nonzero(piece) > _MOST_AREA * np.count_nonzero(cloth):
        return False
    edge = np.argmax(cloth[:, columns], axis=0)
    first = np.argmax(piece[:, columns], axis=0)
    if np.median(first - edge) > _RIM * height:
        return False
    outline, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(outline)))
    if cv2.contourArea(max(outline, key=cv2.contourArea)) < _SOLID * hull:
        return False
    side = 2 * max(3, round(_AROUND * height)) + 1
    around = cv2.dilate(piece.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    around &= cloth & ~grown
    around[: rows[len(rows) // 2]] = False
    if not around.any():
        return False
    return float(np.percentile(lab[around, 0], 75) - np.median(lab[piece, 0])) > _DARKER


def _contact(piece: np.ndarray, region: np.ndarray) -> float:
    """The share of a piece's outline beyond which the region that it was cut from continues."""
    outline = (cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~piece
    return np.count_nonzero(outline & region) / max(np.count_nonzero(outline), 1)


def _opened(region: np.ndarray, width: float) -> np.ndarray:
    """A region without what is narrower than ``width``, such as the ground between dots."""
    size = 2 * round(width / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def _with_rim(piece: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """A piece without holes, with what lies above it in its columns."""
    below = np.cumsum(piece[::-1], axis=0)[::-1] > 0
    return below & cloth
