"""A garment on the plain ground of a studio: cut out by its outline, where its colours are no help.

White cloth on white has the ground's colours in its folds, and its shadow has the colours of its
folds. What tells them apart is that the ground changes smoothly: a smooth surface fitted to the
photo's border predicts it everywhere, shadows fade into it, and cloth ends in a step.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.stages.garment_gaps import GAP_AREA, GAP_BESIDE, MOST_GAPS, disc
from curation.stages.garment_pieces import without_border_pieces, without_strange_pieces

_SIDE = 320  # px of the longer side; lengths below are of such a photo
_BORDER_SHARE = 0.03  # width of the border that shows the ground, of the longer side
_FINE, _SOFT = 0.8, 1.5  # blur against noise, px: for outlines; for areas
_PLAIN = 1.6  # Delta E to the surface, of four in five border pixels: white cloth has 2 and more
_LEAST_DELTA_E, _ABOVE_NOISE = 1.5, 1.6  # what is no ground; in the same pixels' Delta E
_FIT_STEPS = 6
_DEEPEST_SHADOW = 18.0  # L; what is darker is cloth
_TINT = 0.12  # change of a and b in a shadow, of its L: what changes more is cloth
_DEPTH = 0.06  # of the longer side; what is farther inside is no shadow
_SMOOTH = 1.0  # Delta E a px, at most, where a shadow fades
_PIECE = 0.02  # of the largest certain piece of cloth: smaller ones are noise
_STEPS_PER_DELTA_E = 8  # levels: what differs by more than 16 Delta E is cloth anyway
_SURELY_CLOTH, _MISSED = 20.0, 0.03
"""Delta E of no shadow; of the garment's area, such pixels outside it: thin stripes were lost."""
_ADDED_AREA, _SHADOW_AREA, _FAILED = 0.002, 0.05, 0.03
"""Of the garment's area, what is added to a cut by colours: pieces have more; a shadow has less;
with more in all, all of the outline is added."""
_CERTAIN_SHARE = 0.2  # of an added piece
_NOTCH_AREA = 0.6 * GAP_AREA
_REACH = 5.0  # px; so far around it the ground at an outline is known


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainCut:
    """A garment on a plain ground."""

    outline: UInt8[np.ndarray, "h w"]  # 255 = garment, without holes
    cloth: Bool[np.ndarray, "h w"]  # what certainly is: neither ground nor shadow

    def completed(self, mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        """A cut by colours with the cloth that it took for ground, 255 = garment.

        What is added shows certain cloth, or is too much to be a shadow.
        """
        beyond = cv2.subtract(self.outline, mask)
        added = np.asarray(cv2.morphologyEx(beyond, cv2.MORPH_OPEN, disc(5)), np.uint8)
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(added)
        area = np.count_nonzero(self.outline)
        shown = np.bincount(pieces[self.cloth].astype(np.int64), minlength=len(stats))
        sizes = stats[:, cv2.CC_STAT_AREA]
        is_cloth = (sizes > _ADDED_AREA * area) & (
            (shown > _CERTAIN_SHARE * sizes) | (sizes > _SHADOW_AREA * area)
        )
        is_cloth[0] = False
        if not is_cloth.any():
            return mask
        added = np.where(is_cloth[np.asarray(pieces, np.int64)], self.outline, np.uint8(0))
        if np.count_nonzero(added) > _FAILED * area:
            return mask | self.outline
        both = cv2.bitwise_or(mask, added)
        closed = cv2.morphologyEx(both, cv2.MORPH_CLOSE, disc(5))
        return np.where(cv2.dilate(added, disc(9)) > 0, closed, both).astype(np.uint8)


def cut_on_plain_ground(small: UInt8[np.ndarray, "h w 3"]) -> PlainCut | None:
    """Cut a garment out by its outline; None if the ground is not plain.

    The outline is where a watershed (Meyer 1992) from certain ground and one from certain cloth
    meet. Gaps in the outline, where both have one colour, cost little: each side is taken.

    Args:
        small: RGB, its longer side at most 320 px.
    """
    height, width = small.shape[:2]
    scale = _SIDE / max(height, width)
    if scale == 1:
        return _cut(small)
    size = max(8, round(scale * width)), max(8, round(scale * height))
    cut = _cut(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
    if cut is None:
        return None
    outline = cv2.resize(cut.outline, (width, height), interpolation=cv2.INTER_AREA)
    cloth = cv2.resize(cut.cloth.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return PlainCut(
        outline=np.where(outline > 127, np.uint8(255), np.uint8(0)), cloth=np.asarray(cloth) > 0
    )


def _cut(small: UInt8[np.ndarray, "h w 3"]) -> PlainCut | None:
    """``cut_on_plain_ground`` of a photo whose longer side is ``_SIDE``."""
    fine, soft, deviation = _beyond_ground(small)
    if deviation > _PLAIN:
        return None
    ground, cloth, certain = _certain(soft, max(_LEAST_DELTA_E, _ABOVE_NOISE * deviation))
    if not cloth.any() or not ground.any():
        return None
    markers = np.where(cloth, 2, np.where(ground, 1, 0)).astype(np.int32)
    levels = 128 + _STEPS_PER_DELTA_E * cv2.GaussianBlur(fine, (0, 0), 0.6)
    sides = cv2.watershed(np.clip(levels, 0, 255).astype(np.uint8), markers)
    sides[[0, -1]], sides[:, [0, -1]] = sides[[1, -2]], sides[:, [1, -2]]  # it leaves the frame out
    found = cv2.dilate((sides == 2).astype(np.uint8), np.ones((3, 3))) & (sides != 1)
    found = without_border_pieces(cv2.morphologyEx(found, cv2.MORPH_OPEN, disc(5)))
    found = without_strange_pieces(found, cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    if not found.any():
        return None
    outline, is_pattern = _bridged(found)
    outline = _on_the_step(outline, cv2.GaussianBlur(fine, (0, 0), 0.5))
    if is_pattern:
        outline = cv2.morphologyEx(outline, cv2.MORPH_CLOSE, disc(17))
    outline = _filled(cv2.morphologyEx(outline, cv2.MORPH_OPEN, disc(7)))
    missed = (np.linalg.norm(fine, axis=-1) > _SURELY_CLOTH) & (cv2.dilate(outline, disc(9)) == 0)
    if np.count_nonzero(missed) > _MISSED * np.count_nonzero(outline):
        return None
    return PlainCut(outline=255 * outline, cloth=certain)


def _beyond_ground(
    small: UInt8[np.ndarray, "h w 3"],
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"], float]:
    """Lab minus the ground's, blurred a little and more; and what four in five border pixels keep.

    The ground is a surface of second order, fitted robustly to the photo's border.
    """
    height, width = small.shape[:2]
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    fine = cv2.GaussianBlur(lab, (0, 0), _FINE)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    border = _border(height, width)
    known, shown = terms[border][::3], fine[border][::3]
    weights = np.ones((len(known), 1), np.float32)
    surface = np.zeros((6, 3), np.float32)
    for _ in range(_FIT_STEPS):
        surface = np.linalg.lstsq(known * weights, shown * weights, rcond=None)[0]
        away = np.abs(shown - known @ surface).max(axis=1, keepdims=True)
        weights = 1 / (1 + np.square(away / (1.5 * np.median(away) + 0.1)))
    ground = terms @ surface
    deviation = np.percentile(np.abs(shown - known @ surface).max(axis=1), 80)
    clipped = np.clip(lab - ground, -_SURELY_CLOTH, _SURELY_CLOTH)  # or dark cloth blurs far
    return fine - ground, cv2.GaussianBlur(clipped, (0, 0), _SOFT), float(deviation)


def _border(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    band = max(2, round(_BORDER_SHARE * max(height, width)))
    border = np.ones((height, width), bool)
    border[band:-band, band:-band] = False
    return border


def _certain(
    soft: Float[np.ndarray, "h w 3"], least: float
) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Certain ground, in its colours as far as the border; cloth that is no shadow.

    And the part of that cloth that is certain by its colours alone, not by lying far inside.
    """
    height, width = soft.shape[:2]
    lightness, tint = soft[..., 0], np.linalg.norm(soft[..., 1:], axis=-1)
    differs = np.linalg.norm(soft, axis=-1) > least
    is_shadow = (lightness < 0) & (lightness > -_DEEPEST_SHADOW)
    is_shadow &= tint < least - _TINT * lightness
    border = _border(height, width)
    alike = cv2.morphologyEx((~differs).astype(np.uint8), cv2.MORPH_OPEN, disc(7)) > 0
    _, pieces = cv2.connectedComponents((alike | border).astype(np.uint8))
    ground = np.isin(pieces, np.setdiff1d(pieces[border & alike], [0])) & ~(border & differs)
    cloth = cv2.morphologyEx((differs & ~is_shadow).astype(np.uint8), cv2.MORPH_OPEN, disc(5))
    cloth = certain = cv2.erode(cloth, disc(7)) > 0
    other = cv2.morphologyEx((~ground).astype(np.uint8), cv2.MORPH_OPEN, disc(5))
    deep = cv2.distanceTransform(other, cv2.DIST_L2, 5) > _DEPTH * max(height, width)
    cloth = cloth | (deep & ~_faded_from(ground, is_shadow, soft))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(cloth.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= _PIECE * areas.max(initial=0))
    return ground, np.isin(pieces, kept), certain


def _faded_from(
    ground: Bool[np.ndarray, "h w"],
    is_shadow: Bool[np.ndarray, "h w"],
    soft: Float[np.ndarray, "h w 3"],
) -> Bool[np.ndarray, "h w"]:
    """Ground, and the shadows that fade into it without a step, as between sleeve and torso."""
    steps = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    steepness = np.sqrt(np.square(steps).sum(axis=(0, -1))) / 8
    smooth = (ground | (is_shadow & (steepness < _SMOOTH))).astype(np.uint8)
    smooth = (cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disc(9)) > 0) | ground
    _, pieces = cv2.connectedComponents(smooth.astype(np.uint8))
    return np.isin(pieces, np.setdiff1d(pieces[ground], [0]))


def _bridged(found: UInt8[np.ndarray, "h w"]) -> tuple[UInt8[np.ndarray, "h w"], bool]:
    """One piece, 0 or 1, with stripes in the ground's colour; and whether these are a pattern.

    Closing also fills the narrow end between sleeve and torso: few places, beside the middle.
    """
    closed = _filled(cv2.morphologyEx(found, cv2.MORPH_CLOSE, disc(17)))
    added = np.where(_filled(found) > 0, 0, closed).astype(np.uint8)
    _, pieces, stats, centres = cv2.connectedComponentsWithStats(added)
    is_large = stats[1:, cv2.CC_STAT_AREA] > _NOTCH_AREA * np.count_nonzero(closed)
    if np.count_nonzero(is_large) > MOST_GAPS:
        return closed, True
    columns = np.flatnonzero(closed.any(axis=0))
    is_beside = np.abs(centres[:, 0] - columns.mean()) > GAP_BESIDE * len(columns)
    is_beside[0] = False
    return closed & ~is_beside[np.asarray(pieces, np.int64)], False


def _on_the_step(
    outline: UInt8[np.ndarray, "h w"], fine: Float[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w"]:
    """The outline moved by up to 2 px to where half of the way from ground to cloth is done."""
    is_cloth = np.linalg.norm(fine, axis=-1) > _SURELY_CLOTH  # or other things beside it
    for _ in range(2):
        outside = 1 - outline
        near = np.clip(cv2.distanceTransform(outside, cv2.DIST_L2, 5) / 4, 0, 1) ** 2
        weights = np.where((outside > 0) & ~is_cloth, near + 1e-4, 0).astype(np.float32)
        share = np.maximum(cv2.GaussianBlur(weights, (0, 0), _REACH), 1e-8)
        around = cv2.GaussianBlur(fine * weights[..., None], (0, 0), _REACH) / share[..., None]
        away = np.linalg.norm(fine - around, axis=-1)
        cloth = cv2.dilate(away * cv2.erode(outline, disc(3)), disc(5))
        rim = cv2.dilate(outline, disc(5)) > cv2.erode(outline, disc(5))
        moved = np.where(rim & (cloth > 0), away > 0.5 * cloth, outline > 0)
        outline = cv2.morphologyEx(moved.astype(np.uint8), cv2.MORPH_CLOSE, disc(5))
    return outline


def _filled(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The largest piece without its holes, 0 or 1."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled
