"""Gaps between the sleeves and the torso of a garment that lies flat: ground, not cloth."""

import cv2
import numpy as np

GAP_AREA = 0.002  # of the garment: smaller holes are specks
GAP_BESIDE = 0.15  # of the garment's width, from its middle: a zip or a panel is nearer
MOST_GAPS = 5  # more pieces in the ground's colours are a pattern
SHADOWS = np.array([0.5, 1.0, 1.0], np.float32)  # they change L more than a and b
_GAP_UPRIGHT = 1.6  # height in widths of a gap between sleeve and torso; a badge is as wide as high
_LIKE_GROUND = 0.6  # of the distance to the garment's colour: the ground's is nearer
_GROUND_REACH = 0.08  # of the picture's longer side: a gap looks like the ground so far around it
_MOST_ALIKE = 2.0  # of the gaps' area: more in the ground's colours is a pattern


def disc(size: int) -> np.ndarray:
    """The element of a morphological operation, ``size`` px wide."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))


def missed_gaps(small: np.ndarray, garment: np.ndarray) -> np.ndarray:
    """Gaps that GrabCut took for cloth, as in checks with lines in the ground's colour.

    They look like the ground nearby, and less like the garment.

    Args:
        small: RGB (height, width, 3) uint8.
        garment: (height, width) bool, without holes.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1), cv2.COLOR_RGB2LAB).astype(np.float32)
    ground = cv2.erode((~garment).astype(np.uint8), disc(5)).astype(np.float32)
    core = cv2.erode(garment.astype(np.uint8), disc(25)) > 0
    if not core.any():
        return np.zeros(garment.shape, bool)
    spread = _GROUND_REACH * max(garment.shape)
    share = cv2.GaussianBlur(ground, (0, 0), spread)
    around = cv2.GaussianBlur(lab * ground[..., None], (0, 0), spread)
    around /= np.maximum(share, 1e-6)[..., None]
    weights = np.square(SHADOWS) * (0.2, 1, 1)  # a gap lies in the shadow of both sides
    to_ground = np.sqrt((np.square(lab - around) * weights).sum(axis=-1))
    to_cloth = np.sqrt((np.square(lab - np.median(lab[core], axis=0)) * weights).sum(axis=-1))
    ratio = np.where(garment & (share > 1e-4), to_ground / np.maximum(to_cloth, 1e-6), np.inf)
    alike = cv2.morphologyEx((ratio < _LIKE_GROUND).astype(np.uint8), cv2.MORPH_OPEN, disc(3))
    alike = cv2.morphologyEx(alike, cv2.MORPH_CLOSE, disc(9)) > 0
    gaps = upright_gaps(garment, alike & garment)
    if np.count_nonzero(alike) > _MOST_ALIKE * np.count_nonzero(gaps & alike):
        return np.zeros(garment.shape, bool)
    return gaps


def upright_gaps(garment: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Where ground shows between sleeves and torso, (height, width) bool.

    Closing unites stripes in the ground's colours with a garment, and such gaps as well. A gap is
    upright and beside the middle, and there are few of them.

    Args:
        garment: (height, width) bool, without holes.
        ground: (height, width) bool, what of it has the ground's colours.
    """
    _, pieces, stats, centres = cv2.connectedComponentsWithStats(ground.astype(np.uint8))
    labels = np.asarray(pieces, np.int32)
    sizes = stats[:, cv2.CC_STAT_AREA]
    is_piece = sizes > GAP_AREA * np.count_nonzero(garment)
    is_piece[0] = False
    columns = np.flatnonzero(garment.any(axis=0))
    if not is_piece.any() or is_piece.sum() > MOST_GAPS:
        return np.zeros(garment.shape, bool)
    width, middle = len(columns), float(columns.mean())
    is_gap = stats[:, cv2.CC_STAT_HEIGHT] >= _GAP_UPRIGHT * stats[:, cv2.CC_STAT_WIDTH]
    is_gap &= is_piece & (np.abs(centres[:, 0] - middle) > GAP_BESIDE * width)
    # its outermost pixels are mixed
    pieces = is_gap[labels.astype(np.int64)].astype(np.uint8)
    return np.asarray(cv2.dilate(pieces, disc(3))) > 0
