"""Flicker: zero on the truth, blind to real motion, rising with what does not belong."""

import cv2
import numpy as np
import pytest

from training.metrics.flicker import (
    flicker_excess,
    is_consistent,
    source_motion,
    temporal_error,
    warped_change,
)

SHAPE = (6, 64, 80)


def moving_clip(step: int = 2, seed: int = 0) -> np.ndarray:
    """Smooth noise that moves ``step`` pixels a frame to the right."""
    wide = np.random.default_rng(seed).random((SHAPE[1], SHAPE[2] + 40, 3))
    for axis in (0, 1):
        for _ in range(4):
            wide = (wide + np.roll(wide, 1, axis)) / 2
    wide = (wide - wide.min()) / (wide.max() - wide.min()) * 255
    starts = [20 - step * frame for frame in range(SHAPE[0])]
    return np.stack([wide[:, start : start + SHAPE[2]] for start in starts]).astype(np.uint8)


def middle() -> np.ndarray:
    region = np.zeros(SHAPE, dtype=bool)
    region[:, 16:48, 20:60] = True
    return region


def with_flicker(video: np.ndarray, levels: int) -> np.ndarray:
    """Every other frame is brighter."""
    brighter = video.astype(int) + levels * (np.arange(len(video)) % 2)[:, None, None, None]
    return np.clip(brighter, 0, 255).astype(np.uint8)


def excess(result: np.ndarray, source: np.ndarray, region: np.ndarray) -> np.ndarray:
    motions = source_motion(source)
    return flicker_excess(result, region, motions, warped_change(source, region, motions))


def test_the_truth_does_not_flicker() -> None:
    video = moving_clip()
    for values in (
        excess(video, video, middle()),
        temporal_error(video, video, middle()),
    ):
        assert np.isnan(values[0])
        assert (values[1:] == 0).all()


def test_motion_along_the_flow_is_no_change() -> None:
    video = moving_clip()
    motions = source_motion(video)
    inner = motions[0].flow[16:48, 20:60]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), (2, 0), atol=0.1)
    plain = np.abs(np.diff(video.astype(float), axis=0))[:, 16:48, 20:60].mean()
    assert warped_change(video, middle(), motions)[1:].mean() < 0.2 * plain


def test_flicker_is_counted_in_levels() -> None:
    video = np.full((*SHAPE, 3), 100, dtype=np.uint8)
    blinking = with_flicker(video, 12)
    assert excess(blinking, video, middle())[1:].tolist() == [12.0] * 5
    assert temporal_error(blinking, video, middle())[1:].tolist() == [12.0] * 5


def test_more_flicker_is_a_higher_number() -> None:
    video = moving_clip()
    warped, plain = [], []
    for levels in (0, 4, 8, 16):
        result = with_flicker(video, levels)
        warped.append(excess(result, video, middle())[1:].mean())
        plain.append(temporal_error(result, video, middle())[1:].mean())
    assert warped == sorted(set(warped))
    assert plain == sorted(set(plain))


def test_a_frozen_result_is_caught_where_the_source_moves() -> None:
    video = moving_clip()
    frozen = np.repeat(video[:1], len(video), axis=0)
    assert excess(frozen, video, middle())[1:].min() > 1
    assert temporal_error(frozen, video, middle())[1:].min() > 1


def test_a_steadier_result_is_no_flicker() -> None:
    video = with_flicker(moving_clip(), 10)
    steady = moving_clip()
    values = excess(steady, video, middle())
    assert np.nanmax(values) < 0.5


def test_changes_outside_the_region_do_not_count() -> None:
    video = moving_clip()
    result = np.where(middle()[..., None], video, with_flicker(video, 60))
    assert np.nanmax(temporal_error(result, video, middle())) == 0
    assert np.nanmax(excess(result, video, middle())) < 0.2


def test_only_what_comes_back_to_its_place_is_followed() -> None:
    there = np.zeros((20, 30, 2), dtype=np.float32)
    there[..., 0] = 6
    is_seen = is_consistent(there, -there)
    assert is_seen[:, :24].all()
    assert not is_seen[:, 24:].any()  # out of the frame
    covered = -there
    covered[:, 10:16] = 0  # something else is there in the next frame
    assert np.flatnonzero(~is_consistent(there, covered)[0, :24]).tolist() == [4, 5, 6, 7, 8, 9]


def test_unpainted_frames_have_no_value() -> None:
    video, region = moving_clip(), middle()
    region[2:4] = False
    warped = excess(video, video, region)
    assert np.isnan(warped).tolist() == [True, False, True, True, True, False]
    assert np.isnan(temporal_error(video, video, region)).tolist() == [
        True, False, False, True, False, False,
    ]  # fmt: skip


def test_one_frame_has_no_pair() -> None:
    video = moving_clip()[:1]
    assert source_motion(video) == []
    assert np.isnan(excess(video, video, middle()[:1])).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    video = moving_clip()
    expected = source_motion(video)
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    found = source_motion(video)
    cv2.setNumThreads(before)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.flow, other.flow)
