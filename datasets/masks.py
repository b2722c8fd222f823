"""Inpainting masks per garment category, from a label map and DensePose, that do not leak.

A mask covers the garment in every frame and the limbs that another garment might cover. Its outline
consists of widened hulls, so that it does not reveal the old garment's shape; face, hair, hands,
what they hold, and feet are kept. Over time a mask only grows, where a part was missed: majority
voting over frames would uncover a fast sleeve.

Margins: ``tight`` follows the body closely. ``wide`` paints as much as the preprocessing of
VITON-HD and DressCode: both legs in one hull, outlines wider by a quarter of half the body, and a
band below the hem of an upper garment, so that the new one may be wider or longer.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from configs.checks import check_range
from datasets.labels import CATEGORIES, GARMENT_LABELS, ParseLabel, among
from datasets.labels import DensePosePart as D
from datasets.masks_over_time import fill_lapses, fill_unseen

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
    wide_hulls: tuple[tuple[int, ...], ...]  # the same of a wide mask
    margin: str  # one of MARGINS
    extends: tuple[int, ...] = ()  # parts below which other garments begin, that it may cover


MARGINS = ("tight", "wide")
UPPER_HULLS = ((*TORSO,), *UPPER_ARMS, *LOWER_ARMS)
LOWER_HULLS = ((*UPPER_LEGS,), *LOWER_LEGS)
BOTH_LEGS = (*UPPER_LEGS, *LOWER_LEGS[0], *LOWER_LEGS[1])
RULES = {
    "upper": MaskRule(
        garment=GARMENT_LABELS["upper"],
        limbs=(P.ARMS,),
        others=(P.LOWER, P.LEGS),
        hulls=UPPER_HULLS,
        wide_hulls=UPPER_HULLS,
        margin="tight",
        extends=TORSO,
    ),
    "lower": MaskRule(
        garment=GARMENT_LABELS["lower"],
        limbs=(P.LEGS,),
        others=(P.UPPER, P.ARMS),
        hulls=LOWER_HULLS,
        wide_hulls=(BOTH_LEGS,),
        margin="wide",
    ),
    "overall": MaskRule(
        garment=GARMENT_LABELS["overall"],
        limbs=(P.ARMS, P.LEGS),
        others=(),
        hulls=(*UPPER_HULLS, *LOWER_HULLS),
        wide_hulls=(*UPPER_HULLS, BOTH_LEGS),
        margin="wide",
    ),
}
"""What each category paints, with its default margin."""
PROTECTED = (P.FACE, P.HAIR, P.HANDS, P.FEET)
_BETWEEN = 0.03  # of the longer side, half the gap between thighs, at most
_TOUCH = 0.005  # of the longer side: what is this near to a hand touches it


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """Widths that fit any size: shares of the square root of the covered area, or of half the body.

    Half the body is the radius of the largest circle inside what is covered, about a leg's width.
    """

    widening: float = 0.02  # of every outline
    hull_reach: float = 0.11  # hulls extend at most this far from what is covered
    hem_band: float = 0.045  # band along the garment in which its neighbours are painted too
    wide_widening: float = 0.4  # of every outline of a wide mask, of half the body
    wide_hem: float = 0.6  # how far a wide mask continues below the hem, of half the body
    closing_frames: int = 2  # on both sides: gaps in time that are filled
    lapse: float = 0.05  # a mask smaller by this share than those before and after has a gap

    def __post_init__(self) -> None:
        check_range(self, *vars(self), least=0)


def mask_rule(category: str, margin: str | None = None) -> MaskRule:
    """What is painted for a category.

    Args:
        category: upper, lower or overall.
        margin: tight or wide; None: the category's own.

    Raises:
        ValueError: there is no such category or margin.
    """
    if category not in RULES:
        raise ValueError(f"category is {category!r}; {', '.join(CATEGORIES)} are accepted")
    check_margin(margin)
    rule = RULES[category]
    return rule if margin is None else replace(rule, margin=margin)


def check_margin(margin: str | None) -> None:
    """Reject an unknown margin.

    Raises:
        ValueError: it is neither tight nor wide nor None.
    """
    if margin is not None and margin not in MARGINS:
        raise ValueError(
            f"margin is {margin!r}; {' or '.join(MARGINS)} is accepted, or null for the category's "
            "own"
        )


def inpainting_mask(
    parse: UInt8[np.ndarray, "t height width"],
    iuv_frames: UInt8[np.ndarray, "t height width c"],
    category: str,
    settings: MaskSettings | None = None,
    margin: str | None = None,
) -> UInt8[np.ndarray, "t height width"]:
    """The area to be painted in each frame of a clip.

    Args:
        parse: label maps (``ParseLabel``).
        iuv_frames: frame-sized IUV, or I alone (``datasets.densepose.paste_iuv``).
        category: upper, lower or overall.
        settings: widths; the defaults if None.
        margin: tight or wide; None: the category's own.

    Returns:
        255 = to be painted, 0 = kept. A frame without a person gets the union of the masks before
        and after; a clip without a person is all 0.

    Raises:
        ValueError: an unknown category or margin, or tracks that do not fit together.
    """
    rule = mask_rule(category, margin)
    if parse.shape != iuv_frames.shape[:3]:
        raise ValueError(f"parse is {parse.shape}, densepose {iuv_frames.shape}: they must agree")
    widths = MaskSettings() if settings is None else settings
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
    return protect(closed, drawn, parse, rule)


def protect(
    closed: UInt8[np.ndarray, "t height width"],
    drawn: UInt8[np.ndarray, "t height width"],
    parse: UInt8[np.ndarray, "t height width"],
    rule: MaskRule,
) -> UInt8[np.ndarray, "t height width"]:
    """Remove what is kept: face, hair, hands and what they hold, feet, other categories' garments.

    Args:
        closed: the mask after ``fill_lapses``.
        drawn: the mask before it, from ``frame_mask``.
        parse: label maps.
        rule: the category's.
    """
    keep = among(parse, PROTECTED)
    keep |= among(parse, rule.others) & (drawn == 0)
    keep |= np.stack([held_things(labels) for labels in parse])
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
    mask = np.zeros(labels.shape, np.uint8)
    worn = (labels == P.OTHER) & ~held_things(labels)  # the neck and things on the chest
    window = _around_person(labels, parts, rule, settings)
    mask[window] = _drawn(labels[window], parts[window], worn[window], rule, settings)
    return mask


def _around_person(
    labels: np.ndarray, parts: np.ndarray, rule: MaskRule, settings: MaskSettings
) -> tuple[slice, slice]:
    """Rows and columns outside which a frame's mask is empty."""
    left, top, wide, high = cv2.boundingRect(np.maximum(labels, parts))
    reach = max(settings.widening, settings.hem_band) * float(np.sqrt(wide * high))
    if rule.margin == "wide":
        reach = max(reach, settings.wide_widening * max(wide, high))
    margin = int(1.1 * reach) + 4  # distances are approximate
    rows = slice(max(top - margin, 0), top + high + margin)
    return rows, slice(max(left - margin, 0), left + wide + margin)


