"""Things that a hand holds in front of the clothes: a bag, a book, a ball.

They are in colours that are worn in few frames of the clip, or in none, away from the hands. So a
print that is always there is cloth, and what comes and goes with a hand is not.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from curation.perception.embedded.body_parts import HAND_RADIUS
from curation.perception.embedded.clip_colours import NUM_BINS, bin_colors
from curation.perception.embedded.hems import COARSE, coarse_smoothed, unshaded
from curation.perception.embedded.person_view import PersonView
from datasets.labels import ParseLabel

AWAY = 2.5  # radii of a hand, from which on colours are the clothes' own
LEAST_SHARE = 0.002  # of a frame's person: with fewer pixels a colour is not shown in it
WORN_IN = 0.35  # share of the frames in which a colour of the clothes is seen away from the hands
MIN_AREA = 0.35  # of a hand's: smaller pieces are shadows and folds
NEAREST = 1.3  # radii of a hand within which a piece must come to be held
THIN = 0.2  # radii of a hand: narrower strips are shadows and outlines
CLOTH = (int(ParseLabel.UPPER), int(ParseLabel.LOWER), int(ParseLabel.ARMS))


def worn_colours(views: Sequence[PersonView]) -> np.ndarray:
    """Which colours are worn throughout a clip, (NUM_BINS,) bool; all, without enough to see."""
    cells = _coarse_cells()
    seen = np.zeros(int(np.prod(COARSE)))
    for view in views:
        is_away = (view.hand_distance > AWAY) & (view.located.part >= 0)
        counts = np.bincount(cells[view.sampled_bins[is_away]], minlength=len(seen))
        shares = coarse_smoothed(counts.reshape(COARSE).astype(np.float64)) / max(counts.sum(), 1)
        seen += shares > LEAST_SHARE
    if not len(views):
        return np.ones(NUM_BINS, bool)
    return (seen >= max(WORN_IN * len(views), 1))[cells]


def with_held_things(labels: np.ndarray, view: PersonView, is_worn: np.ndarray) -> np.ndarray:
    """Label maps (h, w) in which what a hand holds is ``OTHER``.

    Args:
        labels: (h, w) uint8 ``ParseLabel`` of a person's crop, hands included.
        view: the crop.
        is_worn: ``worn_colours`` of the clip.
    """
    radius = HAND_RADIUS * view.body.scale
    distance = np.full(labels.shape, np.inf, np.float32)
    distance[view.on_person] = view.hand_distance[view.nearest_sample]
    foreign = np.isin(labels, CLOTH) & ~is_worn[view.bins]
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


def _coarse_cells() -> np.ndarray:
    """The coarse cell of each colour bin, shading taken out where possible, (NUM_BINS,) int."""
    scaled = unshaded(bin_colors(np.arange(NUM_BINS))) * np.array(COARSE) / 256
    first, second, third = np.minimum(scaled.astype(int), np.array(COARSE) - 1).T
    return (first * COARSE[1] + second) * COARSE[2] + third
