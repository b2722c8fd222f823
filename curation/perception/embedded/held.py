"""Things in front of the clothes: a ball or a pole that passes, a bag or a book in a hand.

The colours of clothes are seen on the body in nearly all frames, from the front or from behind, and
shades have their hue; some have a place at which they are seen often. A large enough piece of cloth
in other colours is something in front of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.embedded.body_parts import HAND_RADIUS, NUM_PARTS, BodyPart, PartPixels
from curation.perception.embedded.hands import REACH
from curation.perception.embedded.hems import COARSE, NUM_PLACES, SATURATED, coarse_cells
from curation.perception.embedded.person_view import PersonView, places_along
from datasets.labels import ParseLabel, among

PRESENT = 0.8  # share of the frames of one side in which a zone shows a colour that is worn there
LEAST_FRAMES = 0.15  # of all: a side of the person that is seen in fewer tells of itself alone
LEAST_SEEN = 0.3  # of a zone's usual pixels: with fewer, a frame does not tell its colours
HUES = 48  # around the circle
NEXT_HUES = 1  # on both sides of a trunk colour's hue are those of its shades
MAIN_COLOUR = 0.02  # of the trunk's pixels, for a colour to have shades
DULLER, MORE_VIVID = 1.1, 2.2  # a shade's chroma over its colour's, at one lightness
SAME_PLACE = 0.5  # share of the frames in which a place of the body is seen in one colour
HELD = 0.9  # radii of a hand, within which a place says nothing about clothes
NUM_SIDES = 4  # places across a part
LEAST_PIXELS = 4  # at a place of the body, for a colour or the place to be seen in a frame
MIN_AREA = 0.35  # of a hand's: smaller pieces are shadows and folds
NEAR_BODY = 1.3  # radii of a part: its zone ends there
MIN_ZONE = 40  # pixels
THIN = 0.2  # radii of a hand: narrower strips are shadows and outlines
ABOVE_HEM = 0.7  # along the trunk: what is worn on the legs may begin below
_ARMS = tuple(range(BodyPart.UPPER_ARM_LEFT, BodyPart.HAND_LEFT))
_HANDS = (BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT)
_THIGHS = (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT)
TRUNK, ABOVE, THIGHS = 0, 1, 2
ZONES = (
    (BodyPart.TORSO,), (BodyPart.TORSO, *_ARMS), _THIGHS,
    (BodyPart.HEAD, BodyPart.NECK, *_HANDS),
    tuple(range(BodyPart.LOWER_LEG_LEFT, NUM_PARTS)),
)  # fmt: skip
"""Trunk, trunk with arms, thighs, what shows skin, shins and feet: shoes begin there."""
CLOTH = (int(ParseLabel.UPPER), int(ParseLabel.LOWER))


@dataclass(frozen=True, kw_only=True, eq=False)
class WornColours:
    """Which colours belong to a clip's clothes; sides: from behind, from the front."""

    above: np.ndarray  # (sides, colours) bool: worn on trunk or arms
    on_thighs: np.ndarray  # or on thighs: what hands are in front of
    anywhere: np.ndarray
    at_place: np.ndarray  # (places, colours) bool

    def lacks(self, view: PersonView, asked: np.ndarray) -> np.ndarray:
        """Which of the ``asked`` pixels of a view's crop, (h, w) bool, are in no worn colour."""
        is_asked = view.inside(asked)
        own = coarse_cells().take(view.inside(view.bins)[is_asked])
        rows, located, side = view.nearest_sample[is_asked], view.located, int(view.body.is_facing)
        on_thighs = np.isin(located.part, (BodyPart.TORSO, *_HANDS, *_THIGHS))
        is_above = np.isin(located.part, _ARMS)
        is_above |= (located.part == BodyPart.TORSO) & (located.along < ABOVE_HEM)
        is_worn = np.select(
            [is_above.take(rows), on_thighs.take(rows)],
            [self.above[side].take(own), self.on_thighs[side].take(own)],
            self.anywhere[side].take(own),
        )
        is_foreign = np.zeros(len(is_asked), bool)
        is_foreign[is_asked] = ~(is_worn | self.at_place[_places(view).take(rows), own])
        return view.spread(is_foreign, 0)

    def on_trunk(self, view: PersonView) -> np.ndarray:
        """Which pixels (n,) near hands have colours worn at their place of the trunk, bool."""
        trunk, rows = view.trunk, view.nearest_sample
        asked = np.flatnonzero(((trunk.part >= 0) & (view.hand_distance < REACH)).take(rows))
        places = _places_across(trunk, places_along(trunk)).take(rows.take(asked))
        found = np.zeros(len(rows), bool)
        found[asked] = self.at_place[places, coarse_cells().take(view.inside(view.bins)[asked])]
        return found


