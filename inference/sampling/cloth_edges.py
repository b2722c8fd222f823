"""Where a garment's picture or a part of the body ends: patterns continued, outlines smoothed.

Places are off by a few pixels, most at edges, and DensePose's grid is coarse: without this, edges
show the mean of a pattern's colours, and stairs.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

_PLAIN, _NOISE, _SPECKS = 8, 2, 5
"""Px in a corner: if they are all of one colour, cloth is what differs by more, of 255; gaps of
so many px are cloth."""
_STAIRS = 0.009
"""Of the picture's height: the spread that smoothes the outlines of parts."""


def cloth_on_plain(picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"] | None:
    """Where a picture on a perfectly plain ground shows cloth: white cloth too, and no gaps.

    Args:
        picture: RGB, as ``centre_on_ground`` makes it.

    Returns:
        None if the ground is not plain.
    """
    if not (picture[:_PLAIN, :_PLAIN] == picture[0, 0]).all():
        return None
    far = np.abs(picture.astype(np.int16) - picture[0, 0]).max(axis=-1) > _NOISE
    return cv2.morphologyEx(far.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((_SPECKS, _SPECKS))) > 0


def mirror_beyond(
    picture: Float[np.ndarray, "h w c"], shown: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]]:
    """A picture whose pixels beyond a region mirror those inside it, so that patterns run on.

    Args:
        picture: colours.
        shown: the region.

    Returns:
        The picture, and which pixels it knows: not those whose mirror image lies beyond another
        edge of the region.
    """
    if not shown.any() or shown.all():
        return picture, shown
    _, labels = cv2.distanceTransformWithLabels(
        (~shown).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.asarray(labels, np.int32)
    table = np.zeros((int(index.max()) + 1, 2), np.int32)
    table[index[shown]] = np.argwhere(shown)
    nearest = table[index]
    height, width = shown.shape
    there = np.moveaxis(np.indices(shown.shape), 0, -1)
    mirrored = np.clip(2 * nearest - there, 0, (height - 1, width - 1))
    known = shown[mirrored[..., 0], mirrored[..., 1]]
    return picture[mirrored[..., 0], mirrored[..., 1]], known


def smooth_parts(parts: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Numbers of parts whose outlines are smooth: each pixel has the one that is most around it."""
    spread = _STAIRS * len(parts)
    best = np.zeros(parts.shape, np.float32)
    found = np.zeros_like(parts)
    for number in np.unique(parts):
        share = cv2.GaussianBlur((parts == number).astype(np.float32), (0, 0), spread)
        more = share > best
        found[more] = number
        best[more] = share[more]
    return found
