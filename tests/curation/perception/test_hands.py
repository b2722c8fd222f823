from dataclasses import replace

import numpy as np
import pytest

from curation.perception.embedded.body_parts import (
    HAND_RADIUS,
    BodyPart,
    BodyShape,
    build_body,
)
from curation.perception.embedded.hands import (
    LEAST_LIKELY,
    MOST_LIKELY,
    hand_distance,
    refine_hands,
    skin_threshold,
    without_forearms,
)
from curation.perception.protocols import Person
from datasets.labels import ParseLabel as P

SCALE = 100.0
YES, NO = 3.0, -5.0  # log ratios of skin and of cloth


def chest(hand: P = P.HANDS) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A hand of 16x16 pixels before a chest, where the label map has it, or beside it."""
    labels = np.full((120, 100), P.UPPER, np.uint8)
    labels[50:66, 40:56] = hand
    log_ratio = np.full(labels.shape, NO, np.float32)
    log_ratio[50:66, 40:56] = YES
    y, x = np.indices(labels.shape)
    distance = np.hypot(x - 48, y - 58).astype(np.float32) / (HAND_RADIUS * SCALE)
    return labels, log_ratio, np.full(labels.shape, P.UPPER, np.uint8), distance


def refined(
    labels: np.ndarray, log_ratio: np.ndarray, cloth: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    return refine_hands(labels, log_ratio, log_ratio, cloth, distance, -1.0, SCALE)


def test_distance_is_measured_from_wrist_to_fingertips_and_steeper_up_the_sleeve(
    standing_person: Person,
) -> None:
    assert standing_person.landmarks is not None
    landmarks = standing_person.landmarks.copy()
    landmarks[[15, 16], :2] = (100, 100)
    landmarks[[17, 18, 19, 20], :2] = (100, 120)  # both hands hang: fingertips at y = 130
    points = np.array([[100, 115], [113.5, 115], [100, 143.5], [100, 86.5]], np.float32)
    found = hand_distance(points, landmarks, SCALE)
    np.testing.assert_allclose(found, [0, 1, 1, 2], atol=0.02)


def test_a_hand_out_of_view_is_nowhere(standing_person: Person) -> None:
    assert standing_person.landmarks is not None
    landmarks = standing_person.landmarks.copy()
    landmarks[[15, 16], 3] = 0.1
    points = landmarks[[15, 16], :2].astype(np.float32)
    assert np.isinf(hand_distance(points, landmarks, SCALE)).all()


def test_cloth_under_the_label_of_a_hand_is_cloth_again() -> None:
    labels, log_ratio, cloth, distance = chest()
    labels[66:76, 40:56] = P.HANDS  # the landmarks reach too far: a stripe of the garment
    result = refined(labels, log_ratio, cloth, distance)
    assert (result[50:66, 40:56] == P.HANDS).all()
    assert (result[68:76, 40:56] == P.UPPER).all()


def test_a_hand_that_the_landmarks_miss_is_found_by_its_skin() -> None:
    labels, log_ratio, cloth, distance = chest(hand=P.UPPER)
    result = refined(labels, log_ratio, cloth, distance + 1.5)
    assert (result[50:66, 40:56] == P.HANDS).all()
    assert (result == P.HANDS).sum() < 20 * 20
    crumbs = np.full_like(log_ratio, NO)
    crumbs[50:53, 40:43] = YES
    assert not (refined(labels, crumbs, cloth, distance + 1.5) == P.HANDS).any()


def test_a_highlight_on_a_palm_belongs_to_the_hand() -> None:
    labels, log_ratio, cloth, distance = chest()
    log_ratio[54:60, 44:50] = NO
    assert (refined(labels, log_ratio, cloth, distance)[50:66, 40:56] == P.HANDS).all()


def test_the_more_a_garment_is_like_skin_the_surer_a_hand_must_be() -> None:
    assert skin_threshold(np.full(100, -8.0)) == LEAST_LIKELY
    assert skin_threshold(np.full(100, 2.0)) == MOST_LIKELY
    assert LEAST_LIKELY < skin_threshold(np.full(100, -1.0)) < MOST_LIKELY
    assert LEAST_LIKELY < skin_threshold(np.zeros(0)) < MOST_LIKELY


def raised_arm(standing_person: Person, lag: float = 0.0) -> tuple[np.ndarray, BodyShape]:
    """All skin from elbow to fingertips called hand, the landmarks behind it by ``lag`` pixels.

    The left elbow is at x = 60, the true wrist at 110, the fingertips at 140; y is 100 throughout.
    """
    assert standing_person.landmarks is not None
    landmarks = standing_person.landmarks.copy()
    landmarks[13, :2], landmarks[15, :2] = (60 - lag, 100), (110 - lag, 100)
    landmarks[[17, 19], :2] = (130 - lag, 100)
    landmarks[[14, 16, 18, 20], :2] += 1000  # the other arm is elsewhere
    labels = np.zeros((200, 200), np.uint8)
    labels[92:108, 60:140] = P.HANDS
    return labels, replace(build_body(landmarks), scale=100.0)


@pytest.mark.parametrize("lag", [0.0, 15.0, 30.0])
def test_a_forearm_in_front_of_cloth_is_no_hand_even_where_landmarks_trail(
    standing_person: Person, lag: float
) -> None:
    labels, body = raised_arm(standing_person, lag)
    cut = without_forearms(labels, body, (0, 0))
    assert (cut[92:108, 110:140] == P.HANDS).all()
    assert (cut[92:108, 60:95] == P.ARMS).all()
    moved = without_forearms(labels[50:, 40:], body, (50, 40))
    np.testing.assert_array_equal(moved, cut[50:, 40:])


def test_a_hand_of_a_hands_length_and_one_before_the_face_stay(standing_person: Person) -> None:
    labels, body = raised_arm(standing_person)
    labels[:, :110] = 0
    np.testing.assert_array_equal(without_forearms(labels, body, (0, 0)), labels)
    labels, body = raised_arm(standing_person)
    head = BodyPart.HEAD
    body.start[head], body.end[head] = (75, 95), (75, 105)  # behind the forearm
    body.start_radius[head] = 12
    cut = without_forearms(labels, body, (0, 0))
    assert (cut[95:105, 66:84] == P.HANDS).all()
    assert (cut[92:108, 89:100] == P.ARMS).all()


def test_a_hand_begins_at_the_wrist_though_forearm_and_hand_are_shorter_than_a_hand(
    standing_person: Person,
) -> None:
    labels, body = raised_arm(standing_person)
    labels[:, 130:] = 0
    cut = without_forearms(labels, body, (0, 0))
    assert (cut[92:108, 60:99] == P.ARMS).all()
    assert (cut[92:108, 107:130] == P.HANDS).all()


def test_behind_a_bent_wrist_is_the_forearm(standing_person: Person) -> None:
    labels, body = raised_arm(standing_person)
    labels[:, 118:] = 0
    labels[100:130, 102:118] = P.HANDS  # from the wrist down
    body.end[BodyPart.HAND_LEFT] = (110, 130)
    cut = without_forearms(labels, body, (0, 0))
    assert (cut[92:108, 60:98] == P.ARMS).all()
    assert (cut[112:130, 102:118] == P.HANDS).all()


def test_a_sleeve_that_reaches_the_hand_shows_where_it_begins(standing_person: Person) -> None:
    """The landmark of the wrist lies in the palm: a bare arm is cut there, a sleeved one is not."""
    labels, body = raised_arm(standing_person)
    body.start[BodyPart.HAND_LEFT] = body.end[BodyPart.LOWER_ARM_LEFT] = (116, 100)
    labels[:, 130:] = 0
    sleeved = labels.copy()
    sleeved[92:108, 60:100] = P.UPPER
    skin = slice(94, 106), slice(100, 104)
    assert (without_forearms(labels, body, (0, 0))[skin] == P.ARMS).all()
    assert (without_forearms(sleeved, body, (0, 0))[skin] == P.HANDS).all()


def test_a_hand_in_front_of_the_others_forearm_stays(standing_person: Person) -> None:
    labels, body = raised_arm(standing_person)
    place = slice(94, 106), slice(86, 92)
    assert (without_forearms(labels, body, (0, 0))[place] == P.ARMS).all()
    body.start[BodyPart.HAND_RIGHT], body.end[BodyPart.HAND_RIGHT] = (89, 84), (89, 116)
    assert (without_forearms(labels, body, (0, 0))[place] == P.HANDS).all()


def test_a_patch_on_a_sleeve_that_is_like_skin_is_no_second_hand(standing_person: Person) -> None:
    labels, body = raised_arm(standing_person)
    labels[92:108, 60:110] = P.UPPER
    patch = slice(96, 104), slice(72, 80)
    labels[patch] = P.HANDS
    assert (without_forearms(labels, body, (0, 0), MOST_LIKELY)[patch] == P.UPPER).all()
    assert (without_forearms(labels, body, (0, 0), LEAST_LIKELY)[patch] == P.HANDS).all()
    assert (without_forearms(labels, body, (0, 0), MOST_LIKELY)[92:108, 112:140] == P.HANDS).all()
