"""Things in front are neither clothes nor painted; a print is cloth, also next to a hand."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from curation.perception.embedded import parser
from curation.perception.embedded.body_parts import BodyPart
from curation.perception.embedded.held import worn_colours
from curation.perception.embedded.parser import WORN_HERE, EmbeddedParser
from curation.perception.embedded.person_view import PersonView, look_at
from curation.perception.protocols import Person
from datasets.labels import ParseLabel as P
from datasets.masks import held_things
from tests.curation.perception.test_parser import painted, seen_from_behind

BAG = (200, 60, 160)
FRAMES = 8
TURNING = ((88, 130), (100, 134), (112, 138))
LEGS = (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT)


def parsed(person: Person, pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack(EmbeddedParser().parse(pictures, [person] * len(pictures)))


def with_patch(person: Person, rows: slice, columns: slice) -> np.ndarray:
    """A bag-coloured patch on the person, below the left hand."""
    frame = painted(person, 0.95)
    assert person.mask is not None
    frame[rows, columns] = np.where(
        person.mask[rows, columns, None] > 0, np.array(BAG, np.uint8), frame[rows, columns]
    )
    return frame


def widened(person: Person) -> Person:
    """The same with what it holds in its mask: a block of 40 pixels around the left hand."""
    assert person.mask is not None
    mask = person.mask.copy()
    cv2.rectangle(mask, (122, 180), (168, 232), 255, -1)
    return replace(person, mask=mask)


def test_a_bag_that_comes_with_the_hand_is_held_and_not_cloth(standing_person: Person) -> None:
    person = widened(standing_person)
    rows, columns = slice(196, 232), slice(122, 166)
    plain = painted(person, 0.95)
    pictures = [with_patch(person, rows, columns)] * 2 + [plain] * (FRAMES - 2)
    labels = parsed(person, pictures)
    bag = labels[0][202:228, 126:162]
    assert (bag == P.IN_FRONT).mean() > 0.8
    assert held_things(labels[0])[202:228, 126:162].mean() > 0.8
    assert (labels[-1][202:228, 126:162] == P.IN_FRONT).mean() < 0.1


def worn_in(views: list[PersonView], view: PersonView, inside: Any) -> float:
    """The share of pixels of a view in colours that are worn in these views."""
    return float(1 - worn_colours(views).lacks(view, view.on_person)[inside].mean())


def test_a_print_that_is_always_near_a_hand_is_worn(standing_person: Person) -> None:
    """Nowhere in the clip is its colour seen away from the hands."""
    frame = painted(standing_person, 0.95)
    view = look_at(frame, standing_person)
    top, left = view.corner
    distance = np.full(view.on_person.shape, np.inf)
    distance[view.on_person] = view.hand_distance[view.nearest_sample]
    part = np.full(view.on_person.shape, -1)
    part[view.on_person] = view.located.part[view.nearest_sample]
    rows, columns = np.nonzero(np.isin(part, LEGS) & (distance > 1.2) & (distance < 2.2))
    assert len(rows) > 100
    frame[rows + top, columns + left] = BAG
    printed = look_at(frame, standing_person)
    plain = look_at(painted(standing_person, 0.95), standing_person)
    inside = rows, columns
    assert worn_in([printed] * FRAMES, printed, inside) > 0.8
    assert worn_in([printed] + [plain] * FRAMES, printed, inside) < 0.1


def test_a_shade_of_the_cloth_that_comes_with_the_hand_is_worn(standing_person: Person) -> None:
    frame = painted(standing_person, 0.95)
    shaded = frame.copy()
    assert standing_person.mask is not None
    patch = np.zeros(standing_person.mask.shape, bool)
    patch[120:150, 85:115] = True
    shaded[patch] = (12, 50, 18)  # a third of the green top's light, a little more vivid
    view, plain = look_at(shaded, standing_person), look_at(frame, standing_person)
    top, left = view.corner
    inside = patch[top : top + view.on_person.shape[0], left : left + view.on_person.shape[1]]
    assert worn_in([view] + [plain] * FRAMES, view, inside) > 0.8


def test_a_print_that_turns_is_worn_though_no_place_shows_it_often(standing_person: Person) -> None:
    """Three frames show the chest, at three places; in the others the print is behind the body."""
    plain = painted(standing_person, 0.95)
    pictures = [cv2.circle(plain.copy(), place, 9, BAG, -1) for place in TURNING]
    views = [look_at(picture, standing_person) for picture in pictures]
    back = look_at(plain, seen_from_behind(standing_person))
    top, left = back.corner
    for view, (x, y) in zip(views, TURNING, strict=True):
        inside = slice(y - 6 - top, y + 7 - top), slice(x - 6 - left, x + 7 - left)
        assert worn_in([*views, *[back] * FRAMES], view, inside) > 0.9
        assert worn_in([view, *[look_at(plain, standing_person)] * FRAMES], view, inside) < 0.1


@pytest.mark.parametrize("away_from_hands", [True, False])
def test_a_ball_that_passes_is_in_front_and_stays(
    standing_person: Person, away_from_hands: bool
) -> None:
    """It need not touch a hand, and one in front of everything passes as one in front of a few."""
    plain = painted(standing_person, 0.95)
    places = [(88, 125), (108, 140), (100, 155)] if away_from_hands else [(62, 150), (140, 150)]
    pictures = [cv2.circle(plain.copy(), place, 11, BAG, -1) for place in places]
    labels = parsed(standing_person, pictures + [plain] * FRAMES)
    for frame, picture in zip(labels, pictures, strict=False):
        assert standing_person.mask is not None
        ball = (picture != plain).any(axis=2) & (standing_person.mask > 0)
        ball = cv2.erode(ball.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (frame[ball] == P.IN_FRONT).mean() > 0.9
    assert not (labels[len(places) :] == P.IN_FRONT).any()
    assert (labels[-1][120:160, 85:115] == P.UPPER).mean() > 0.9


@pytest.mark.parametrize("worn_here", [0.0, WORN_HERE])
def test_a_badge_that_hangs_there_in_other_frames_is_no_part_of_a_hand(
    standing_person: Person, worn_here: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its colour could be skin's, and a hand comes next to it."""
    monkeypatch.setattr(parser, "WORN_HERE", worn_here)
    assert standing_person.landmarks is not None
    badge, palm = (slice(132, 152), slice(86, 102)), (slice(130, 154), slice(104, 120))
    hanging = painted(standing_person, 0.95)
    noise = np.random.default_rng(5).integers(-8, 9, (20, 16, 3))
    hanging[badge] = np.clip(np.array((206, 178, 156)) + noise, 0, 255)
    reaching = hanging.copy()
    reaching[palm] = (224, 172, 138)
    landmarks = standing_person.landmarks.copy()
    landmarks[13, :2], landmarks[15, :2] = (146, 150), (124, 142)
    landmarks[[17, 19, 21], :2] = (110, 142)
    person = replace(standing_person, landmarks=landmarks)
    people = [person] * 2 + [standing_person] * FRAMES
    labels = EmbeddedParser().parse([reaching] * 2 + [hanging] * FRAMES, people)[0]
    is_hand = (labels[134:150, 88:100] == P.HANDS).mean()
    assert is_hand < 0.4 if worn_here else is_hand > 0.6
    assert (labels[134:150, 106:118] == P.HANDS).mean() > 0.95


def test_a_ball_in_the_shoes_colour_is_no_cloth_of_the_legs(standing_person: Person) -> None:
    shoes = (225, 225, 230)
    plain = painted(standing_person, 0.95)
    assert standing_person.mask is not None
    feet = (standing_person.mask > 0) & (np.indices(standing_person.mask.shape)[0] > 328)
    plain[feet] = shoes
    ball = cv2.circle(plain.copy(), (88, 245), 10, shoes, -1)
    labels = parsed(standing_person, [ball] * 2 + [plain] * FRAMES)
    assert (labels[0][239:251, 84:92] == P.IN_FRONT).mean() > 0.9
    assert not (labels[-1] == P.IN_FRONT).any()
