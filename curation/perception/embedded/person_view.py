"""One frame's person as the embedded parser sees it: pixels, colours, places on the body."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from curation.perception.embedded.body_parts import (
    ELBOW_LEFT,
    ELBOW_RIGHT,
    WRIST_LEFT,
    WRIST_RIGHT,
    BodyPart,
    BodyShape,
    PartPixels,
    build_body,
    is_below_jaw,
    locate_on_body,
    on_trunk,
)
from curation.perception.embedded.clip_colours import color_bins, could_be_skin
from curation.perception.embedded.hands import hand_distance
from curation.perception.embedded.hems import NUM_PLACES
from curation.perception.protocols import Person

MOUTH, SHOULDERS, HIPS = [9, 10], [11, 12], [23, 24]  # rows of landmarks
CUT_HEAD = 0.2  # of the torso: a mouth nearer to the frame's upper edge has no head above it
NO_NECK = 0.15  # of the torso: a mouth nearer to the shoulders belongs to a head pressed into view
COLLAR = NUM_PLACES - 1  # the place on the head that is below the jaw: of turtlenecks and hoods
AT_EDGE = 0.2  # of the torso: a wrist nearer to the frame's upper edge may be above it
PRESSED = 0.3  # of the torso: a forearm that is shorter then leaves the frame
CUT_OFF = 0.05  # share of a hand's pixels on the edge: with fewer the whole hand is in view
RAISED = (
    (BodyPart.LOWER_ARM_LEFT, BodyPart.HAND_LEFT, ELBOW_LEFT, WRIST_LEFT),
    (BodyPart.LOWER_ARM_RIGHT, BodyPart.HAND_RIGHT, ELBOW_RIGHT, WRIST_RIGHT),
)
GRID_STEP = 2  # body parts are looked up on every second pixel


@dataclass(frozen=True, kw_only=True, eq=False)
class PersonView:
    """One frame's person: its n pixels, the m of them located on the body, and their colours."""

    on_person: np.ndarray  # (h, w) bool in a crop around the person, n True
    pixels: np.ndarray  # (n,) int: their places in the flattened crop
    bins: np.ndarray  # (h, w) uint16 colours
    located: PartPixels  # (m,)
    place: np.ndarray  # (m,) int: 0..NUM_PLACES - 1 along its part; see ``COLLAR``
    trunk: PartPixels  # (m,) of those on the trunk, also where a hand or an arm is in front of it
    sampled_bins: np.ndarray  # (m,) colours of the located pixels
    sampled_skin: np.ndarray  # (m,) bool: they could be skin
    nearest_sample: np.ndarray  # (n,) int: the located pixel that represents each pixel
    hand_distance: np.ndarray  # (m,) to the nearer hand, in radii
    body: BodyShape
    corner: tuple[int, int]  # top, left in the full frame
    is_cut_at_head: bool  # by the frame: no crown, and little of a face or none

    def spread(self, values: np.ndarray, elsewhere: float) -> np.ndarray:
        """A map (h, w, ...) of values (n, ...) of the person's pixels, ``elsewhere`` off them."""
        shape = self.on_person.shape
        image = np.full((shape[0] * shape[1], *values.shape[1:]), elsewhere, values.dtype)
        image[self.pixels] = values
        return image.reshape(*shape, *values.shape[1:])

    def inside(self, image: np.ndarray) -> np.ndarray:
        """The inverse: (n, ...) of a map (h, w, ...)."""
        return image.reshape(-1, *image.shape[2:]).take(self.pixels, axis=0)


def is_usable(person: Person | None) -> bool:
    """Whether it has landmarks and a mask that is not empty."""
    if person is None or person.landmarks is None or person.mask is None:
        return False
    return bool((person.mask > 127).any())