def worn_colours(views: Sequence[PersonView]) -> WornColours:
    """Learn them from views of a clip; all are worn, without any view."""
    cells = coarse_cells()
    colours, places = int(np.prod(COARSE)), NUM_PARTS * NUM_PLACES * NUM_SIDES
    at_place, visible = np.zeros((places, colours), np.uint8), np.zeros(places, np.uint8)
    counts = np.zeros((len(views), len(ZONES), colours), np.int32)
    for row, view in enumerate(views):
        own, where = cells[view.sampled_bins], _places(view)
        is_seen = (view.located.part >= 0) & (view.hand_distance > HELD)
        visible += np.bincount(where[is_seen], minlength=places) >= LEAST_PIXELS
        pairs, times = np.unique((where * colours + own)[is_seen], return_counts=True)
        at_place.reshape(-1)[pairs[times >= LEAST_PIXELS]] += 1
        for zone, parts in enumerate(ZONES):
            inside = np.isin(view.located.part, parts) & (view.located.radii < NEAR_BODY)
            if BodyPart.HEAD not in parts:
                inside &= is_seen
            counts[row, zone] = np.bincount(own[inside], minlength=colours)
    worn = _worn_in_zones(counts, np.array([view.body.is_facing for view in views], bool))
    trunk = counts[:, TRUNK].sum(axis=0)
    is_main = trunk > MAIN_COLOUR * trunk.sum()
    shades = np.stack([_shades_of(side[TRUNK] & is_main) for side in worn])
    above = worn[:, ABOVE] | shades | (not views)
    return WornColours(
        above=above,
        on_thighs=above | worn[:, THIGHS],
        anywhere=above | worn.any(axis=1),
        at_place=_with_next(at_place) >= np.maximum(SAME_PLACE * visible, 1)[:, None],
    )


def _worn_in_zones(counts: np.ndarray, is_facing: np.ndarray) -> np.ndarray:
    """Which colours zones show in nearly all frames of a side, (sides, zones, colours) bool.

    Args:
        counts: (views, zones, colours) pixels.
        is_facing: (views,) bool.
    """
    worn = np.zeros((2, *counts.shape[1:]), bool)
    for zone in range(counts.shape[1] if len(counts) else 0):
        areas = counts[:, zone].sum(axis=1)
        is_told = areas >= max(LEAST_SEEN * float(np.median(areas)), MIN_ZONE)
        for side in (0, 1):
            rows = is_told & (is_facing == bool(side))
            if not rows.any():
                continue
            shown = [_with_next(seen >= LEAST_PIXELS) for seen in counts[rows, zone]]
            found = np.mean(shown, axis=0) >= PRESENT
            worn[side, zone] |= found
            if rows.sum() > LEAST_FRAMES * len(counts):
                worn[1 - side, zone] |= found
    return worn


def _with_next(shown: np.ndarray) -> np.ndarray:
    """Values (..., colours) of each colour or a neighbour of the same lightness, the largest."""
    planes = shown.reshape(-1, *COARSE[1:]).astype(np.uint8)
    near = np.zeros_like(planes)
    for index in np.flatnonzero(planes.any(axis=(1, 2))):
        near[index] = cv2.dilate(planes[index], np.ones((3, 3), np.uint8))
    return near.reshape(shown.shape)


def _shades_of(worn: np.ndarray) -> np.ndarray:
    """Saturated colours of about the hue and chroma of worn ones, (colours,) bool: folds, shade."""
    y, x = np.indices(COARSE[1:]) * 256 / np.array(COARSE[1:])[:, None, None] - 128 + 4
    hue = ((np.arctan2(x, y) / (2 * np.pi) + 0.5) * HUES).astype(int) % HUES
    chroma = np.broadcast_to(np.hypot(x, y), COARSE).reshape(-1)
    hues = np.broadcast_to(hue, COARSE).reshape(-1)
    is_vivid = chroma > SATURATED
    found = np.zeros(len(worn), bool)
    for colour in np.flatnonzero(worn & is_vivid):
        apart = np.abs((hues - hues[colour] + HUES // 2) % HUES - HUES // 2)
        ratio = chroma / chroma[colour]
        found |= (apart <= NEXT_HUES) & (ratio > DULLER) & (ratio < MORE_VIVID)
    return found & is_vivid


def with_things_in_front(labels: np.ndarray, view: PersonView, worn: WornColours) -> np.ndarray:
    """Label maps (h, w) in which what is in front of the clothes is ``IN_FRONT``.

    Args:
        labels: (h, w) uint8 ``ParseLabel`` of a person's crop, hands included.
        view: the crop.
        worn: the colours of the clip's clothes.
    """
    cloth = among(labels, CLOTH)
    foreign = worn.lacks(view, cloth)
    if not foreign.any():
        return labels
    radius = HAND_RADIUS * view.body.scale
    side = max(3, round(THIN * radius))
    foreign = (cv2.blur(foreign.astype(np.float32), (side, side)) > 0.5) & cloth
    _, pieces = cv2.connectedComponents(foreign.astype(np.uint8), connectivity=4)
    pieces = np.asarray(pieces, np.int32)
    is_thing = np.bincount(pieces.ravel()) >= MIN_AREA * np.pi * radius**2
    is_thing[0] = False
    return np.where(is_thing[pieces], np.uint8(ParseLabel.IN_FRONT), labels)


def _places(view: PersonView) -> np.ndarray:
    """Part, place along it and across it of each pixel, (m,) int; that of part 0 off the body."""
    return _places_across(view.located, view.place)


def _places_across(located: PartPixels, place: np.ndarray) -> np.ndarray:
    across = np.clip((located.across + 1) / 2 * NUM_SIDES, 0, NUM_SIDES - 1).astype(int)
    part = np.maximum(located.part.astype(int), 0)
    return (part * NUM_PLACES + place) * NUM_SIDES + across
