from dataclasses import dataclass, replace

import numpy as np
import pytest

from configs.errors import ConfigError
from curation.clip import Clip, Reject, Tracks
from curation.perception.protocols import COCO_KEYPOINTS, BackendInfo, Person
from curation.signals import Signals
from curation.stages.people import (
    BODY_HIDDEN,
    NO_PERSON,
    PASSES,
    TWO_PEOPLE,
    FollowPerson,
    PeopleConfig,
    collect_samples,
    judge_samples,
    passing_runs,
)
from curation.stages.quality import (
    QualityConfig,
    frozen_runs,
    lit_region,
    refuse_span,
    split_long,
    without,
)
from curation.video import Orientation

HEIGHT, WIDTH = 200, 100
CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=4, start_s=0, end_s=4,
    fps=10.0, num_frames=40,
)  # fmt: skip


def person(left=20.0, width=40.0, *, hips=1.0, knees=1.0) -> Person:
    keypoints = np.ones((17, 3), dtype=np.float32)
    keypoints[:, 0], keypoints[:, 1] = left + width / 2, HEIGHT / 2
    for name, seen in (("hip", hips), ("knee", knees)):
        for side in ("left", "right"):
            keypoints[COCO_KEYPOINTS.index(f"{side}_{name}"), 2] = seen
    box = np.array([left, 20, left + width, 180], dtype=np.float32)
    return Person(box=box, score=0.9, keypoints=keypoints)


def verdicts_of(people: list[list[Person]], config: PeopleConfig | None = None) -> list[int]:
    times = [0.4 * index for index in range(len(people))]
    samples = collect_samples(times, people, HEIGHT, WIDTH)
    return judge_samples(samples, config or PeopleConfig())[0].tolist()


def test_one_person_passes_two_or_none_do_not():
    shown = [[person()], [person(), person(60)], []]
    assert verdicts_of(shown) == [PASSES, TWO_PEOPLE, NO_PERSON]


def test_somebody_small_at_the_border_does_not_count():
    assert verdicts_of([[person(), person(96, 4)]]) == [PASSES]
    assert verdicts_of([[person(), person(80, 10)]]) == [TWO_PEOPLE]


def test_full_body_also_asks_for_the_knees():
    no_hips, no_knees = [person(hips=0.1)], [person(knees=0.1)]
    assert verdicts_of([no_hips, no_knees]) == [BODY_HIDDEN, PASSES]
    assert verdicts_of([no_knees], PeopleConfig(visible_body="full")) == [BODY_HIDDEN]
    with pytest.raises(ConfigError, match="upper, full"):
        PeopleConfig(visible_body="knees")


def runs(text: str, **settings: float) -> list[tuple[float, float]]:
    """Stretches of a scene whose samples, one a second, are . pass, 0 none, 2 two, b hidden."""
    verdicts = np.array([".02b".index(letter) for letter in text])
    times = np.arange(len(text), dtype=float)
    config = PeopleConfig(**{"others_margin_s": 1.0, "max_missed_s": 2.0, **settings})
    return passing_runs(times, verdicts, 0.0, float(len(text)), config)


def test_a_scene_of_one_person_is_kept_to_its_borders():
    assert runs("......") == [(0.0, 6.0)]


def test_a_passer_by_cuts_a_clip_to_its_longest_stretch():
    assert runs("......2....")[0] == (0.0, 4.0)
    assert runs("..2........")[0] == (4.0, 11.0)


def test_time_around_a_second_person_never_passes():
    assert runs("..2..2..", others_margin_s=2.0) == []


def test_a_short_miss_is_bridged_but_a_long_absence_is_not():
    assert runs("...0....") == [(0.0, 8.0)]
    assert sorted(runs("...bb...", max_missed_s=1.5)) == [(0.0, 2.0), (5.0, 8.0)]


@dataclass(frozen=True)
class BrightColumns:
    """A detector of upright bright bars, each of which is one person."""

    info = BackendInfo(name="bars", version="1", weights_sha256=None, is_approximate=True)

    def detect(self, frames):
        found = []
        for frame in frames:
            bright = frame[100, :, 0] > 128
            edges = np.flatnonzero(np.diff(np.concatenate(([0], bright.astype(int), [0]))))
            bars = list(zip(edges[::2], edges[1::2], strict=True))
            found.append([person(float(left), float(right - left)) for left, right in bars])
        return found