def look_at(frame: np.ndarray, person: Person | None) -> PersonView:
    """The view of a usable person in a frame (height, width, 3) uint8 RGB."""
    assert person is not None
    assert person.landmarks is not None
    assert person.mask is not None
    left, top, wide, high = cv2.boundingRect(person.mask)
    wide, high = max(wide, 1), max(high, 1)
    crop = np.ascontiguousarray(frame[top : top + high, left : left + wide])
    on_person = person.mask[top : top + high, left : left + wide] > 127
    # located: the corner of every GRID_STEP x GRID_STEP cell with a pixel of the person
    pixels = np.flatnonzero(on_person)
    row, column = np.arange(high) // GRID_STEP, np.arange(wide) // GRID_STEP
    cells = (row[:, None] * (wide // GRID_STEP + 1) + column).ravel().take(pixels)
    number = np.full((high // GRID_STEP + 1) * (wide // GRID_STEP + 1), -1)
    number[cells] = 1
    used = np.flatnonzero(number > 0)
    number[used] = np.arange(len(used))
    first_y = np.minimum(used // (wide // GRID_STEP + 1) * GRID_STEP, high - 1)
    first_x = np.minimum(used % (wide // GRID_STEP + 1) * GRID_STEP, wide - 1)
    body = build_body(person.landmarks)
    points = np.stack([first_x + left + 1.0, first_y + top + 1.0], axis=-1)
    is_cut_at_head = _is_cut_at_head(person.landmarks, top)
    located, seen = locate_on_body(points, body), person.landmarks
    if is_cut_at_head:
        located, seen = _without_hands_above(
            located, points[:, 1] < GRID_STEP + 1, person.landmarks, body.scale
        )
    bins = color_bins(crop)
    return PersonView(
        on_person=on_person,
        pixels=pixels,
        bins=bins,
        located=located,
        trunk=on_trunk(points, body),
        place=_places_of(located, is_below_jaw(points, body)),
        sampled_bins=bins[first_y, first_x],
        sampled_skin=could_be_skin(crop[first_y, first_x][None])[0],
        nearest_sample=number.take(cells),
        hand_distance=hand_distance(points, seen, body.scale),
        body=body,
        corner=(top, left),
        is_cut_at_head=is_cut_at_head,
    )


def _is_cut_at_head(landmarks: np.ndarray, top: int) -> bool:
    """Where the head is out of view, its landmarks are above the frame or pressed to its edge."""
    mouth, shoulders, hips = (landmarks[rows, 1].mean() for rows in (MOUTH, SHOULDERS, HIPS))
    torso = hips - shoulders
    return top <= 1 and bool(mouth < CUT_HEAD * torso or shoulders - mouth < NO_NECK * torso)


def _without_hands_above(
    located: PartPixels, on_edge: np.ndarray, landmarks: np.ndarray, scale: float
) -> tuple[PartPixels, np.ndarray]:
    """Parts and landmarks of a body whose raised arms leave the frame where its head does.

    The landmarks of their hands are pressed into view, which makes the forearms short: there is
    no hand. ``on_edge``: which pixels are on the frame's upper edge, (m,) bool.
    """
    points, part, seen = landmarks[:, :2], located.part.copy(), landmarks.copy()
    left, right = np.sort(points[SHOULDERS, 0])
    for arm, hand, elbow, wrist in RAISED:
        x, y = points[wrist]
        length = float(np.hypot(*(points[wrist] - points[elbow])))
        is_raised = y < AT_EDGE * scale and not left < x < right
        is_cut = np.count_nonzero(on_edge[part == hand]) > CUT_OFF * np.count_nonzero(part == hand)
        if is_raised and is_cut and length < PRESSED * scale:
            part[part == hand] = arm
            seen[wrist, 3] = 0
    return replace(located, part=part), seen


def places_along(located: PartPixels) -> np.ndarray:
    """Index 0..NUM_PLACES - 1 of each pixel's place along its part, (n,) int."""
    return np.minimum((located.along * NUM_PLACES).astype(int), NUM_PLACES - 1)


def _places_of(located: PartPixels, below_jaw: np.ndarray) -> np.ndarray:
    """The same, but on the head ``COLLAR`` is what is below the jaw, and nothing else."""
    place = places_along(located)
    above = np.where(below_jaw, COLLAR, np.minimum(place, COLLAR - 1))
    return np.where(located.part == BodyPart.HEAD, above, place)
