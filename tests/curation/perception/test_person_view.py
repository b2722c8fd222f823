"""Arms that leave the frame where the head does have no hand in view."""

from dataclasses import replace

import numpy as np
import pytest

from curation.perception.embedded.body_parts import BodyPart
from curation.perception.embedded.person_view import look_at
from curation.perception.protocols import Person

CHIN = 78  # rows of the standing person above it are cut off


def headless(person: Person, wrist: tuple[float, float], is_cut: bool = True) -> Person:
    """Cut off below the chin, the left arm raised sideways, with its wrist at x, y."""
    assert person.landmarks is not None
    assert person.mask is not None
    top = CHIN if is_cut else 0
    landmarks, mask = person.landmarks.copy(), person.mask.copy()
    landmarks[13, :2], landmarks[15, :2] = (160, CHIN + 30), (wrist[0], CHIN + wrist[1])
    landmarks[[17, 19, 21], :2] = landmarks[15, :2] + (2, -2)
    mask[CHIN : CHIN + 60, 100:195] = 255
    landmarks[:, 1] -= top
    return replace(person, landmarks=landmarks, mask=np.ascontiguousarray(mask[top:]))


def has_hand(person: Person) -> bool:
    assert person.mask is not None
    view = look_at(np.zeros((*person.mask.shape, 3), np.uint8), person)
    assert person.landmarks is not None
    x, y = person.landmarks[15, :2] - view.corner[::-1]
    inside = view.spread((view.located.part + 1).take(view.nearest_sample), 0)[int(y), int(x)]
    return inside == BodyPart.HAND_LEFT + 1


@pytest.mark.parametrize(
    ("wrist", "is_cut", "expected"),
    [
        pytest.param((170, 8), True, False, id="pressed to the edge"),
        pytest.param((170, 8), False, True, id="the head is in view"),
        pytest.param((112, 8), True, True, id="before the neck"),
        pytest.param((170, 45), True, True, id="away from the edge"),
        pytest.param((185, 14), True, True, id="with a forearm in view"),
    ],
)
def test_a_hand_pressed_to_the_edge_is_out_of_view(
    standing_person: Person, wrist: tuple[float, float], is_cut: bool, expected: bool
) -> None:
    assert has_hand(headless(standing_person, wrist, is_cut)) == expected
