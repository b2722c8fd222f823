"""Inpainting masks per garment category, from a label map and DensePose, that do not leak.

A mask covers the garment in every frame and the limbs that another garment might cover. Its outline
consists of widened hulls, so that it does not reveal the old garment's shape; face, hair, hands and
feet are kept. Over time a mask only grows, where a part was missed: majority voting over frames
would uncover a fast sleeve.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from datasets.labels import CATEGORIES, GARMENT_LABELS, ParseLabel
from datasets.labels import DensePosePart as D

P = ParseLabel
TORSO = (D.TORSO_BACK, D.TORSO_FRONT)
HEAD = (D.HEAD_RIGHT, D.HEAD_LEFT)
UPPER_ARMS = (
    (D.UPPER_ARM_LEFT_FRONT, D.UPPER_ARM_LEFT_BACK),
    (D.UPPER_ARM_RIGHT_FRONT, D.UPPER_ARM_RIGHT_BACK),
)
LOWER_ARMS = (
    (D.LOWER_ARM_LEFT_FRONT, D.LOWER_ARM_LEFT_BACK),
    (D.LOWER_ARM_RIGHT_FRONT, D.LOWER_ARM_RIGHT_BACK),
)
UPPER_LEGS = (
    D.UPPER_LEG_LEFT_FRONT, D.UPPER_LEG_LEFT_BACK, D.UPPER_LEG_RIGHT_FRONT, D.UPPER_LEG_RIGHT_BACK,
)  # fmt: skip
LOWER_LEGS = (
    (D.LOWER_LEG_LEFT_FRONT, D.LOWER_LEG_LEFT_BACK),
    (D.LOWER_LEG_RIGHT_FRONT, D.LOWER_LEG_RIGHT_BACK),
)


@dataclass(frozen=True, kw_only=True)
class MaskRule:
    """What is painted for one category."""

    garment: tuple[ParseLabel, ...]  # must be covered
    limbs: tuple[ParseLabel, ...]  # covered too: another garment may be longer
    others: tuple[ParseLabel, ...]  # kept, except for a band along the garment
    hulls: tuple[tuple[int, ...], ...]  # DensePose parts, one convex hull each


UPPER_HULLS = ((*TORSO,), *UPPER_ARMS, *LOWER_ARMS)
LOWER_HULLS = ((*UPPER_LEGS,), *LOWER_LEGS)
RULES = {
    "upper": MaskRule(
        garment=GARMENT_LABELS["upper"],
        limbs=(P.ARMS,),
        others=(P.LOWER, P.LEGS),
        hulls=UPPER_HULLS,
    ),
    "lower": MaskRule(
        garment=GARMENT_LABELS["lower"],
        limbs=(P.LEGS,),
        others=(P.UPPER, P.ARMS),
        hulls=LOWER_HULLS,
    ),
    "overall": MaskRule(
        garment=GARMENT_LABELS["overall"],
        limbs=(P.ARMS, P.LEGS),
        others=(),
        hulls=(*UPPER_HULLS, *LOWER_HULLS),
    ),
}
PROTECTED = (P.FACE, P.HAIR, P.HANDS, P.FEET)


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Widths, as shares of the square root of the covered area, so that they fit any size."""

    widening: float = 0.02  # of every outline
    hull_reach: float = 0.11  # hulls extend at most this far from what is covered
    hem_band: float = 0.045  # band along the garment in which its neighbours are painted too
    closing_frames: int = 2  # on both sides: gaps in time that are filled
    lapse: float = 0.05  # a mask smaller by this share than those before and after has a gap

    def __post_init__(self) -> None:
        for name in ("widening", "hull_reach", "hem_band", "closing_frames", "lapse"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; 0 or more is accepted")


def inpainting_mask(
    parse: UInt8[np.ndarray, "t height width"],
    iuv_frames: UInt8[np.ndarray, "t height width 3"],
    category: str,
    settings: MaskSettings | None = None,
) -> UInt8[np.ndarray, "t height width"]:
    """The area to be painted in each frame of a clip.

    Args:
        parse: label maps (``ParseLabel``).
        iuv_frames: frame-sized IUV (``datasets.densepose.paste_iuv``); only I is read.
        category: upper, lower or overall.
        settings: widths; the defaults if None.

    Returns:
        255 = to be painted, 0 = kept. A frame without a person gets the union of the masks before
        and after; a clip without a person is all 0.

    Raises:
        ValueError: an unknown category, or tracks that do not fit together.
    """
    if category not in RULES:
        raise ValueError(f"category is {category!r}; {', '.join(CATEGORIES)} are accepted")
    if parse.shape != iuv_frames.shape[:3]:
        raise ValueError(f"parse is {parse.shape}, densepose {iuv_frames.shape}: they must agree")
    rule, widths = RULES[category], MaskSettings() if settings is None else settings
    if not len(parse):
        return parse.copy()
    drawn = np.stack(
        [
            frame_mask(labels, iuv[..., 0], rule, widths)
            for labels, iuv in zip(parse, iuv_frames, strict=True)
        ]
    )
    is_seen = parse.reshape(len(parse), -1).max(axis=1) > 0
    closed = fill_lapses(fill_unseen(drawn, is_seen), widths.closing_frames, widths.lapse)
    return protect(closed, drawn, parse, category)


def protect(
    closed: UInt8[np.ndarray, "t height width"],
    drawn: UInt8[np.ndarray, "t height width"],
    parse: UInt8[np.ndarray, "t height width"],
    category: str,
) -> UInt8[np.ndarray, "t height width"]:
    """Remove from a mask what is kept: face, hair, hands, feet, and garments of other categories.

    Args:
        closed: the mask after ``fill_lapses``.
        drawn: the mask before it, from ``frame_mask``.
        parse: label maps.
        category: upper, lower or overall.
    """
    keep = _among(parse, PROTECTED)
    keep |= _among(parse, RULES[category].others) & (drawn == 0)
    return np.where(keep, np.uint8(0), closed)


def frame_mask(
    labels: np.ndarray, parts: np.ndarray, rule: MaskRule, settings: MaskSettings
) -> np.ndarray:
    """One frame's mask before protection, (height, width) uint8.

    Args:
        labels: (height, width) ``ParseLabel``.
        parts: (height, width) DensePose part.
        rule: the category's.
        settings: widths.
    """
    garment = _among(labels, rule.garment)
    limbs = _among(labels, rule.limbs)
    wanted_parts = [int(part) for hull in rule.hulls for part in hull]
    on_body = _among(parts, wanted_parts)
    if P.UPPER in rule.garment:  # the neck and things on the chest, but not a ball or a bag
        limbs |= (labels == P.OTHER) & (on_body | _among(parts, HEAD))
    covered = garment | limbs | on_body
    if not covered.any():
        return np.zeros(labels.shape, np.uint8)
    nearest = nearest_part(parts, covered, wanted_parts)
    mask = covered.astype(np.uint8) * 255
    unit = float(np.sqrt(np.count_nonzero(covered)))  # the garment's area would reveal its sleeves
    for hull in rule.hulls:
        points = cv2.findNonZero((_among(nearest, hull) & covered).astype(np.uint8))
        if points is not None:
            cv2.fillConvexPoly(mask, cv2.convexHull(points), 255)
    mask &= _widened(covered.astype(np.uint8) * 255, settings.hull_reach * unit)
    mask = _widened(mask, settings.widening * unit)
    others = _among(labels, rule.others)
    band = _widened(garment.astype(np.uint8) * 255, settings.hem_band * unit)
    mask[others] = band[others]
    return mask


def nearest_part(parts: np.ndarray, where: np.ndarray, accepted: list[int]) -> np.ndarray:
    """DensePose part of each pixel in ``where``; the nearest accepted part if it has none.

    Loose cloth extends beyond the body: without this a wide sleeve would belong to no hull.
    """
    is_accepted = _among(parts, accepted)
    if not is_accepted.any():
        return np.where(where, accepted[0], 0).astype(np.uint8)
    if not (where & ~is_accepted).any():
        return np.where(where, parts, 0).astype(np.uint8)
    _, index = cv2.distanceTransformWithLabels(
        (~is_accepted).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.asarray(index, np.int32)
    table = np.zeros(int(index.max()) + 1, np.uint8)
    table[index[is_accepted]] = parts[is_accepted]
    return np.where(where, table[index], 0).astype(np.uint8)


def fill_unseen(masks: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """Give frames without a detected person the union of the masks before and after.

    Args:
        masks: (t, height, width) uint8.
        is_seen: (t,) bool.
    """
    seen = np.flatnonzero(is_seen)
    if not len(seen) or len(seen) == len(masks):
        return masks
    filled = masks.copy()
    for index in np.flatnonzero(~is_seen):
        before, after = seen[seen < index], seen[seen > index]
        neighbours = [masks[rows[edge]] for rows, edge in ((before, -1), (after, 0)) if len(rows)]
        filled[index] = np.maximum.reduce(neighbours)
    return filled


def fill_lapses(masks: np.ndarray, num_frames: int, lapse: float) -> np.ndarray:
    """Close gaps in time where a part was missed: in frames whose mask is suddenly smaller.

    Closing every frame would also paint everything an arm swings over. A frame has a gap if the
    largest masks within reach before and after it both exceed its own by the share ``lapse``.

    Args:
        masks: (t, height, width) uint8.
        num_frames: reach on both sides.
        lapse: 0 closes every frame.
    """
    closed = close_in_time(masks, num_frames)
    areas = np.count_nonzero(masks.reshape(len(masks), -1), axis=1)
    is_lapse = np.zeros(len(masks), bool)
    for index, area in enumerate(areas):
        before = areas[max(0, index - num_frames) : index].max(initial=0)
        after = areas[index + 1 : index + 1 + num_frames].max(initial=0)
        is_lapse[index] = area <= (1 - lapse) * min(before, after)
    return np.where(is_lapse[:, None, None], closed, masks)


def close_in_time(masks: np.ndarray, num_frames: int) -> np.ndarray:
    """Morphological closing along time; the result always contains the frame's own mask.

    Args:
        masks: (t, height, width) uint8.
        num_frames: reach on both sides.
    """
    if num_frames == 0 or len(masks) < 3:
        return masks
    return _slide(_slide(masks, num_frames, np.maximum), num_frames, np.minimum)


def _slide(masks: np.ndarray, reach: int, combine: np.ufunc) -> np.ndarray:
    result = masks.copy()
    for shift in range(1, min(reach, len(masks) - 1) + 1):
        combine(result[shift:], masks[:-shift], out=result[shift:])
        combine(result[:-shift], masks[shift:], out=result[:-shift])
    return result


def _widened(mask: np.ndarray, radius: float) -> np.ndarray:
    if not mask.any():
        return mask
    distance = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 3)  # to the nearest masked pixel
    return (distance <= max(1.0, radius)).astype(np.uint8) * 255


def _among(values: np.ndarray, wanted: Iterable[int]) -> np.ndarray:
    """``np.isin`` for uint8 by table look-up, ten times faster."""
    table = np.zeros(256, bool)
    table[[int(value) for value in wanted]] = True
    return table[values]
