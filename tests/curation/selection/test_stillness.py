"""Pictures of people and people, by what their pixels do."""

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pytest

from curation import pipeline
from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.perception.protocols import Perception, Person
from curation.pipeline import Curator, find_people
from curation.selection.stillness import MOVING, looks_apart, with_changes
from curation.settings import CurateConfig
from curation.video.decode import read_header
from tests.curation import hostile as h

ROOM = h.ground(1, 256, 448)
TALL, TOP = 200, 28
WIDE = h.figure(TALL)[1].shape[1]


def person_at(x: int) -> Person:
    box = np.array([x, TOP, x + WIDE, TOP + TALL], np.float32)
    return Person(box=box, score=0.9, keypoints=np.zeros((17, 3), np.float32))


def changes(
    frames: list[np.ndarray], *places: list[int], is_whole: bool = False
) -> list[list[float | None]]:
    """Of each of several people over the frames, given where each one's left side is."""
    people = [[person_at(x) for x in at] for at in zip(*places, strict=True)]
    filled = with_changes(frames, people, 1, is_whole=is_whole)
    return [[seen[number].change for seen in filled] for number in range(len(places))]


def test_a_picture_of_somebody_does_not_change_however_the_camera_shakes():
    shown, hung = [20, 60, 100, 60, 20], [300] * 5
    shakes = [(0, 0), (3, -2), (-4, 1), (2, 4), (0, -3)]
    rng = np.random.default_rng(0)
    frames = []
    for x, shake in zip(shown, shakes, strict=True):
        image = np.roll(h.draw(h.draw(ROOM, 300, TALL, TOP), x, TALL, TOP), shake, (0, 1))
        noise = rng.integers(-2, 3, image.shape)
        frames.append(np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8))
    dancer, poster = changes(frames, shown, hung)
    assert dancer[0] is poster[0] is None  # nothing came before
    assert all(change is not None and change >= MOVING for change in dancer[1:])
    assert all(change is not None and change < MOVING for change in poster[1:])
    dancer, poster = changes(frames, shown, hung, is_whole=True)
    assert all(change is not None and change >= MOVING for change in dancer)
    assert all(change is not None and change < MOVING for change in poster)


def test_somebody_who_walks_past_a_picture_does_not_move_it():
    shown, hung = [100, 140, 180, 220, 260], [240] * 5
    frames = [h.draw(h.draw(ROOM, 240, TALL, TOP), x, TALL, TOP) for x in shown]
    poster = changes(frames, shown, hung)[1]
    assert all(change is None or change < MOVING for change in poster)
    assert any(change is not None for change in poster)


def test_nobody_asks_the_pixels_of_somebody_small():
    frames = [h.draw(h.draw(ROOM, x, 80, TOP), 300, 80, TOP) for x in (20, 60)]
    wide = h.figure(80)[1].shape[1]

    def small_at(x: int) -> Person:
        return replace(person_at(x), box=np.array([x, TOP, x + wide, TOP + 80], np.float32))

    filled = with_changes(frames, [[small_at(x), small_at(300)] for x in (20, 60)], 1)
    assert [person.change for person in filled[1]] == [None, None]


def test_nobody_asks_for_the_change_of_one_alone():
    frames = [h.draw(ROOM, x, TALL, TOP) for x in (20, 60)]
    assert changes(frames, [20, 60]) == [[None, None]]


@dataclass(frozen=True)
class Trembling(h.ColourModels):
    """Sees everybody's points a little elsewhere each time, as detectors do."""

    def detect(self, frames):
        rng = np.random.default_rng(0)
        return [
            [
                replace(
                    person,
                    keypoints=person.keypoints
                    + rng.normal(0, 0.009 * (person.box[3] - person.box[1]), (17, 3)) * [1, 1, 0],
                )
                for person in seen
            ]
            for seen in super().detect(frames)
        ]


@pytest.mark.parametrize(("min_change", "code"), [(5.0, None), (0.0, "two_people")])
def test_a_poster_whose_points_tremble_costs_no_clip(min_change, code, tmp_path):
    wide = h.ground(0, h.HEIGHT, 2 * h.WIDTH)
    frames = [h.draw(wide, h.WIDTH + 70, 150, 40) for _ in range(20)]
    for image, dancer in zip(frames, h.dance(20), strict=True):
        image[:, : h.WIDTH] = dancer
    h.write(tmp_path / "in" / "poster.mp4", frames)
    config = CurateConfig(out=str(tmp_path / "out"))
    people = replace(config.selection.people, min_other_change=min_change)
    config = replace(config, selection=replace(config.selection, people=people))
    models = h.ColourModels()
    perception = Perception(detector=Trembling(), densepose=models, parser=models)
    (job,) = h.jobs_in(tmp_path / "in")
    (clip,) = Curator(config, perception).curate(job, lambda limit: None).clips
    assert clip.code == code


@pytest.mark.parametrize("sample_fps", [2.5, 10.0])
def test_how_many_samples_a_detector_sees_at_once_changes_nothing(
    sample_fps, tmp_path, monkeypatch
):
    wide = h.ground(0, h.HEIGHT, 2 * h.WIDTH)
    frames = [h.draw(wide, h.WIDTH + 40 + 2 * number, 150, 40) for number in range(40)]
    for image, dancer in zip(frames, h.dance(40), strict=True):
        image[:, : h.WIDTH] = dancer
    path = h.write(tmp_path / "two.mp4", frames)
    config = FirstPassConfig(sample_fps=sample_fps)
    _, store = measure_source(path, config, read_header(path).sample_aspect)
    found = []
    with closing(store):
        for size in (64, 3):
            monkeypatch.setattr(pipeline, "DETECTOR_BATCH", size)
            found.append(find_people(store, h.ColourModels()).changes)
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).sum() > 4


@pytest.mark.parametrize(("sample_fps", "lag"), [(2.5, 1), (10.0, 4)])
def test_pixels_are_compared_over_the_same_time_at_any_rate_of_samples(sample_fps, lag, tmp_path):
    path = h.write(tmp_path / "one.mp4", list(h.dance(40)))
    config = FirstPassConfig(sample_fps=sample_fps)
    _, store = measure_source(path, config, read_header(path).sample_aspect)
    with closing(store):
        assert looks_apart(store.fps) == lag
