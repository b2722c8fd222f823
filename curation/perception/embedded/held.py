"""Things that a hand holds in front of the clothes: a bag, a book, a ball.

Colours of clothes have a place of the body at which they are seen in nearly all frames, and shades
have their hue. What is in other colours, not always at the same place, and touches a hand, is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.embedded.body_parts import HAND_RADIUS, NUM_PARTS, PartPixels
from curation.perception.embedded.hems import COARSE, NUM_PLACES, SATURATED, coarse_cells
from curation.perception.embedded.person_view import PersonView, places_of
from datasets.labels import ParseLabel

HOME = 0.9  # share of the frames in which a colour of the clothes is seen at one place
HUES = 48  # around the circle
NEXT_HUES = 3  # on both sides of a worn colour's hue are those of its shades
MIN_VISIBLE = 0.4  # share of the frames in which such a place is seen
SAME_PLACE = 0.35  # share of the frames in which a place of the body is seen in one colour
HELD = 0.9  # radii of a hand, within which a place says nothing about clothes
NUM_SIDES = 4  # places across a part
LEAST_PIXELS = 4  # at a place of the body, for a colour or the place to be seen in a frame
MIN_AREA = 0.35  # of a hand's: smaller pieces are shadows and folds
NEAREST = 1.3  # radii of a hand within which a piece must come to be held
THIN = 0.2  # radii of a hand: narrower strips are shadows and outlines
CLOTH = (int(ParseLabel.UPPER), int(ParseLabel.LOWER))


@dataclass(frozen=True, kw_only=True, eq=False)
class WornColours:
    """Which colours belong to a clip's clothes."""

    anywhere: np.ndarray  # (colours,) bool
    at_place: np.ndarray  # (places, colours) bool

    def of(self, view: PersonView) -> np.ndarray:
        """Whether each pixel of a view's crop is in a worn colour, (h, w) bool; True off people."""
        colours = coarse_cells()[view.bins]
        is_worn = np.ones(view.on_person.shape, bool)
        places = _places(view.located)[view.nearest_sample]
        own = colours[view.on_person]
        is_worn[view.on_person] = self.anywhere[own] | self.at_place[places, own]
        return is_worn


def worn_colours(views: Sequence[PersonView]) -> WornColours:
    """Learn them from views of a clip; all are worn, without any view."""
    cells = coarse_cells()
    colours, places = int(np.prod(COARSE)), NUM_PARTS * NUM_PLACES * NUM_SIDES
    at_place, visible = np.zeros((places, colours), np.uint8), np.zeros(places, np.uint8)
    for view in views:
        own, where = cells[view.sampled_bins], _places(view.located)
        is_seen = (view.located.part >= 0) & (view.hand_distance > HELD)
        visible += np.bincount(where[is_seen], minlength=places) >= LEAST_PIXELS
        pairs, times = np.unique((where * colours + own)[is_seen], return_counts=True)
        at_place.reshape(-1)[pairs[times >= LEAST_PIXELS]] += 1
    near = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in
                     at_place.reshape(-1, *COARSE[1:])]).reshape(places, -1)  # fmt: skip
    is_known = visible >= MIN_VISIBLE * len(views)
    least = HOME * visible[is_known, None]
    anywhere = (near[is_known] >= least).any(axis=0)
    anywhere |= _shades_of(np.asarray((at_place[is_known] >= least).any(axis=0)))
    return WornColours(
        anywhere=anywhere | (not views),
        at_place=near >= np.maximum(SAME_PLACE * visible, 1)[:, None],
    )


def _shades_of(worn: np.ndarray) -> np.ndarray:
    """Saturated colours of the same hue as worn ones, (colours,) bool: folds and deep shade."""
    y, x = np.indices(COARSE[1:]) * 256 / np.array(COARSE[1:])[:, None, None] - 128 + 4
    hue = ((np.arctan2(x, y) / (2 * np.pi) + 0.5) * HUES).astype(int) % HUES
    chroma = np.broadcast_to(np.hypot(x, y), COARSE).reshape(-1)
    hues = np.broadcast_to(hue, COARSE).reshape(-1)
    found = np.zeros(HUES, bool)
    found[hues[worn & (chroma > SATURATED)]] = True
    found = np.any([np.roll(found, step) for step in range(-NEXT_HUES, NEXT_HUES + 1)], axis=0)
    return (chroma > SATURATED) & found[hues]


def with_held_things(labels: np.ndarray, view: PersonView, worn: WornColours) -> np.ndarray:
    """Label maps (h, w) in which what a hand holds is ``OTHER``.

    Args:
        labels: (h, w) uint8 ``ParseLabel`` of a person's crop, hands included.
        view: the crop.
        worn: the colours of the clip's clothes.
    """
    radius = HAND_RADIUS * view.body.scale
    distance = np.full(labels.shape, np.inf, np.float32)
    distance[view.on_person] = view.hand_distance[view.nearest_sample]
    foreign = np.isin(labels, CLOTH) & ~worn.of(view)
    side = max(3, round(THIN * radius))
    foreign = cv2.blur(foreign.astype(np.float32), (side, side)) > 0.5
    foreign &= np.isin(labels, CLOTH)
    _, pieces = cv2.connectedComponents(foreign.astype(np.uint8), connectivity=4)
    pieces = np.asarray(pieces, np.int32)
    areas = np.bincount(pieces.ravel())
    nearest = np.full(len(areas), np.inf)
    np.minimum.at(nearest, pieces[foreign], distance[foreign])
    is_held = (areas >= MIN_AREA * np.pi * radius**2) & (nearest <= NEAREST)
    is_held[0] = False
    return np.where(is_held[pieces], np.uint8(ParseLabel.OTHER), labels)


def _places(located: PartPixels) -> np.ndarray:
    """Part, place along it and across it of each pixel, (n,) int; that of part 0 off the body."""
    across = np.clip((located.across + 1) / 2 * NUM_SIDES, 0, NUM_SIDES - 1).astype(int)
    part = np.maximum(located.part.astype(int), 0)
    return (part * NUM_PLACES + places_of(located)) * NUM_SIDES + across
