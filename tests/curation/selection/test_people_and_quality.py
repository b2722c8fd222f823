from dataclasses import dataclass, replace

import numpy as np
import pytest

from configs.errors import ConfigError
from curation.clip import Clip, Reject, Tracks, first_failed, run_stages
from curation.first_pass.signals import Signals
from curation.perception.protocols import COCO_KEYPOINTS, BackendInfo, Person
from curation.selection.people import (
    BODY_HIDDEN,
    NO_PERSON,
    PASSES,
    TWO_PEOPLE,
    PeopleConfig,
    PeopleVerdicts,
    collect_samples,
    judge_samples,
    passing_runs,
)
from curation.selection.person_tracks import Sightings, link_sightings, liveliness
from curation.selection.quality import (
    QualityConfig,
    faults_in,
    filled_region,
    frozen_runs,
    lit_region,
    measure_span,
    span_checks,
    split_long,
    without,
)
from curation.stages.follow_person import FollowPerson
from datasets.video.orientation import Orientation

HEIGHT, WIDTH = 200, 100
CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=4, start_s=0, end_s=4,
    fps=10.0, num_frames=40,
)  # fmt: skip


SHAPE = np.random.default_rng(0).uniform(-0.4, 0.4, (17, 2))


def person(
    left=20.0, width=40.0, *, hips=1.0, knees=1.0, pose=0.0, number: int | None = None
) -> Person:
    """Somebody upright; another ``pose`` is another shape of the body."""
    keypoints = np.ones((17, 3), dtype=np.float32)
    shape = SHAPE.copy()
    shape[9:11, 1] += pose
    keypoints[:, :2] = shape * [width, 160] + [left + width / 2, HEIGHT / 2]
    for name, seen in (("hip", hips), ("knee", knees)):
        for side in ("left", "right"):
            keypoints[COCO_KEYPOINTS.index(f"{side}_{name}"), 2] = seen
    box = np.array([left, 20, left + width, 180], dtype=np.float32)
    return Person(box=box, score=0.9, keypoints=keypoints, track_id=number)


def dancing(count: int, left=20.0, width=40.0, **seen) -> list[Person]:
    """The same person at ``count`` moments, arms up and down."""
    return [person(left, width, pose=0.3 * (i % 2), **seen) for i in range(count)]


def together(*people: list[Person]) -> list[list[Person]]:
    return [list(sample) for sample in zip(*people, strict=True)]


def judged(people: list[list[Person]], config: PeopleConfig | None = None) -> PeopleVerdicts:
    times = [0.4 * index for index in range(len(people))]
    samples = collect_samples(times, people, HEIGHT, WIDTH)
    return judge_samples(samples, config or PeopleConfig(), aspect=WIDTH / HEIGHT)


def verdicts_of(people: list[list[Person]], config: PeopleConfig | None = None) -> list[int]:
    return judged(people, config).codes.tolist()


def test_one_person_passes_two_or_none_do_not():
    shown = [*together(dancing(3)), *together(dancing(2), dancing(2, 60)), [], []]
    assert verdicts_of(shown) == [PASSES] * 3 + [TWO_PEOPLE] * 2 + [NO_PERSON] * 2


def test_a_scene_without_anybody_or_without_a_sample_has_no_people():
    assert verdicts_of([[], []]) == [NO_PERSON, NO_PERSON]
    samples = collect_samples([0.0, 0.4], [[person(20)], []], HEIGHT, WIDTH)
    verdicts = judge_samples(samples, PeopleConfig(), span=(5.0, 6.0))
    assert len(verdicts.codes) == 0


def test_a_moment_of_two_people_counts_two_even_if_the_main_one_is_unseen():
    shown = together(dancing(5, 0, 60), dancing(5, 65, 30))
    shown[2][0] = replace(shown[2][0], score=0.3)  # below min_score
    verdicts = judged(shown)
    assert verdicts.codes.tolist() == [TWO_PEOPLE] * 5
    assert verdicts.counts.tolist() == [2] * 5


def test_somebody_small_at_the_border_does_not_count():
    assert verdicts_of(together(dancing(3), dancing(3, 96, 4))) == [PASSES] * 3
    assert verdicts_of(together(dancing(3), dancing(3, 80, 10))) == [TWO_PEOPLE] * 3


