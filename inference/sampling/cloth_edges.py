"""Where a garment's picture or a part of the body ends: patterns continued, outlines smoothed.

Places are off by a few pixels, most at edges, and DensePose's grid is coarse: without this, edges
show the mean of a pattern's colours, and stairs.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from models.cloth import torso_sides
from models.places import ARMS, LOWER_ARMS, TORSO

_PLAIN, _NOISE, _SPECKS = 8, 2, 5
"""Px in a corner: if they are all of one colour, cloth is what differs by more, of 255; gaps of
so many px are cloth."""
_COLLAR, _RAISED = 0.3, 0.28
"""Of the torso's breadth, half a collar's; of the height, how far shoulders are raised."""
_INNER_SIDE = 0.03
"""Of the torso's breadth: its seam, which is not repeated."""
_SHOULDER, _ARMHOLE = 0.06, 0.7
"""Of the picture's height: how far a torso's cloth lies over an arm, at the top. Of the border of
torso and arm: the height of an armhole."""
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
    index = labels.astype(np.int64)
    table = np.zeros((int(index.max()) + 1, 2), np.int32)
    table[index[shown]] = np.argwhere(shown)
    nearest = table[index]
    height, width = shown.shape
    there = np.moveaxis(np.indices(shown.shape), 0, -1)
    mirrored = np.clip(2 * nearest - there, 0, (height - 1, width - 1))
    known = shown[mirrored[..., 0], mirrored[..., 1]]
    return picture[mirrored[..., 0], mirrored[..., 1]], known


def over_shoulders(groups: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Groups of a frame in which the torso reaches over the shoulders, as far as armholes do.

    DensePose's arms begin next to the neck; a top without sleeves covers their upper end, less and
    less towards the armpit.
    """
    found = groups.copy()
    away = cv2.distanceTransform((groups != TORSO).astype(np.uint8), cv2.DIST_L2, 5)
    rows = np.arange(len(groups))[:, None]
    for arm in range(ARMS[0], LOWER_ARMS[0]):
        is_arm = groups == arm
        border = np.flatnonzero((is_arm & (away < 2)).any(axis=1))
        if len(border):
            height = max(_ARMHOLE * (border[-1] - border[0]), 1.0)
            reach = _SHOULDER * len(groups) * (1 - (rows - border[0]) / height)
            found[is_arm & (away <= reach) & (away < _SHOULDER * len(groups))] = TORSO
    return found


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


def raise_shoulders(cloth: Float[Tensor, "g 4 h w"]) -> Float[Tensor, "g 4 h w"]:
    """The picture with its cloth mirrored upwards beside the collar.

    A garment that lies flat slopes from the neck to its sleeves more than shoulders do, so that the
    places of shoulders lie above its cloth. The body's own outline ends what is added.

    Args:
        cloth: from ``cut_cloth``.
    """
    height, width = cloth.shape[2:]
    rows = torch.arange(height, device=cloth.device)
    columns = (torch.arange(width, device=cloth.device) + 0.5) / width
    raised = cloth.clone()
    for row, sides in enumerate(torso_sides(cloth[:, 3:])):
        left, right = float(sides[0]), float(sides[1])
        shown = cloth[row, 3] > 0.5
        top = torch.where(shown.any(dim=0), shown.float().argmax(dim=0), height)
        middle, reach = (left + right) / 2, _COLLAR * (right - left)
        top = torch.where((columns - middle).abs() < reach, height, top)
        mirrored = (2 * top - 1 - rows[:, None]).clamp(0, height - 1)
        is_added = (rows[:, None] < top) & (top - rows[:, None] <= _RAISED * height)
        is_added &= (top < height)[None]
        source = cloth[row].gather(1, mirrored.expand(4, -1, -1))
        raised[row] = torch.where(is_added, source, cloth[row])
    return raised


def fill_sides(cloth: Float[Tensor, "g 4 h w"]) -> Float[Tensor, "g 4 h w"]:
    """The picture for torsos: beside the garment's own torso, that is mirrored.

    Places at a torso's edge may lie in the gap between torso and sleeve.

    Args:
        cloth: from ``cut_cloth``.
    """
    width = cloth.shape[3]
    filled = cloth.clone()
    columns = torch.arange(width, device=cloth.device)
    for row, sides in enumerate(torso_sides(cloth[:, 3:])):
        left, right = round(float(sides[0]) * (width - 1)), round(float(sides[1]) * (width - 1))
        inner = round(_INNER_SIDE * (right - left))
        left, right = left + inner, right - inner
        first, last = _inner_sides(cloth[row, 3] > 0.5, left, right, inner)
        mirrored = torch.where(columns < first, 2 * first - columns, columns)
        mirrored = torch.where(columns > last, 2 * last - columns, mirrored)
        mirrored = torch.minimum(torch.maximum(mirrored, first), torch.maximum(first, last))
        filled[row] = cloth[row].gather(2, mirrored.expand(4, -1, -1))
    return filled


def _inner_sides(
    shown: Bool[Tensor, "h w"], left: int, right: int, inner: int
) -> tuple[Int[Tensor, "h 1"], Int[Tensor, "h 1"]]:
    """Where each row's torso ends: at its sides, or ``inner`` before a gap with cloth beyond."""
    width = shown.shape[1]
    columns, middle = torch.arange(width, device=shown.device), (left + right) // 2
    ground = ~shown & shown[:, middle, None]
    before = torch.where(ground & (columns < middle), columns, -1).amax(dim=1)
    after = torch.where(ground & (columns > middle), columns, width).amin(dim=1)
    is_gap = (shown & (columns < before[:, None])).any(dim=1)
    first = torch.where(is_gap, (before + 1 + inner).clamp(min=left), left)
    is_gap = (shown & (columns > after[:, None])).any(dim=1)
    last = torch.where(is_gap, (after - 1 - inner).clamp(max=right), right)
    return first[:, None].clamp(max=middle), last[:, None].clamp(min=middle)