def frames_with(bars: list[list[int]]) -> np.ndarray:
    frames = np.zeros((len(bars), HEIGHT, WIDTH, 3), dtype=np.uint8)
    for frame, lefts in zip(frames, bars, strict=True):
        for left in lefts:
            frame[:, left : left + 20] = 255
    return frames


def test_frames_with_a_second_person_are_cut_off_a_finished_clip():
    stage = FollowPerson(detector=BrightColumns(), config=PeopleConfig(), min_duration_s=1.2)
    frames = frames_with([[10]] * 28 + [[10, 60]] * 12)
    outcome = stage.process(CLIP, Tracks(frames=frames))
    assert not isinstance(outcome, Reject)
    clip, tracks = outcome
    assert len(tracks.frames) == clip.num_frames == 28
    assert (clip.start_s, clip.end_s, clip.num_people) == (0.0, 2.8, 1)
    assert tracks.people is not None
    assert all(someone is not None for someone in tracks.people)


def test_a_clip_with_two_people_throughout_is_let_go_with_its_numbers():
    stage = FollowPerson(detector=BrightColumns(), config=PeopleConfig(), min_duration_s=1.2)
    outcome = stage.process(CLIP, Tracks(frames=frames_with([[10, 60]] * 40)))
    assert isinstance(outcome, Reject)
    assert outcome.code == "two_people"
    assert outcome.evidence["two_people_frames"] == 40


def signals(count: int = 60, **changes: np.ndarray) -> Signals:
    values = {
        "times_s": np.arange(count) / 20.0,
        "motion": np.full(count, 1.0, np.float32),
        "sharpness": np.full(count, 500.0, np.float32),
        "brightness": np.full(count, 120.0, np.float32),
        "contrast": np.full(count, 50.0, np.float32),
        "content": np.full(count, 1.0, np.float32),
        "histogram": np.ones(count, np.float32),
        "bars": np.zeros((count, 4), np.float32),
        "thumbs": np.zeros((count, 16, 17), np.uint8),
        "is_resized": np.zeros(count, bool),
        "fault_times_s": np.zeros(0),
    }
    return Signals(**{**values, **changes}, height=200, width=100, orientation=Orientation(),
                   cpu_s=0.0)  # fmt: skip


def test_quality_codes_name_what_is_wrong():
    config, span = QualityConfig(), (0.0, 3.0)
    assert refuse_span(signals(), span, config) is None
    cases = {
        "dark": {"brightness": np.full(60, 5.0, np.float32)},
        "blurred": {"sharpness": np.full(60, 7.0, np.float32)},
        "duplicate_frames": {"motion": np.tile(np.float32([0, 0, 3]), 20)},
        "corrupt_frames": {"fault_times_s": np.array([1.0])},
    }
    for code, change in cases.items():
        refused = refuse_span(signals(**change), span, config)
        assert refused is not None
        assert refused[0] == code
    short = refuse_span(signals(), (0.0, 1.0), config)
    assert short is not None
    assert short[0] == "too_short"
    assert short[1]["min_duration_s"] == 1.2


def test_a_frozen_picture_is_cut_out_and_the_longest_rest_comes_first():
    motion = np.full(60, 1.0, np.float32)
    motion[20:35] = 0.05
    holes = frozen_runs(signals(motion=motion), QualityConfig())
    assert holes == [(pytest.approx(0.95), pytest.approx(1.75))]
    assert without((0.0, 3.0), holes)[0] == (pytest.approx(1.75), 3.0)


def test_a_long_stretch_is_split_into_equal_parts():
    parts = split_long((1.0, 51.0), QualityConfig(max_duration_s=20.0))
    assert len(parts) == 3
    assert parts[0][0] == 1.0
    assert parts[-1][1] == 51.0
    assert {round(end - start, 6) for start, end in parts} == {round(50 / 3, 6)}


def test_letterbox_bars_are_outside_the_lit_region():
    bars = np.tile(np.float32([0.125, 0.125, 0.0, 0.01]), (60, 1))
    bars[7] = [0.3, 0.4, 0.2, 0.2]  # one dark frame hides nothing
    assert lit_region(signals(bars=bars), (0.0, 3.0)) == (0.125, 0.0, 0.875, 1.0)


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="min_duration_s"):
        QualityConfig(min_duration_s=5.0, max_duration_s=2.0)
    assert replace(QualityConfig(), max_duration_s=9.0).max_duration_s == 9.0
