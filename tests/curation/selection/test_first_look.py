"""A look at a few frames, before anything is measured: what share of time would pass."""

import numpy as np
import pytest

from curation.first_pass.first_pass import FirstPassConfig
from curation.perception.protocols import BackendInfo, Person
from curation.selection.first_look import passing_share
from curation.selection.people import PeopleConfig


class Counter:
    """One person for every 60 gray levels; the third is small."""

    info = BackendInfo(name="counter", version="1", weights_sha256=None, is_approximate=True)

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, frames):
        self.asked += len(frames)
        return [
            [_person(left) for left in (10, 80, 150)[: round(frame.mean() / 60)]]
            for frame in frames
        ]


def _person(left: int) -> Person:
    size = 50.0 if left < 150 else 5.0
    box = np.array([left, 20, left + size, 20 + 2 * size], np.float32)
    keypoints = np.ones((17, 3), np.float32)
    keypoints[:, 0], keypoints[:, 1] = left + size / 2, np.linspace(25, 15 + 2 * size, 17)
    return Person(box=box, score=0.9, keypoints=keypoints)


def share(paths, detector, weigh=lambda length: length) -> float | None:
    return passing_share(paths, FirstPassConfig(), PeopleConfig(), detector, weigh)


@pytest.fixture
def video(write_video, tmp_path):
    def make(name, *levels):
        frames = [np.full((160, 200, 3), 60 * level, np.uint8) for level in levels]
        return write_video(tmp_path / name, frames, fps=10)

    return make


def test_frames_of_one_person_pass_and_those_of_none_or_two_do_not(video):
    assert share([video("one.mp4", *[1] * 20)], Counter()) == 1.0
    assert share([video("none.mp4", *[0] * 20)], Counter()) == 0.0
    assert share([video("two.mp4", *[2] * 20)], Counter()) == 0.0
    mixed = video("mixed.mp4", *[1] * 13, *[2] * 7)  # looked at after 0.4, 1.0 and 1.6 s
    assert share([mixed], Counter()) == pytest.approx(2 / 3)


def test_long_videos_count_more_and_unreadable_ones_not_at_all(video, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    paths = [video("long.mp4", *[1] * 30), broken, video("short.mp4", *[0] * 10)]
    assert share(paths, Counter()) == pytest.approx(0.75)
    assert share(paths, Counter(), lambda _: 1.0) == pytest.approx(0.5)
    assert share([broken], Counter()) is None
    assert share([], Counter()) is None


def test_of_many_videos_a_few_are_looked_at(video):
    path = video("one.mp4", *[1] * 10)
    detector = Counter()
    assert share([path] * 100, detector) == 1.0
    assert detector.asked == 24
