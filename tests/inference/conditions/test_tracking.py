"""From people in looks to tracks: who comes back keeps a number, a stranger gets another one."""

import numpy as np
import pytest

from curation.perception.protocols import Person
from inference.conditions.appearance import bands_of, least_similarity
from inference.conditions.tracking import link, reunite

HAIR, BLOND, BLACK, OLIVE, JEANS = (
    (40, 30, 25), (210, 180, 110), (25, 25, 28), (110, 100, 30), (40, 60, 120),
)  # fmt: skip
GROUND = (150, 150, 150)


def look_at(*colours, left=20):
    """An image of somebody whose head, top and trousers have these colours, and the person."""
    image = np.full((120, 100, 3), GROUND, np.uint8)
    mask = np.zeros((120, 100), np.uint8)
    for (start, stop), colour in zip(((10, 30), (30, 60), (60, 110)), colours, strict=True):
        image[start:stop, left : left + 30] = colour
        mask[start:stop, left : left + 30] = 255
    box = np.array([left, 10, left + 30, 110], np.float32)
    return image, Person(box=box, score=1.0, keypoints=np.ones((17, 3), np.float32), mask=mask)


def walk(*visits):
    """ConditionTracks of visits (first second, last second, look), looked at twice a second."""
    tracks = []
    for start, stop, (image, person) in visits:
        for time in np.arange(start, stop, 0.5):
            link(tracks, float(time), image, [person], 1.0)
    return tracks


def test_who_comes_back_after_a_while_is_the_same_person():
    somebody = look_at(HAIR, OLIVE, JEANS)
    (track,) = reunite(walk((0, 4, somebody), (10, 13, look_at(HAIR, OLIVE, JEANS, left=55))))
    assert track.times == sorted(track.times)
    assert len(track.times) == len(track.boxes) == 14
    assert (track.boxes[0][0], track.boxes[-1][0]) == (20, 55)
    assert track.appearance.sum() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "stranger", [(BLOND, OLIVE, JEANS), (HAIR, BLACK, JEANS), (HAIR, OLIVE, BLACK)]
)
def test_who_differs_in_hair_or_top_or_trousers_is_another_person(stranger):
    tracks = walk((0, 4, look_at(HAIR, OLIVE, JEANS)), (10, 13, look_at(*stranger)))
    assert len(reunite(tracks)) == 2


def test_two_who_look_alike_and_are_seen_at_once_stay_two():
    tracks = []
    left, right = look_at(HAIR, OLIVE, JEANS), look_at(HAIR, OLIVE, JEANS, left=65)
    image = np.maximum(left[0], right[0])
    for time in (0.0, 0.5, 1.0):
        link(tracks, time, image, [left[1], right[1]], 1.0)
    assert len(reunite(tracks)) == 2


def test_a_band_that_is_not_seen_says_nothing():
    image, person = look_at(HAIR, OLIVE, JEANS)
    whole = bands_of(image, person)
    half = whole.copy()
    half[2] = 0
    assert least_similarity(whole, half) == pytest.approx(1.0, abs=1e-5)
    assert least_similarity(whole, np.zeros_like(whole)) is None
    assert (whole.sum(axis=1) > 0.99).all()
