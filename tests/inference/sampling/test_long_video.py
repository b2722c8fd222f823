import itertools

import pytest

from inference.sampling.long_video import (
    FrameWindow,
    LongVideoConfig,
    count_evaluations,
    plan_windows,
)

SHAPES = [(3, 1), (4, 1), (5, 2), (8, 1), (8, 3), (16, 1), (16, 4)]


def every_plan(**settings):
    for window, overlap in SHAPES:
        for num_frames in range(1, 101):
            config = LongVideoConfig(overlap=overlap, **settings)
            yield num_frames, window, overlap, plan_windows(num_frames, window, config)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "ar"},
        {"method": "iar"},
        {"method": "iar", "sub_video_length": 1},
        {"method": "iar", "sub_video_length": 7},
        {"method": "iar", "sub_video_length": 30},
    ],
)
def test_every_frame_is_painted_once_from_frames_known_by_then(settings):
    for num_frames, window, _, rounds in every_plan(**settings):
        known: set[int] = set()
        for step in rounds:
            painted: list[int] = []
            for part in step:
                assert 1 <= len(part.frames) <= window
                assert list(part.frames) == sorted(set(part.frames))
                assert part.painted
                assert set(part.painted) <= set(part.frames)
                assert set(part.frames) - set(part.painted) <= known
                painted += part.painted
            assert len(painted) == len(set(painted)), "a round paints a frame twice"
            assert not known & set(painted)
            known |= set(painted)
        assert known == set(range(num_frames))


def test_a_video_that_fits_is_one_window():
    for method in ("ar", "iar"):
        plan = plan_windows(16, 16, LongVideoConfig(method=method))
        assert plan == [[FrameWindow(frames=tuple(range(16)), painted=tuple(range(16)))]]


def test_ar_windows_start_from_the_end_of_the_last_and_only_the_last_is_short():
    for num_frames, window, overlap, rounds in every_plan(method="ar"):
        parts = [step[0] for step in rounds]
        assert all(len(step) == 1 for step in rounds)
        for before, after in itertools.pairwise(parts):
            assert after.frames[:overlap] == before.frames[-overlap:]
        assert all(len(part.frames) == min(window, num_frames) for part in parts[:-1])


def test_iar_paints_all_key_frames_first_and_jointly_where_they_fit():
    rounds = plan_windows(100, 16, LongVideoConfig(sub_video_length=10, batch_size=10))
    assert rounds[0] == [
        FrameWindow(frames=tuple(range(0, 100, 10)), painted=tuple(range(0, 100, 10)))
    ]
    assert len(rounds[1]) == 10  # all sub-videos at once
    rounds = plan_windows(100, 16, LongVideoConfig(sub_video_length=10, batch_size=4))
    assert [len(step) for step in rounds[1:]] == [4, 4, 2]
    rounds = plan_windows(100, 8, LongVideoConfig(method="iar", sub_video_length=5, overlap=2))
    keys = list(range(0, 100, 5))
    assert rounds[0][0].frames == tuple(keys[:8])
    assert rounds[1][0].frames == tuple(keys[6:14])
    assert rounds[1][0].painted == tuple(keys[8:14])
    assert rounds[2][0].frames == tuple(keys[12:20])


@pytest.mark.parametrize("stride", [3, 7, 15, 30])
def test_the_last_window_of_a_sub_video_is_anchored_on_the_next_key_frame(stride):
    for num_frames, window, _, rounds in every_plan(method="iar", sub_video_length=stride):
        if num_frames <= window or stride >= num_frames:
            continue
        painted_in = {frame: part for step in rounds for part in step for frame in part.painted}
        for key in range(stride, num_frames, stride):
            last = painted_in[key - 1]
            assert last.frames[-1] == key
            assert last.painted[-1] == key - 1


def test_windows_of_a_round_lie_in_different_sub_videos():
    for _, _, _, rounds in every_plan(method="iar", sub_video_length=9):
        for step in rounds:
            if len(step) > 1:
                assert len({part.painted[0] // 9 for part in step}) == len(step)


def test_a_window_can_span_from_key_frame_to_key_frame():
    rounds = plan_windows(46, 16, LongVideoConfig(sub_video_length=15))
    assert rounds[0][0].frames == (0, 15, 30, 45)
    assert [part.frames for part in rounds[1]] == [
        tuple(range(0, 16)),
        tuple(range(15, 31)),
        tuple(range(30, 46)),
    ]
    assert count_evaluations(rounds) == 4 + 3 * 16


def test_by_default_key_frames_lie_half_a_window_apart():
    rounds = plan_windows(46, 16, LongVideoConfig())
    assert rounds[0][0].frames == tuple(range(0, 46, 8))
    assert rounds[1][1].frames == tuple(range(8, 17))


def test_settings_out_of_range_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="one of iar, ar"):
        LongVideoConfig(method="parallel")
    with pytest.raises(ValueError, match="window is 3 with overlap 2"):
        LongVideoConfig(window=3, overlap=2)
    with pytest.raises(ValueError, match="overlap is 0"):
        LongVideoConfig(overlap=0)
    with pytest.raises(ValueError, match="window is 2 with overlap 1"):
        plan_windows(10, 2, LongVideoConfig())