def _drawn(
    labels: np.ndarray,
    parts: np.ndarray,
    worn: np.ndarray,
    rule: MaskRule,
    settings: MaskSettings,
) -> np.ndarray:
    """``frame_mask`` of a window of the frame; ``worn``: bool, other things than held ones."""
    garment = among(labels, rule.garment)
    limbs = among(labels, rule.limbs)
    wanted_parts = [int(part) for hull in rule.hulls for part in hull]
    on_body = among(parts, wanted_parts)
    if P.UPPER in rule.garment:  # not a ball or a bag
        limbs |= worn & (on_body | among(parts, HEAD))
    covered = garment | limbs | on_body
    if not covered.any():
        return np.zeros(labels.shape, np.uint8)
    nearest = nearest_part(parts, covered, wanted_parts)
    unit = float(np.sqrt(np.count_nonzero(covered)))  # the garment's area would reveal its sleeves
    others = among(labels, rule.others)
    band = _widened(garment.astype(np.uint8) * 255, settings.hem_band * unit)
    if rule.margin == "wide":
        return _wide_mask(covered, nearest, others, band, rule, settings)
    mask = covered.astype(np.uint8) * 255
    for hull in rule.hulls:
        fill_hull(mask, among(nearest, hull) & covered, 255)
    mask &= _widened(covered.astype(np.uint8) * 255, settings.hull_reach * unit)
    mask = _widened(mask, settings.widening * unit)
    mask[others] = band[others]
    return mask