def test_somebody_seen_once_is_the_detectors_error():
    shown = together(dancing(5))
    shown[2].append(person(60))
    assert verdicts_of(shown) == [PASSES] * 5


def test_somebody_lost_for_a_moment_counts_all_the_time():
    shown = together(dancing(6), dancing(6, 60))
    for index in (2, 3):
        del shown[index][1]
    assert verdicts_of(shown) == [TWO_PEOPLE] * 6


def test_a_poster_does_not_count_and_is_never_the_main_person():
    poster = [person(55, 45)] * 5
    verdicts = judged(together(poster, dancing(5, 10, 30)))
    assert verdicts.codes.tolist() == [PASSES] * 5
    assert verdicts.main_rows.tolist() == [1, 3, 5, 7, 9]
    assert verdicts_of([[someone] for someone in poster]) == [PASSES] * 5  # nobody else is there


def test_a_mirror_image_and_a_split_screen_count():
    mirrored = [
        replace(someone, keypoints=someone.keypoints * [-1, 1, 1] + [WIDTH, 0, 0],
                box=np.array([60, 20, 100, 180], np.float32))
        for someone in dancing(4, 0)
    ]  # fmt: skip
    assert verdicts_of(together(dancing(4, 0), mirrored)) == [TWO_PEOPLE] * 4


def test_whoever_lies_outside_the_picture_proper_is_not_looked_at():
    shown = together(dancing(4, 20), dancing(4, 62, 36))
    samples = collect_samples([0.4 * i for i in range(4)], shown, HEIGHT, WIDTH)

    def codes(*region: float) -> list[int]:
        return judge_samples(samples, PeopleConfig(), region=region).codes.tolist()

    assert codes(0, 0, 1, 1) == [TWO_PEOPLE] * 4
    assert codes(0, 0, 0.6, 1) == [PASSES] * 4
    assert codes(0, 0, 0.6, 0.55) == [BODY_HIDDEN] * 4  # the hips lie below the picture


def test_two_people_one_after_the_other_are_two_main_people():
    shown = [*together(dancing(4)), [], [], [], [], [], [], *together(dancing(5, 50))]
    verdicts = judged(shown)
    assert [int((codes == PASSES).sum()) for codes in verdicts.codes_by_person()] == [5, 4]
    assert not (verdicts.codes == TWO_PEOPLE).any()


def test_people_who_swap_their_order_keep_their_identity():
    left, right = dancing(6, 0, 36), dancing(6, 56, 44)
    shown = [pair if i % 2 else pair[::-1] for i, pair in enumerate(together(left, right))]
    samples = collect_samples([0.4 * i for i in range(6)], shown, HEIGHT, WIDTH)
    verdicts = judge_samples(samples, PeopleConfig(), aspect=WIDTH / HEIGHT)
    assert (samples.boxes[verdicts.main_rows, 0] > 0.5).all()  # the larger one, throughout


def test_a_shaky_camera_moves_no_poster_but_a_walk_is_motion():
    shake = np.random.default_rng(1).normal(0, 1.0, 12)
    shaken = np.stack([person(20 + by).keypoints for by in shake])
    walked = np.stack([person(2.0 * i).keypoints for i in range(12)])
    config = PeopleConfig()
    assert liveliness(shaken) < config.min_other_motion < liveliness(walked)
    assert liveliness(np.zeros((5, 17, 3), np.float32)) is None


