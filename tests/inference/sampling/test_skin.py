import numpy as np
import pytest

from datasets.labels import DensePosePart
from inference.sampling.skin import find_skin, paint_skin, tone_of_arms

SKIN, SHIRT = (200, 150, 130), (20, 30, 90)
SIZE = 120


def body():
    """Parts of somebody: head, torso, an arm of 20 pixels with its hand."""
    parts = np.zeros((SIZE, SIZE), np.uint8)
    parts[5:30, 45:75] = DensePosePart.HEAD_LEFT
    parts[30:100, 35:85] = DensePosePart.TORSO_FRONT
    parts[30:80, 10:30] = DensePosePart.LOWER_ARM_LEFT_FRONT
    parts[80:100, 10:30] = DensePosePart.HAND_LEFT
    return parts


def frame_and_mask():
    parts, mask = body(), np.zeros((SIZE, SIZE), bool)
    frame = np.full((SIZE, SIZE, 3), 240, np.uint8)
    frame[parts > 0] = SKIN
    mask[25:82] = parts[25:82] > 0
    frame[mask] = SHIRT
    return frame, parts, mask


def test_the_tone_is_that_of_hands_and_face_and_not_of_what_was_painted():
    frame, parts, mask = frame_and_mask()
    tone = find_skin(frame[None], parts[None], mask[None])
    assert tone == pytest.approx(SKIN, abs=1)
    assert find_skin(frame[None], parts[None], np.ones_like(mask)[None]) is None
    blue = np.where(mask[..., None], frame, np.uint8([[[20, 40, 220]]]))  # gloves, a helmet
    assert find_skin(blue[None], parts[None], mask[None]) is None


def test_the_tone_of_arms_is_what_bare_arms_show_in_full_light():
    parts = body()
    frame = np.full((SIZE, SIZE, 3), SHIRT, np.uint8)
    frame[parts > 0] = SKIN
    bare = parts == DensePosePart.LOWER_ARM_LEFT_FRONT
    assert tone_of_arms(frame[None], bare[None]) == pytest.approx(np.array(SKIN) / 0.95, abs=1)
    assert tone_of_arms(frame[None], np.zeros_like(bare)[None]) is None


def test_bare_arms_and_the_neck_are_skin_and_the_rest_stays():
    frame, parts, mask = frame_and_mask()
    is_cloth = np.zeros_like(mask)
    is_cloth[40:100, 35:85] = True  # a sleeveless top
    painted = paint_skin(frame, parts, is_cloth, mask, np.float32(SKIN), np.float32(SKIN))
    assert painted[55, 20] == pytest.approx(SKIN, rel=0.05)
    assert (painted[55, 11] < painted[55, 20]).all()  # round: darker at its edge
    assert painted[33, 60] == pytest.approx(0.9 * np.float32(SKIN), rel=0.06)  # above the cloth
    assert painted[27, 60] == pytest.approx(0.9 * np.float32(SKIN), rel=0.06)  # under the chin
    for row, column in ((60, 60), (15, 60), (95, 20), (50, 110)):  # cloth, face, hand, background
        assert painted[row, column] == pytest.approx(frame[row, column], abs=1)


def test_a_narrow_strip_beside_a_sleeve_is_no_skin():
    frame, parts, mask = frame_and_mask()
    is_cloth = mask.copy()
    is_cloth[30:80, 10:12] = False
    painted = paint_skin(frame, parts, is_cloth, mask, np.float32(SKIN), np.float32(SKIN))
    assert np.abs(painted - frame)[30:80, 10:30].max() < 1


def test_a_small_persons_thin_arm_is_skin():
    size = 512  # where the arm of somebody far away is thinner than a close one's strips
    parts = np.zeros((size, size), np.uint8)
    parts[100:200, 200:208] = DensePosePart.LOWER_ARM_LEFT_FRONT
    mask = parts > 0
    frame = np.full((size, size, 3), SHIRT, np.uint8)
    painted = paint_skin(
        frame, parts, np.zeros_like(mask), mask, np.float32(SKIN), np.float32(SKIN)
    )
    assert painted[150, 204] == pytest.approx(SKIN, rel=0.2)


def test_the_neck_has_the_faces_tone_and_arms_that_of_hands():
    frame, parts, mask = frame_and_mask()
    hands = np.isin(parts, [DensePosePart.HAND_LEFT])
    frame[hands] = (150, 95, 70)  # in the shade
    face = find_skin(frame[None], parts[None], mask[None], (DensePosePart.HEAD_LEFT,))
    assert face == pytest.approx(SKIN, abs=1)
    is_cloth = np.zeros_like(mask)
    is_cloth[40:100, 35:85] = True
    painted = paint_skin(frame, parts, is_cloth, mask, np.float32((150, 95, 70)), face)
    assert painted[33, 60] == pytest.approx(0.9 * np.float32(SKIN), rel=0.06)
    assert painted[55, 20] == pytest.approx((150, 95, 70), rel=0.05)