def _wide_mask(
    covered: np.ndarray,
    nearest: np.ndarray,
    others: np.ndarray,
    band: np.ndarray,
    rule: MaskRule,
    settings: MaskSettings,
) -> np.ndarray:
    """One frame's wide mask before protection, (height, width) uint8.

    Args:
        covered: (height, width) bool, must be painted.
        nearest: (height, width) DensePose part of what is covered.
        others: (height, width) bool, kept except near the garment.
        band: (height, width) uint8, where others are painted along the garment.
        rule: the category's.
        settings: widths.
    """
    mask = covered.astype(np.uint8) * 255
    half_body = float(cv2.distanceTransform(mask, cv2.DIST_L2, 3).max())
    reach = settings.wide_widening * half_body
    hem = np.zeros(covered.shape, bool)
    for hull in rule.wide_hulls:
        inside = among(nearest, hull) & covered
        if hull == rule.extends:
            below = _widened(inside.astype(np.uint8) * 255, settings.wide_hem * half_body)
            hem = (below > 0) & others
            inside |= hem
        fill_hull(mask, inside, 255)
    mask = _widened(mask, reach)
    painted = _widened(np.where(hem, np.uint8(255), band), reach) if hem.any() else band
    mask[others] = np.where(painted[others] > 0, mask[others], 0)
    return mask


def below_hem(labels: np.ndarray, parts: np.ndarray, rule: MaskRule) -> np.ndarray:
    """Where a longer upper garment would lie over what is worn below it.

    No part of the mask: these pixels stay as they are, unless the new garment reaches them.

    Args:
        labels: (height, width) ``ParseLabel``.
        parts: (height, width) DensePose part.
        rule: the category's; nothing lies below lower and overall garments.

    Returns:
        (height, width) bool.
    """
    if not rule.extends:
        return np.zeros(labels.shape, bool)
    body = among(parts, (*rule.extends, *UPPER_LEGS)).astype(np.uint8) * 255
    return among(labels, rule.others) & (_widened(body, _BETWEEN * max(labels.shape)) > 0)


def held_things(labels: np.ndarray) -> np.ndarray:
    """What is kept in front of a person: ``IN_FRONT``, and ``OTHER`` that touches a hand.

    Such as a bag; what touches the head, too, is a neck or a hat.

    Args:
        labels: (height, width) ``ParseLabel``.

    Returns:
        (height, width) bool.
    """
    held = labels == P.IN_FRONT
    reach = _TOUCH * max(labels.shape)
    left, top, wide, high = cv2.boundingRect(labels)
    window = slice(top, top + high), slice(left, left + wide)
    labels = labels[window]
    others, hands = labels == P.OTHER, labels == P.HANDS
    if not (others.any() and hands.any()):
        return held
    near = _widened(hands.astype(np.uint8) * 255, reach) > 0
    if not (others & near).any():
        return held
    head = among(labels, (P.FACE, P.HAIR)).astype(np.uint8)
    by_head = cv2.dilate(head, np.ones((3, 3), np.uint8)) > 0
    _, pieces = cv2.connectedComponents(others.astype(np.uint8), connectivity=8)
    is_held = np.zeros(int(pieces.max()) + 1, bool)
    is_held[pieces[others & near]] = True
    is_held[pieces[others & by_head]] = False  # the neck, a hat
    held[window] |= is_held[pieces] & others
    return held


def nearest_part(parts: np.ndarray, where: np.ndarray, accepted: list[int]) -> np.ndarray:
    """DensePose part of each pixel in ``where``; the nearest accepted part if it has none.

    Loose cloth extends beyond the body: without this a wide sleeve would belong to no hull.
    """
    is_accepted = among(parts, accepted)
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


def _widened(mask: np.ndarray, radius: float) -> np.ndarray:
    if not mask.any():
        return mask
    distance = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 3)  # to the nearest masked pixel
    limit: Any = max(1.0, radius)  # OpenCV's types know no numbers here
    return np.asarray(cv2.compare(distance, limit, cv2.CMP_LE))


def fill_hull(image: np.ndarray, inside: np.ndarray, value: int) -> None:
    """Fill the convex hull of a region (height, width) bool, if any, in an image of that size.

    Each row's ends have the hull of all its pixels.
    """
    rows = np.flatnonzero(inside.any(axis=1))
    if not len(rows):
        return
    left = inside[rows].argmax(axis=1)
    right = inside.shape[1] - 1 - inside[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.stack([left, rows], -1), np.stack([right, rows], -1)]).reshape(-1, 2)
    cv2.fillConvexPoly(image, cv2.convexHull(ends.astype(np.int32)), value)
