"""Seams at the borders of windows."""

import numpy as np
import pytest

from inference.sampling.long_video import LongVideoConfig, plan_windows
from training.metrics.seams import borders_of, plain_change, seam_score

SHAPE = (12, 16, 20)
BORDERS = (4, 8)


def everywhere() -> np.ndarray:
    return np.ones(SHAPE, dtype=bool)


def brightening(step: int = 2, jump: int = 0) -> np.ndarray:
    """Every frame is ``step`` levels brighter, and ``jump`` more at each border."""
    frames = np.arange(SHAPE[0])
    levels = 20 + step * frames + jump * sum((frames >= border).astype(int) for border in BORDERS)
    return np.broadcast_to(levels[:, None, None, None], (*SHAPE, 3)).astype(np.uint8)


def test_a_video_without_seams_scores_one() -> None:
    values = seam_score(brightening(), everywhere(), BORDERS)
    assert np.flatnonzero(~np.isnan(values)).tolist() == list(BORDERS)
    assert values[list(BORDERS)].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("jump", [2, 4, 10, 40])
def test_the_score_is_the_jump_over_the_usual_change(jump: int) -> None:
    values = seam_score(brightening(2, jump), everywhere(), BORDERS)
    np.testing.assert_allclose(np.nanmean(values), (2 + jump) / 2)


def test_speed_changes_nothing() -> None:
    slow = seam_score(brightening(1, 3), everywhere(), BORDERS)
    fast = seam_score(brightening(4, 12), everywhere(), BORDERS)
    np.testing.assert_allclose(slow, fast)


def test_only_the_painted_region_is_looked_at() -> None:
    video, region = brightening(2, 0).copy(), everywhere()
    region[:, :, 10:] = False
    video[4:, :, 10:] += 90
    np.testing.assert_allclose(np.nanmean(seam_score(video, region, BORDERS)), 1)


def test_without_borders_or_motion_there_is_no_score() -> None:
    assert np.isnan(seam_score(brightening(), everywhere(), ())).all()
    assert np.isnan(seam_score(brightening(0, 9), everywhere(), BORDERS)).all()
    assert np.isnan(seam_score(brightening(), ~everywhere(), BORDERS)).all()


@pytest.mark.parametrize("border", [0, 12, -3])
def test_a_border_needs_a_frame_before_it(border: int) -> None:
    with pytest.raises(ValueError, match=f"segment border {border} .* 1 to 11 are accepted"):
        seam_score(brightening(), everywhere(), (border,))


def test_borders_follow_the_plan_of_windows() -> None:
    chain = plan_windows(10, 4, LongVideoConfig(method="ar", overlap=1))
    assert borders_of(chain) == (4, 7)
    assert borders_of(plan_windows(4, 4, LongVideoConfig())) == ()
    keys = plan_windows(10, 4, LongVideoConfig(method="iar", overlap=1, sub_video_length=4))
    painted = [sorted(window.painted) for step in keys for window in step]
    for border in borders_of(keys):
        assert not any(border in frames and border - 1 in frames for frames in painted)
    assert 4 in borders_of(keys)  # a key frame was painted in another round than frame 3


def test_plain_change_is_the_mean_difference_in_levels() -> None:
    values = plain_change(brightening(3), everywhere())
    assert np.isnan(values[0])
    assert (values[1:] == 3).all()
