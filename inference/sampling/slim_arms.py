"""Bare arms as wide as arms are, not as the old sleeves were.

DensePose sees clothed people, and a wide sleeve is part of its arm. A limb's own width follows from
the head's size, since heads wear no sleeves.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from datasets.labels import DensePosePart
from datasets.masks import nearest_part
from datasets.places import group_of
from inference.sampling.skin import FACE, HANDS
from models.places import ARMS, LOWER_ARMS

_SHOULDER, _ELBOW, _WRIST = 0.24, 0.21, 0.145
"""Half the breadth of an arm there, in the square root of the head's area. Bare arms of three real
clips: forearms 0.16 to 0.21 in the mean, upper arms 0.20 to 0.28, hands 0.16 to 0.28."""
_CUFF = 0.2
"""The same of a long sleeve at the wrist."""
_STRAIGHT = 1.6
"""Length in breadths: less, and a limb points at the camera or is hidden; it stays as it is."""
_AHEAD = 0.9
"""Cosine: a hand may turn a forearm's axis by so much."""
_LEAST_PIXELS = 30  # of a part, to know its axis
_BARE = 0.5
"""Of a part: where the source shows more of it bare, its outline is known."""
_NO_PART = np.uint8(255)
_ARM_PARTS = tuple(int(part) for part in DensePosePart if "ARM" in part.name)


def head_size(parts: Iterable[UInt8[np.ndarray, "_ h w"]]) -> float | None:
    """The square root of a head's area, in that of the picture's area; None: none in view.

    Args:
        parts: DensePose's, of a video, some frames at a time.
    """
    areas = np.concatenate([np.isin(labels, FACE).mean(axis=(1, 2)) for labels in parts] or [[]])
    if not (areas > 0).any():
        return None
    return float(np.sqrt(np.median(areas[areas > 0])))


def certain_arms(
    parts: UInt8[np.ndarray, "h w"], bare: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """What a parser takes for bare arms, of arms whose lower half is bare for the most part.

    Spots on a sleeve are a pattern in the tone of skin.
    """
    seen = np.isin(parts, _ARM_PARTS)
    if not bare.any() or not seen.any():
        return np.zeros_like(bare)
    groups, certain = group_of(nearest_part(parts, bare | seen, list(_ARM_PARTS))), bare.copy()
    for lower, above in zip(LOWER_ARMS, range(ARMS[0], LOWER_ARMS[0]), strict=True):
        own = seen & (groups == (lower if (seen & (groups == lower)).any() else above))
        if (own & bare).sum() <= _BARE * own.sum():
            certain &= (groups != lower) & (groups != above)
    return certain


def slim_arms(
    parts: UInt8[np.ndarray, "h w"],
    masked: Bool[np.ndarray, "h w"],
    bare: Bool[np.ndarray, "h w"],
    head: float | None,
    covered: tuple[bool, bool],
) -> UInt8[np.ndarray, "h w"]:
    """DensePose's parts with bare arms in their own width: what lies beside is no arm.

    Args:
        parts: of a frame.
        masked: where it is painted, and parts may change.
        bare: what the source shows of bare arms, certainly: their outline is known.
        head: size of the head in px, see ``head_size``; None: unknown.
        covered: whether the new garment covers upper arms, and lower ones. Below a long sleeve only
            what is masked of a hand changes.
    """
    strayed = bare & masked & ~np.isin(parts, (*_ARM_PARTS, *HANDS))
    if strayed.any():
        parts = np.where(strayed, nearest_part(parts, strayed, list(_ARM_PARTS)), parts)
    groups = group_of(parts)
    found = parts.copy()
    for hand, lower, above in zip(HANDS, LOWER_ARMS, range(ARMS[0], LOWER_ARMS[0]), strict=True):
        forearm, palm, shoulder = groups == lower, parts == hand, groups == above
        half = (_CUFF, _CUFF) if covered[1] else (_ELBOW, _WRIST)
        own = _own(forearm, shoulder, palm, bare, head, half)
        if own is None:
            continue
        region = palm if covered[1] else forearm | palm
        if not covered[0]:
            arm = _own(shoulder, None, forearm, bare, head, (_SHOULDER, _ELBOW))
            if arm is not None:
                region, own = region | shoulder, own | arm
        beside = region & masked & ~own
        if beside.any():
            others = forearm | palm | (shoulder & (not covered[0]))
            found[beside] = _nearest_other(parts, others)[beside]
    return found


def _own(
    part: Bool[np.ndarray, "h w"],
    before: Bool[np.ndarray, "h w"] | None,
    after: Bool[np.ndarray, "h w"],
    bare: Bool[np.ndarray, "h w"],
    head: float | None,
    half: tuple[float, float],  # of the head's size
) -> Bool[np.ndarray, "h w"] | None:
    """What of a part is arm: what is bare, where most is, or else a limb; None: unknown."""
    if (part & bare).sum() > _BARE * part.sum():
        return bare
    limb = None if head is None else _limb(part, before, after, (half[0] * head, half[1] * head))
    return None if limb is None else limb | bare


def _limb(
    part: Bool[np.ndarray, "h w"],
    before: Bool[np.ndarray, "h w"] | None,
    after: Bool[np.ndarray, "h w"],
    half: tuple[float, float],
) -> Bool[np.ndarray, "h w"] | None:
    """A straight limb around a part's axis; None if no axis is known.

    Args:
        part: its pixels.
        before: the part at its near end; None: what follows tells the direction.
        after: the part at its far end, which it continues into.
        half: half its breadth at both ends, px.
    """
    rows, columns = np.nonzero(part)
    if len(rows) < _LEAST_PIXELS:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    middle = points.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov(points.T))
    if spread[1] < _STRAIGHT**2 * spread[0]:
        return None
    axis = axes[:, 1]
    end = _centre(_beside(part, after))
    if end is not None and np.linalg.norm(end - middle) > 0:
        ahead = (end - middle) / np.linalg.norm(end - middle)
        axis = axis * np.sign(ahead @ axis or 1)
        if ahead @ axis > _AHEAD:
            axis = ahead
    elif before is not None and (start := _centre(before)) is not None:
        axis = axis * np.sign((middle - start) @ axis or 1)
    along = (points - middle) @ axis
    first, last = np.percentile(along, (3, 97))
    height, width = part.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) - middle
    ahead, aside = grid @ axis, np.abs(grid @ np.stack([-axis[1], axis[0]]))
    share = np.clip((ahead - first) / max(last - first, 1.0), 0, 1)
    breadth = half[0] + share * (half[1] - half[0])
    beyond = np.maximum(first - ahead, 0)  # an elbow is round
    return np.hypot(aside, beyond) <= breadth


def _beside(part: np.ndarray, other: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Pixels of ``other`` that touch ``part``."""
    return other & (cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _centre(region: np.ndarray) -> Float[np.ndarray, "2"] | None:
    """Column and row of a region's middle; None if it has too few pixels."""
    rows, columns = np.nonzero(region)
    if len(rows) < 3:
        return None
    return np.array([columns.mean(), rows.mean()], np.float32)


def _nearest_other(
    parts: UInt8[np.ndarray, "h w"], region: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """The part, or 0, of the nearest pixel outside a region."""
    around = np.unique(parts[~region]).tolist()
    return nearest_part(np.where(region, _NO_PART, parts), region, around)
