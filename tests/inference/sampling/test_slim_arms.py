"""Bare arms in their own width: by the head's size, or by what the source shows."""

import numpy as np
import pytest

from datasets.labels import DensePosePart as D
from inference.sampling.slim_arms import certain_arms, head_size, slim_arms

SIZE = 200
HEAD = 40.0
SHORT, LONG, NONE = (True, False), (True, True), (False, False)


def body(width: int = 34) -> np.ndarray:
    """Head, torso, and an arm beside it that hangs down, with its hand."""
    parts = np.zeros((SIZE, SIZE), np.uint8)
    parts[5:45, 100:140] = D.HEAD_LEFT
    parts[50:190, 80:160] = D.TORSO_FRONT
    parts[50:110, 80 - width : 80] = D.UPPER_ARM_LEFT_FRONT
    parts[110:170, 80 - width : 80] = D.LOWER_ARM_LEFT_FRONT
    middle = 80 - width // 2
    parts[170:190, middle - 5 : middle + 5] = D.HAND_LEFT
    return parts


def everything() -> np.ndarray:
    return np.ones((SIZE, SIZE), bool)


def nothing() -> np.ndarray:
    return np.zeros((SIZE, SIZE), bool)


def breadth(parts: np.ndarray, part: int, row: int) -> int:
    return int((parts[row] == part).sum())


def test_a_heads_size_is_the_usual_one_of_a_video() -> None:
    frames = np.stack([body(), body(), np.zeros_like(body())])
    hidden = body()[None].copy()
    hidden[:, 20:45] = 0  # behind a hand
    size = head_size([frames, hidden])
    assert size is not None
    assert size * SIZE == pytest.approx(HEAD)
    assert head_size([np.zeros((2, SIZE, SIZE), np.uint8)]) is None


def test_a_wide_sleeves_forearm_is_as_wide_as_an_arm_and_thinner_at_the_wrist() -> None:
    found = slim_arms(body(), everything(), nothing(), HEAD, SHORT)
    elbow, wrist = (breadth(found, D.LOWER_ARM_LEFT_FRONT, row) for row in (114, 166))
    assert elbow == pytest.approx(0.42 * HEAD, abs=2)
    assert wrist == pytest.approx(0.29 * HEAD, abs=2)
    assert (found[140, 46:52] == 0).all()  # background on one side
    assert (found[140, 75:80] == D.TORSO_FRONT).all()
    assert np.array_equal(found[:110], body()[:110])  # the new sleeve may be wide


def test_an_upper_arm_is_slim_in_a_top_without_sleeves() -> None:
    found = slim_arms(body(), everything(), nothing(), HEAD, NONE)
    assert breadth(found, D.UPPER_ARM_LEFT_FRONT, 80) == pytest.approx(0.45 * HEAD, abs=2)


def test_a_slim_arm_becomes_no_wider_and_what_is_not_masked_stays() -> None:
    thin = body(10)
    assert np.array_equal(slim_arms(thin, everything(), nothing(), HEAD, NONE), thin)
    assert np.array_equal(slim_arms(body(), nothing(), nothing(), HEAD, NONE), body())


def test_without_a_head_and_where_a_limb_points_at_the_camera_parts_stay() -> None:
    assert np.array_equal(slim_arms(body(), everything(), nothing(), None, SHORT), body())
    short = body()
    short[140:170, 46:80] = 0
    assert np.array_equal(slim_arms(short, everything(), nothing(), HEAD, SHORT), short)


def test_a_bare_arms_outline_is_the_sources() -> None:
    bare = nothing()
    bare[100:170, 48:76] = True  # wider than the limb would be
    bare[120:150, 80:84] = True  # and over what DensePose takes for the torso
    found = slim_arms(body(), everything(), bare, HEAD, SHORT)
    assert breadth(found, D.LOWER_ARM_LEFT_FRONT, 160) == 28
    assert breadth(found, D.LOWER_ARM_LEFT_FRONT, 140) == 32


def test_spots_in_the_tone_of_skin_are_no_bare_arm() -> None:
    bare = nothing()
    bare[100:170, 48:76] = True
    assert np.array_equal(certain_arms(body(), bare), bare)
    spots = nothing()
    spots[120:130, 48:76] = True
    assert not certain_arms(body(), spots).any()
    assert not certain_arms(np.zeros_like(body()), bare).any()


def test_long_sleeves_do_not_cover_a_thigh_beside_a_hand() -> None:
    parts = body(20)
    parts[170:, 85:160] = D.UPPER_LEG_LEFT_FRONT
    parts[170:, 76:96] = D.HAND_LEFT  # masked: it lies beside the hand
    found = slim_arms(parts, everything(), nothing(), HEAD, LONG)
    assert (found[175:, 91:96] == D.UPPER_LEG_LEFT_FRONT).all()
    assert np.array_equal(found[:170], parts[:170])
