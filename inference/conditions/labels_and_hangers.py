"""Labels and hangers inside the collar of a product photo, painted over in the cloth's colours.

A garment that lies flat or hangs shows the inside of its back there. On a person labels would lie
on the chest.
"""

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8

from inference.sampling.collar import inside_of_collar
from models.cloth import fill_ground, torso_sides

_REACH, _DEPTH = 0.2, 0.25
"""Of the torso's breadth, from the collar's middle; of the garment's height, below its edge."""
_TOP = 0.06
"""Of the garment's height: its collar."""
_BLUR = 1.2
"""Px: noise, and a weave's spread."""
_BIN, _RARE = 4.0, 0.006
"""Delta E of colours that count as one. Of the other cloth: a colour of fewer pixels is none of
the garment's."""
_AREA, _WIDTH = (0.0007, 0.018), 0.26
"""Of the cloth, and of the torso's breadth at most: a collar or a yoke in its own colour is larger.
Fitted to the 18 photographs of docs/notes/places.md."""
_SHADE, _MOST_OF_IT = 20.0, 75
"""Delta E (CIE76) of shades of one inside; of so many percent of a piece."""
_GROWN = 0.006
"""Of the picture's height: the edge of a piece is mixed with the cloth."""


def without_labels(
    picture: UInt8[np.ndarray, "h w 3"], cloth: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a top whose labels and hangers have the colours of the cloth around them.

    Args:
        picture: RGB, on a plain ground.
        cloth: where it shows the garment, with all that is inside its collar.
    """
    sides = torso_sides(torch.from_numpy(cloth).float()[None, None])[0] * cloth.shape[1]
    inside = inside_of_collar(picture, cloth, (float(sides[0]), float(sides[1])))
    foreign = labels_and_hangers(picture, cloth)
    foreign &= ~_shades_of(picture, foreign, inside)
    if not foreign.any():
        return picture
    known = torch.from_numpy(cloth & ~foreign).float()[None, None]
    colours = rearrange(torch.from_numpy(picture).float(), "h w c -> 1 c h w")
    filled = fill_ground(torch.cat([colours * known, known], dim=1))[0, :3]
    shown = rearrange(filled, "c h w -> h w c").numpy()
    painted = np.where(foreign[..., None], np.rint(shown), picture)
    return painted.clip(0, 255).astype(np.uint8)


def _shades_of(
    picture: UInt8[np.ndarray, "h w 3"],
    foreign: Bool[np.ndarray, "h w"],
    inside: Bool[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """Which pieces are the inside of the back itself, which is cut out later: in its colour."""
    count, pieces = cv2.connectedComponents(foreign.astype(np.uint8))
    lab = cv2.cvtColor((picture / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    found = np.zeros_like(inside)
    for number in range(1, count if inside.any() else 0):
        piece = pieces == number
        if (piece & inside).any():
            apart = np.linalg.norm(lab[piece] - np.median(lab[inside], axis=0), axis=1)
            if np.percentile(apart, _MOST_OF_IT) < _SHADE:
                found |= piece
    return found


def labels_and_hangers(
    picture: UInt8[np.ndarray, "h w 3"], cloth: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """Which cloth is a label or a hanger: small, in the collar, in a colour found nowhere else.

    In a pattern of many colours few are found.

    Args:
        picture: RGB.
        cloth: as for ``without_labels``.
    """
    found = np.zeros(cloth.shape, np.uint8)
    sides = torso_sides(torch.from_numpy(cloth).float()[None, None])[0] * cloth.shape[1]
    breadth, rows = float(sides[1] - sides[0]), np.flatnonzero(cloth.any(axis=1))
    if not len(rows) or breadth <= 0:
        return found > 0
    height = int(rows[-1] - rows[0]) + 1
    top = cloth[rows[0] : rows[0] + max(1, round(_TOP * height))]
    middle = float(np.argwhere(top)[:, 1].mean())  # a torso's may be off, if one sleeve covers it
    lowest = int(np.argmax(cloth[:, int(middle)])) + round(_DEPTH * height)
    first, last = (round(middle + sign * _REACH * breadth) for sign in (-1, 1))
    collar = np.zeros(cloth.shape, bool)
    collar[:lowest, max(first, 0) : last] = True
    foreign = (_share_of_colours(picture, cloth, cloth & ~collar) < _RARE) & cloth & collar
    foreign = cv2.morphologyEx(foreign.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(foreign)
    pieces = np.asarray(numbers, np.int64)
    shares = stats[:, cv2.CC_STAT_AREA] / np.count_nonzero(cloth)
    is_small = (shares >= _AREA[0]) & (shares <= _AREA[1])
    is_small &= stats[:, cv2.CC_STAT_WIDTH] <= _WIDTH * breadth
    is_small[0] = False
    inner = cv2.erode(collar.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    is_small[np.unique(pieces[~inner])] = False  # what continues beyond is a print or a yoke
    found = is_small[pieces].astype(np.uint8)
    size = 2 * round(_GROWN * len(cloth)) + 1
    return (cv2.dilate(found, np.ones((size, size), np.uint8)) > 0) & cloth


def _share_of_colours(
    picture: UInt8[np.ndarray, "h w 3"],
    cloth: Bool[np.ndarray, "h w"],
    others: Bool[np.ndarray, "h w"],
) -> Float[np.ndarray, "h w"]:
    """How much of other cloth has the colour of each pixel, of all of it."""
    shown = cloth.astype(np.float32)
    share = cv2.GaussianBlur(shown, (0, 0), _BLUR)[..., None]
    blurred = cv2.GaussianBlur(picture * shown[..., None], (0, 0), _BLUR) / np.maximum(share, 1e-6)
    lab = cv2.cvtColor((blurred / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    bins = np.floor((lab + np.array((0, 128, 128), np.float32)) / _BIN).astype(np.int64) + 1
    counts = np.zeros(tuple(int(most / _BIN) + 3 for most in (100, 256, 256)), np.float32)
    np.add.at(counts, tuple(bins[others].T), 1)
    for axis in range(3):  # colours in neighbouring bins are alike
        counts = counts + np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    return counts[tuple(np.moveaxis(bins, -1, 0))] / max(np.count_nonzero(others), 1)
