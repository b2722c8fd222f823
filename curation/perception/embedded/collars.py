"""Cloth at the neck, which is easily taken for hair or face: turtlenecks, hoods, stand-up collars.

What is below the jaw may be cloth, and the clip's colours say whether it is; where hair and cloth
have the same colours, hair is what is connected to the crown.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from curation.perception.embedded.body_parts import BodyPart
from curation.perception.embedded.clip_colours import UNKNOWN, ClipColors, ColourClass
from curation.perception.embedded.person_view import COLLAR, PersonView
from datasets.labels import ParseLabel

COLLAR_PRIORS = (0.42, 0.40, 0.18, 0.0)  # of skin, hair, upper and lower below the jaw
BEARDED = 0.5  # share of the chin in the colours of skin: with less there is a beard
CHIN_WIDTH = 0.5  # across the head
CROWN = 0.5  # along the head
BRIDGE = 0.1  # of the head's radius: dark strips as narrow connect no hair
DOT = np.ones((5, 5), np.uint8)  # pixels: shadows on a chin are as small
HAIR_LIKE = 0.6  # nats by which hair may be likelier than cloth in what is not hair


def collar_priors(
    priors: np.ndarray, views: Sequence[PersonView], colors: ClipColors, behind: float
) -> np.ndarray:
    """Priors (parts, places, materials) with room for cloth below the jaw.

    None where hair hangs, seen from behind (``behind``: the share of such views), and none where a
    beard does.
    """
    if has_beard(views, colors):
        return priors
    adapted = priors.copy()
    own = np.array(COLLAR_PRIORS, np.float32)
    adapted[BodyPart.HEAD, COLLAR] += (1 - behind) * (own - adapted[BodyPart.HEAD, COLLAR])
    return adapted


def has_beard(views: Sequence[PersonView], colors: ClipColors) -> bool:
    """Whether little of the chin is in the colours of skin, where faces are seen."""
    likeliest = [np.zeros(0, int)]
    for view in views:
        if view.body.is_facing:
            own = view.sampled_bins[_chin(view)]
            likeliest.append(colors.evidence(own).argmax(axis=0))
    seen = np.concatenate(likeliest)
    return bool(len(seen) and (seen == ColourClass.SKIN).mean() < BEARDED)


def _chin(view: PersonView) -> np.ndarray:
    """Between mouth and jaw, (m,) bool."""
    located = view.located
    chin = (located.part == BodyPart.HEAD) & (view.place == COLLAR - 1)
    return chin & (np.abs(located.across) < CHIN_WIDTH)


def without_stray_hair(labels: np.ndarray, view: PersonView, evidence: np.ndarray) -> np.ndarray:
    """Dark cloth is not hair unless it is connected to hair on the head, or to its crown.

    Args:
        labels: (h, w) uint8 ``ParseLabel`` of a person's crop.
        view: the crop.
        evidence: (n, materials) of its person's pixels.
    """
    left, top, wide, high = cv2.boundingRect((labels == ParseLabel.HAIR).astype(np.uint8))
    if not wide:
        return labels
    window = slice(top, top + high), slice(left, left + wide)
    own = labels[window]
    hair = own == ParseLabel.HAIR
    located, rows = view.located, view.nearest_sample
    is_head = located.part == BodyPart.HEAD
    is_root, is_below = is_head & (located.along < CROWN), ~is_head | (view.place == COLLAR)
    kinds = (is_head, is_root, _chin(view), is_below)
    bits = sum((kind.astype(np.uint8) << bit for bit, kind in enumerate(kinds)), np.uint8(0))
    head, root, chin, below = _unpacked(view.spread(bits.take(rows), 0)[window], len(kinds))
    is_stray = hair & ~_connected(hair, head)
    roots = hair & root
    if view.body.is_facing and not view.is_cut_at_head and roots.any():
        if chin.any() and hair[chin].mean() > 1 - BEARDED:
            roots |= hair & chin
        side = 2 * max(1, round(BRIDGE * view.body.start_radius[BodyPart.HEAD])) + 1
        kernel = np.ones((side, side), np.uint8)
        wide_hair = cv2.morphologyEx(hair.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
        grown = cv2.dilate(_connected(wide_hair | roots, roots).astype(np.uint8), kernel) > 0
        is_stray |= _like_cloth(hair & ~grown & below, view.spread(evidence, 0)[window])
    found = labels.copy()
    found[window] = np.where(is_stray, np.uint8(ParseLabel.UPPER), own)
    return found


def without_dots_on_chins(labels: np.ndarray, view: PersonView) -> np.ndarray:
    """A shadow on the head is the garment's only if a broad strip connects it to the garment.

    Args:
        labels: (h, w) uint8 ``ParseLabel`` of a person's crop.
        view: the crop.
    """
    head = view.spread((view.located.part == BodyPart.HEAD).take(view.nearest_sample), 0)
    left, top, wide, high = cv2.boundingRect((head & (labels == ParseLabel.UPPER)).view(np.uint8))
    if view.is_cut_at_head or not wide:
        return labels
    margin = len(DOT)
    rows = slice(max(top - margin, 0), top + high + margin)
    window = rows, slice(max(left - margin, 0), left + wide + margin)
    own, head = labels[window], head[window]
    cloth = own == ParseLabel.UPPER
    broad = cv2.morphologyEx(cloth.astype(np.uint8), cv2.MORPH_OPEN, DOT) > 0
    garment = cv2.dilate(_connected(broad, ~head).astype(np.uint8), DOT) > 0
    found = labels.copy()
    found[window] = np.where(cloth & head & ~garment, np.uint8(ParseLabel.FACE), own)
    return found


def _unpacked(bits: np.ndarray, count: int) -> list[np.ndarray]:
    return [(bits >> bit & 1).astype(bool) for bit in range(count)]


def _like_cloth(mask: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """What of a mask (h, w) bool is no skin, in pieces that are as much like cloth as like hair.

    Evidence is (h, w, materials).
    """
    skin, hair, upper, _ = np.moveaxis(evidence, -1, 0)
    mask = mask & (upper > np.maximum(skin, UNKNOWN))
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    pieces = np.asarray(pieces, np.int32)
    likelier = (upper - hair + HAIR_LIKE)[mask]
    is_cloth = np.bincount(pieces[mask], likelier, minlength=int(pieces.max()) + 1) > 0
    return is_cloth[pieces] & mask


def _connected(mask: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """The pieces of a mask (h, w) bool that hold a seed, bool."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    pieces = np.asarray(pieces, np.int32)
    has_seed = np.zeros(int(pieces.max()) + 1, bool)
    has_seed[pieces[mask & seeds]] = True
    return has_seed[pieces] & mask
