"""Where the garment is in its picture on a plain ground."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

GROUND_TOLERANCE = 12  # 8-bit levels
CLOSING = 0.03  # of the picture's longer side: joins what ground-coloured stripes cut apart


def differs_from_ground(picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """True on pixels that differ from the border's median colour."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.median(border, axis=0)
    return np.abs(picture.astype(np.float32) - ground).max(axis=-1) > GROUND_TOLERANCE


def garment_outline(picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """True on the garment, its parts of the ground's colour (a white stripe on white) included.

    The pixels that differ from the ground are closed and their holes filled. A picture that is
    of one colour is garment everywhere.
    """
    differs = differs_from_ground(picture)
    if not differs.any():
        return np.ones(picture.shape[:2], dtype=bool)
    radius = max(1, round(CLOSING * max(picture.shape[:2])))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(differs.astype(np.uint8), radius)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(closed), contours, -1, 1, cv2.FILLED)
    return filled[radius:-radius, radius:-radius] > 0


def shrink(area: Bool[np.ndarray, "h w"], share: float) -> Bool[np.ndarray, "h w"]:
    """The area without a rim of ``share`` times the root of its size; unchanged if none is left.

    Pixels of a rim are mixed with the surroundings of the garment, or are its shadow.
    """
    count = np.count_nonzero(area)
    padded = np.pad(area.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    inner = distance > share * np.sqrt(count)
    return inner if inner.any() else area
