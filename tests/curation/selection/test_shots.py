from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from configs.errors import ConfigError
from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.first_pass.meter import Table
from curation.first_pass.signals import read_signals, runs_of, thumb_changes, write_signals
from curation.selection.shots import (
    ShotsConfig,
    adaptive_cuts,
    blend_span,
    find_scenes,
    find_transitions,
    may_blend,
)
from datasets.storage import write_file
from tests.bench.cut_videos import ONE_ROOM, take
from tests.output_fixtures import standing_signals

MEDIA = Path(__file__).parents[4] / "shared" / "media"


def measure(path):
    signals, store = measure_source(path, FirstPassConfig(), 1.0)
    store.close()
    return signals


def kinds(signals):
    return [(t.leave, t.enter, t.kind) for t in find_transitions(signals, ShotsConfig())]


def test_our_rule_on_stored_scores_is_pyscenedetects(tmp_path, write_video, moving):
    frames = [*moving(0, 40), *moving(1, 33), *moving(2, 27)]
    signals = measure(write_video(tmp_path / "v.mp4", frames))
    config = ShotsConfig()
    detector = AdaptiveDetector(min_scene_len=1, min_content_val=config.min_content)
    theirs: list[int] = []
    for index, image in enumerate(frames):
        small = cv2.cvtColor(cv2.resize(image, (256, 144)), cv2.COLOR_RGB2BGR)
        cuts = detector.process_frame(FrameTimecode(index, fps=25.0), small)
        theirs += [cut.frame_num for cut in cuts]
    ours = np.flatnonzero(adaptive_cuts(signals, config)).tolist()
    assert ours == theirs == [40, 73]


def test_frames_that_repeat_the_one_before_are_no_neighbours_of_a_cut():
    # a dancer at a third of the rate, each frame shown three times, and one cut
    is_new = np.arange(60) % 3 == 0
    content = np.where(is_new, 12.0, 0.05).astype(np.float32)
    content[30] = 60.0
    motion = np.where(is_new, 9.0, 0.1).astype(np.float32)
    signals = replace(
        standing_signals(0, num_frames=60),
        times_s=np.arange(60) / 24, content=content, motion=motion,
    )  # fmt: skip
    assert np.flatnonzero(adaptive_cuts(signals, ShotsConfig())).tolist() == [30]


def test_stills_one_after_the_other_are_cut_though_nothing_else_moves():
    is_new = np.arange(60) % 20 == 0
    content = np.where(is_new, 10.0, 0.05).astype(np.float32)
    motion = np.where(is_new, 9.0, 0.1).astype(np.float32)
    signals = replace(standing_signals(0, num_frames=60), content=content, motion=motion)
    assert np.flatnonzero(adaptive_cuts(signals, ShotsConfig())).tolist() == [20, 40]
    assert not adaptive_cuts(signals, ShotsConfig(adaptive_ratio=1000.0)).any()  # switched off


