"""Several people: numbered, followed by place and looks, the others left as they are."""

from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from tryon_fixtures import GROUND, SKIN

from configs.errors import ConfigError
from curation.perception.protocols import BackendInfo, DensePose, Perception, Person
from datasets.labels import DensePosePart, ParseLabel
from inference.conditions.appearance import appearance_of, similarity
from inference.conditions.people import PeopleInVideo, find_people
from inference.pipeline import TryOnPipeline
from inference.progress import Tracker
from inference.video.source import open_video

RED, BLUE = (200, 30, 40), (40, 60, 190)
INFO = BackendInfo(name="two-colours", version="1", weights_sha256=None, is_approximate=True)


class TwoColours:
    """Finds a red and a blue figure, the larger first, with masks."""

    info = INFO

    def detect(self, frames):
        return [self._people(frame) for frame in frames]

    def _people(self, frame):
        people = []
        for is_red in (True, False):
            strong = 0 if is_red else 2
            shirt = (frame[..., strong] > 130) & (frame[..., 2 - strong] < 100)
            shirt = cv2.morphologyEx(shirt.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5)))
            if shirt.sum() < 30:
                continue
            left, top, width, height = cv2.boundingRect(shirt)
            box = np.array([left, top - height // 3, left + width, top + height], np.float32)
            people.append(
                Person(
                    box=box, score=0.9, keypoints=np.ones((17, 3), np.float32), mask=255 * shirt,
                    landmarks=np.ones((33, 5), np.float32),
                )
            )  # fmt: skip
        return sorted(people, key=lambda person: -np.count_nonzero(person.mask))

    def estimate(self, frames, people):
        iuv = np.zeros((112, 112, 3), np.uint8)
        iuv[28:, :] = (DensePosePart.TORSO_FRONT, 128, 128)
        return [None if one is None else DensePose(iuv=iuv, box=one.box) for one in people]

    def parse(self, frames, people):
        return [
            np.zeros(frame.shape[:2], np.uint8)
            if person is None
            else np.where(person.mask > 0, np.uint8(ParseLabel.UPPER), np.uint8(0))
            for frame, person in zip(frames, people, strict=True)
        ]


@pytest.fixture(autouse=True)
def small_perception(monkeypatch):
    """Perception at 96 rows, in the place of 512: the same way, in a twentieth of the time."""
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 96)


@pytest.fixture
def two_people():
    models = TwoColours()
    return Perception(detector=models, densepose=models, parser=models)


def draw(image, x, colour, width, height=60):
    shade = np.linspace(0.8, 1.1, max(0, min(width, image.shape[1] - x)))[None, :, None]
    image[50 : 50 + height, x : x + width] = (np.array(colour) * shade).astype(np.uint8)
    cv2.circle(image, (x + width // 2, 38), 11, SKIN, cv2.FILLED)


def write_pair(path, num_frames=24, rate=10):
    """Red walks to the right before blue, who stands still; red is the larger one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = 128, 256, "yuv420p"
        for index in range(num_frames):
            image = np.full((128, 256, 3), GROUND, np.uint8)
            draw(image, 130, BLUE, 30)
            draw(image, 10 + 8 * index, RED, 44)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def find(path, perception):
    source = open_video(path)
    return find_people(source, perception.detector, Tracker(None, ("finding people",)))


def test_people_keep_their_numbers_when_one_passes_the_other(tmp_path, two_people):
    everyone = find(write_pair(tmp_path / "v.mp4"), two_people)
    assert [person.id for person in everyone.people] == [1, 2]
    red, blue = everyone.people
    assert np.all(np.diff(red.boxes[:, 0]) > 0)
    assert np.ptp(blue.boxes[[0, -1], 0]) <= 2
    assert red.picture[..., 0].mean() > blue.picture[..., 0].mean()
    first, last = red.box_at(0.0), red.box_at(2.3)
    assert first[0] == pytest.approx(10, abs=2)
    assert last[0] == pytest.approx(10 + 8 * 23, abs=3)
    assert red.box_at(9.0) is None


def test_people_survive_their_file(tmp_path, two_people):
    everyone = find(write_pair(tmp_path / "v.mp4", 8), two_people)
    everyone.save(tmp_path / "people.npz")
    again = PeopleInVideo.load(tmp_path / "people.npz")
    assert again.num_frames == everyone.num_frames == 8
    for before, after in zip(everyone.people, again.people, strict=True):
        for name in ("id", "times", "boxes", "picture", "seen_share", "appearance", "bands"):
            assert np.array_equal(getattr(before, name), getattr(after, name)), name


@pytest.mark.parametrize(("number", "own", "other"), [(1, RED, BLUE), (2, BLUE, RED)])
def test_the_one_asked_for_is_dressed_and_the_other_is_not_touched(
    tmp_path, tiny_system, two_people, garment, pipeline, number, own, other
):
    path = write_pair(tmp_path / "v.mp4", 24)
    dressing = TryOnPipeline(pipeline.painter, two_people, {"model": "x"})
    result = dressing(path, garment, person=number)
    source = [frame.image for frame in open_video(path).frames()]
    changed_own, changed_other, apart = [], [], []
    for before, after in zip(source, result.frames(), strict=True):
        change = np.abs(after.astype(int) - before).max(-1)
        near = {c: np.abs(before.astype(int) - c).max(-1) < 55 for c in (own, other)}
        changed_own.append((change[near[own]] > 15).mean() if near[own].any() else 1.0)
        changed_other.append(change[near[other]].max() if near[other].any() else 0)
        red_x = np.flatnonzero((np.abs(before.astype(int) - RED).max(-1) < 55).any(0))
        apart.append(red_x[-1] < 120 or red_x[0] > 170)
    assert np.median(changed_own) > 0.5
    assert np.max(np.array(changed_other)[apart]) == 0
    assert result.report["person"] == number


def test_a_preview_paints_nobody_elses_pixels(tmp_path, two_people, pipeline, monkeypatch):
    monkeypatch.setattr("inference.conditions.people.SAMPLE_EVERY_S", 0.1)
    path = write_pair(tmp_path / "v.mp4", 24)
    dressing = TryOnPipeline(pipeline.painter, two_people, {"model": "x"})
    frames = dressing.preview(path, person=1, count=24)
    crowded = 0
    for frame in frames:
        people = two_people.detector.detect([frame.image])[0]
        red = [is_red(frame.image, person) for person in people]
        if sorted(red) == [False, True]:
            other = people[red.index(False)].mask > people[red.index(True)].mask
            assert not frame.mask[other].any()
            beside = cv2.dilate(other.astype(np.uint8), np.ones((3, 3))) > 0
            crowded += bool(frame.mask[beside].any())
    assert crowded > 2  # the mask comes up to the other


def is_red(image, person):
    red, _, blue = image[person.mask > 127].mean(axis=0)
    return red > blue


class MergingOnce(TwoColours):
    """Takes the two for one large person while they touch."""

    def _people(self, frame):
        people = super()._people(frame)
        if len(people) == 2:
            boxes = np.stack([person.box for person in people])
            if boxes[:, 0].max() < boxes[:, 2].min() + 1:
                corners = [*boxes[:, :2].min(axis=0), *np.add(boxes[:, 2:].max(axis=0), (30, 60))]
                mask = np.maximum(people[0].mask, people[1].mask)
                return [replace(people[0], box=np.array(corners, np.float32), mask=mask)]
        return people


def test_a_frame_in_which_two_are_taken_for_one_is_left_as_it_is(
    tmp_path, garment, pipeline, monkeypatch
):
    monkeypatch.setattr("inference.conditions.people.SAMPLE_EVERY_S", 0.2)
    path = write_pair(tmp_path / "v.mp4", 24)
    models = MergingOnce()
    perception = Perception(detector=models, densepose=models, parser=models)
    conditions = TryOnPipeline(pipeline.painter, perception, {"model": "x"}).prepare(path, person=2)
    painted = [bool(frame.mask.any()) for frame in conditions.frames()]
    print("P", painted)
    merged = [len(models.detect([f.image])[0]) == 1 for f in open_video(path).frames()]
    assert any(painted)
    print("M", merged)
    assert any(merged[4:-4])
    assert not any(p for p, m in zip(painted, merged, strict=True) if m)


def test_a_number_that_nobody_has_gets_one_sentence(tmp_path, two_people, garment, pipeline):
    path = write_pair(tmp_path / "v.mp4", 8)
    dressing = TryOnPipeline(pipeline.painter, two_people, {"model": "x"})
    with pytest.raises(ConfigError, match=r"person=3; .*v\.mp4 shows 1, 2"):
        dressing.prepare(path, person=3)


def test_looks_tell_people_apart():
    image = np.full((128, 256, 3), GROUND, np.uint8)
    draw(image, 10, RED, 44)
    draw(image, 130, BLUE, 30)
    red, blue = TwoColours().detect([image])[0]
    looks = appearance_of(image, red), appearance_of(image, blue)
    assert similarity(looks[0], looks[0]) == pytest.approx(1.0)
    assert similarity(*looks) < 0.2
    assert similarity(looks[0], None) is None
    nothing = Person(box=np.array([300, 0, 310, 9], np.float32), score=1, keypoints=red.keypoints)
    assert appearance_of(image, nothing) is None