@pytest.mark.parametrize("seed", range(20))
def test_one_seen_alone_is_followed_as_one_among_others(seed):
    """The quick way for one at a time gives the numbers of the way for many."""
    rng = np.random.default_rng(seed)
    count = 12
    left = 20 + rng.normal(0, [4.0, 60.0][seed % 2], count).cumsum()
    wide = 40 * np.exp(rng.normal(0, [0.1, 0.6][seed // 2 % 2], count))
    boxes = np.stack([left, np.full(count, 20.0), left + wide, np.full(count, 180.0)], axis=1)
    times = np.cumsum(rng.choice([0.4, 0.4, 0.4, 2.4], count))

    def numbers(boxes: np.ndarray, moments: np.ndarray) -> list[int]:
        size = len(boxes)
        seen = Sightings(
            times_s=times, moments=moments, boxes=boxes.astype(np.float32), scores=np.ones(size),
            keypoints=np.zeros((size, 17, 3)), track_ids=np.full(size, -1),
            changes=np.full(size, np.nan),
        )  # fmt: skip
        return link_sightings(seen, 2.0).tolist()

    alone = numbers(boxes, np.arange(count))
    somebody_else = [[9000.0, 20, 9040, 180]]  # at the first moment only, out of everybody's reach
    among = numbers(np.vstack([boxes[:1], somebody_else, boxes[1:]]), np.r_[0, np.arange(count)])
    del among[1]
    assert alone == [number - (number > 0) for number in among]


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
        for index, frame in enumerate(frames):
            bright = frame[100, :, 0] > 128
            edges = np.flatnonzero(np.diff(np.concatenate(([0], bright.astype(int), [0]))))
            bars = list(zip(edges[::2], edges[1::2], strict=True))
            found.append([person(float(a), float(b - a), pose=0.3 * (index % 2)) for a, b in bars])
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
    clip, tracks = stage.process(CLIP, Tracks(frames=frames))
    assert len(tracks.frames) == clip.num_frames == 28
    assert (clip.start_s, clip.end_s, clip.num_people) == (0.0, 2.8, 1)
    assert tracks.people is not None
    assert all(someone is not None for someone in tracks.people)


def test_a_clip_with_two_people_throughout_is_let_go_with_its_numbers():
    stage = FollowPerson(detector=BrightColumns(), config=PeopleConfig(), min_duration_s=1.2)
    run = run_stages([stage], CLIP, Tracks(frames=frames_with([[10, 60]] * 40)))
    outcome = run.reject
    assert outcome is not None
    assert run.clip.clip_id == CLIP.clip_id
    assert outcome.code == "two_people"
    assert outcome.evidence["two_people_samples"] == 40
    assert outcome.evidence["other_share"] == pytest.approx(1.0)


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
        "sizes": np.tile(np.int32([200, 100]), (count, 1)),
        "fill_times_s": np.zeros(0),
        "fills": np.zeros((0, 4), np.float32),
        "still_edges": np.zeros((0, 32, 32, 3), np.uint8),
        "fault_times_s": np.zeros(0),
        "joins_s": np.zeros(0),
        "num_interlaced": 0,
    }
    return Signals(**{**values, **changes}, orientation=Orientation(), seconds={})


def test_quality_codes_name_what_is_wrong():
    config, span = QualityConfig(), (0.0, 3.0)

    def refused_as(signals: Signals, span: tuple[float, float]) -> Reject | None:
        measured = measure_span(signals, span)
        return first_failed(span_checks(measured, config, faults_in(signals, span)))

    assert refused_as(signals(), span) is None
    cases = {
        "dark": {"brightness": np.full(60, 5.0, np.float32)},
        "blurred": {"sharpness": np.full(60, 7.0, np.float32)},
        "duplicate_frames": {"motion": np.tile(np.float32([0, 0, 3]), 20)},
        "corrupt_frames": {"fault_times_s": np.array([1.0])},
    }
    for code, change in cases.items():
        refused = refused_as(signals(**change), span)
        assert refused is not None
        assert refused.code == code
    short = refused_as(signals(), (0.0, 1.0))
    assert short is not None
    assert short.code == "too_short"
    assert short.evidence["min_duration_s"] == 1.2


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


def test_a_blurred_fill_counts_where_its_borders_stay_and_it_is_alike():
    fills = np.tile(np.float32([0, 0, 0.3, 0.95]), (5, 1))
    fills[3] = [0.2, 0.99, 0.1, 0.99]  # one frame tells something else

    def region(fills: np.ndarray) -> tuple[float, ...]:
        shown = signals(fill_times_s=np.arange(5) / 2.5, fills=fills)
        return filled_region(shown, (0.0, 3.0), 0.7)

    whole = (0.0, 0.0, 1.0, 1.0)
    assert region(fills) == pytest.approx((0.0, 0.303, 1.0, 0.697))
    assert region(fills * np.float32([1, 1, 1, 0.6])) == whole
    assert region(fills + np.float32([[0, 0, i / 20, 0] for i in range(5)])) == whole
    assert region(np.zeros((5, 4), np.float32)) == whole


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="min_duration_s"):
        QualityConfig(min_duration_s=5.0, max_duration_s=2.0)
    assert replace(QualityConfig(), max_duration_s=9.0).max_duration_s == 9.0