@pytest.mark.parametrize(("levels", "cuts"), [(3, []), (5, [24])])
def test_a_keyframe_that_brings_back_the_grain_is_no_cut(levels, cuts):
    signals = standing_signals(0, num_frames=60)
    content = np.full(60, 2.0, np.float32)
    content[24] = 16.0  # seen of rendered dancers at crf 40, whose thumbnails changed by 2.6-4.2
    thumbs = np.repeat(signals.thumbs[:1] // 2, 60, axis=0)
    thumbs[24:] += levels
    assert kinds(replace(signals, content=content, thumbs=thumbs)) == [(i, i, "cut") for i in cuts]


def test_a_single_take_is_one_scene_from_first_to_last_frame(tmp_path, write_video, moving):
    signals = measure(write_video(tmp_path / "v.mp4", moving(0, 50)))
    (scene,) = find_scenes(signals, ShotsConfig())
    assert (scene.first, scene.last) == (0, 50)
    assert scene.start_s == 0.0
    assert scene.end_s == pytest.approx(2.0, abs=0.002)


def test_a_video_that_shows_nothing_is_a_scene_too_so_that_a_reject_names_it(tmp_path, write_video):
    blank = [np.full((96, 128, 3), 20, np.uint8)] * 10
    signals = measure(write_video(tmp_path / "v.mp4", blank))
    assert kinds(signals) == [(0, 10, "blank")]
    assert [(s.first, s.last) for s in find_scenes(signals, ShotsConfig())] == [(0, 10)]


def test_cuts_are_where_the_frames_say_on_a_variable_frame_rate(tmp_path, write_video, moving):
    # 10 fps for two seconds, then 30 fps: index / average rate would be off by a second
    times = [i / 10 for i in range(20)] + [2 + i / 30 for i in range(60)]
    frames = [*moving(0, 50), *moving(1, 30)]
    signals = measure(write_video(tmp_path / "v.mp4", frames, 30, times_s=times))
    scenes = find_scenes(signals, ShotsConfig())
    assert len(scenes) == 2
    assert scenes[1].start_s == pytest.approx(times[50], abs=0.002)
    assert scenes[0].end_s == scenes[1].start_s


def test_a_camera_flash_is_no_cut(tmp_path, write_video, moving):
    frames = moving(0, 50)
    for index in (20, 21):
        frames[index] = np.clip(frames[index].astype(int) + 150, 0, 255).astype(np.uint8)
    signals = measure(write_video(tmp_path / "v.mp4", frames))
    assert kinds(signals) == []


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
def test_of_all_windows_that_are_a_blend_none_is_passed_over(noise):
    """Pictures that blend into each other at all rates, and some that jump."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (12, 16, 17)).astype(float)
    places = np.sort(np.concatenate([rng.uniform(0, 11, 220), np.repeat(rng.uniform(0, 11, 9), 9)]))
    first = np.floor(places).astype(int)
    shares = (places - first)[:, None, None]
    blends = pictures[first] * (1 - shares) + pictures[first + 1] * shares
    frames = blends + rng.normal(0, noise, blends.shape)
    thumbs = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    for lag in (6, 16, 30):
        starts = np.flatnonzero(thumb_changes(thumbs, lag) >= 3.0)
        windows = [thumbs[start : start + lag + 1].astype(np.float32) for start in starts]
        is_blend = np.array([blend_span(window, 0.3) is not None for window in windows])
        may = may_blend(thumbs, starts, lag)
        assert may[is_blend].all()
        assert is_blend.any() or lag == 30
        assert not may.all()


def test_a_dissolve_belongs_to_neither_scene(tmp_path, write_video, texture):
    one, other = texture(0).astype(float), texture(1).astype(float)
    shares = np.clip((np.arange(60) - 24) / 12, 0, 1)
    frames = [((1 - s) * one + s * other).astype(np.uint8) for s in shares]
    signals = measure(write_video(tmp_path / "v.mp4", frames))
    ((leave, enter, kind),) = kinds(signals)
    assert kind == "dissolve"
    assert abs(leave - 25) <= 1
    assert abs(enter - 36) <= 1


def test_black_frames_between_two_takes_are_left_out(tmp_path, write_video, moving):
    frames = [*moving(0, 30), *[np.zeros((180, 320, 3), np.uint8)] * 10, *moving(1, 30)]
    signals = measure(write_video(tmp_path / "v.mp4", frames))
    scenes = find_scenes(signals, ShotsConfig())
    assert [(s.first, s.last) for s in scenes] == [(0, 30), (40, 70)]


def test_a_change_of_size_is_a_cut(tmp_path, write_video, moving):
    signals = measure(write_video(tmp_path / "v.mp4", moving(0, 30)))
    sizes = signals.sizes.copy()
    sizes[12:] += 2
    assert kinds(replace(signals, sizes=sizes)) == [(12, 12, "resize")]


def test_signals_survive_storage_to_the_bit(tmp_path, write_video, moving):
    signals = measure(write_video(tmp_path / "v.mp4", moving(0, 30)))
    write_file(tmp_path / "s.npz", partial(write_signals, signals))
    again = read_signals(tmp_path / "s.npz")
    for name in ("times_s", "content", "histogram", "motion", "thumbs", "bars"):
        assert (getattr(signals, name) == getattr(again, name)).all()
    assert again.orientation == signals.orientation
    assert again.previews is not None
    assert signals.previews is not None
    assert again.previews.read(0) == signals.previews.read(0)
    assert find_scenes(again, ShotsConfig()) == find_scenes(signals, ShotsConfig())


def test_detector_frames_come_at_their_rate_and_stay_small(tmp_path, write_video, moving):
    path = write_video(tmp_path / "v.mp4", moving(0, 100, 360, 800))
    signals, store = measure_source(path, FirstPassConfig(sample_fps=2.5), 1.0)
    assert all(0.36 <= b - a <= 0.44 for a, b in pairwise(store.times_s))
    assert store.read(3).shape == (288, 640, 3)
    store.close()
    assert signals.size_at(1.0) == (360, 800)


def test_runs_of_truth():
    assert runs_of(np.array([True, True, False, True])) == [slice(0, 2), slice(3, 4)]
    assert runs_of(np.array([False])) == []


def test_thresholds_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="flash_share"):
        ShotsConfig(flash_share=2.0)
    with pytest.raises(ConfigError, match="held_s is -1"):
        ShotsConfig(held_s=-1.0)


@pytest.mark.media
@pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media is absent")
@pytest.mark.parametrize(
    ("name", "cuts"),
    [("cuts_asl_3persons.mp4", {89, 176}), ("cuts_dissolve_freeze_empty.mp4", {60, 164, 234})],
)
def test_the_cuts_of_known_videos_are_found_on_their_frames(name, cuts):
    found = [t for t in find_transitions(measure(MEDIA / "cuts" / name), ShotsConfig())]
    assert {t.leave for t in found if t.kind == "cut"} == cuts


@pytest.mark.media
@pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media is absent")
@pytest.mark.parametrize("name", ["asl_no.mkv", "juggle.mp4", "pose_squats.mp4"])
def test_single_takes_stay_whole(name):
    assert kinds(measure(MEDIA / "single" / name)) == []


@pytest.mark.media
@pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media is absent")
def test_cuts_between_takes_of_one_person_in_one_room_are_found(tmp_path, write_video):
    pieces = [take(f"single/{name}.mkv")[5:45] for name in ONE_ROOM]
    signals = measure(write_video(tmp_path / "v.mp4", [frame for each in pieces for frame in each]))
    assert kinds(signals) == [(40, 40, "cut"), (80, 80, "cut"), (120, 120, "cut")]


@pytest.mark.media
@pytest.mark.skipif(not MEDIA.is_dir(), reason="../shared/media is absent")
def test_a_take_at_a_third_of_its_rate_stays_whole(tmp_path, write_video):
    frames = take("multi/bedroom_two_children.mp4")[:90:3]
    assert kinds(measure(write_video(tmp_path / "v.mp4", np.repeat(frames, 3, axis=0)))) == []


def test_a_table_outgrows_what_was_reserved_and_keeps_every_row(monkeypatch):
    monkeypatch.setattr("curation.first_pass.meter.RESERVED", 3)
    table = Table((2,), np.int32)
    for row in range(8):
        table.append((row, -row))
    assert len(table) == 8
    np.testing.assert_array_equal(table.whole(), [(row, -row) for row in range(8)])
