"""The embedded models at work: on a rendered dancer, and on real people where the media are."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from curation.perception.completion import CompletedDetector
from curation.perception.embedded.blazepose import (
    EmbeddedDetector,
    EmbeddedDetectorConfig,
    tile_regions,
)
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.embedded.person_pixels import (
    keep_pieces_with_landmarks,
    paint_over,
    unexplained_patches,
)
from curation.perception.protocols import BackendInfo, Person
from datasets.densepose import paste_iuv
from datasets.labels import ParseLabel
from datasets.masks import inpainting_mask
from datasets.synthetic.dataset import RenderedClip, draw_clip, render_clip
from tests.bench.masks import mask_of, render_dancer, score_mask
from tests.perception_fixtures import media_file


@pytest.fixture(scope="module")
def dancer() -> RenderedClip:
    return render_clip(draw_clip(0, "train", 2, height=512, width=384, num_frames=6, fps=12.0))


@pytest.fixture(scope="module")
def people(dancer: RenderedClip, embedded_models: Path) -> list[Person]:
    found = EmbeddedDetector().detect(list(dancer.frames))
    assert [len(frame) for frame in found] == [1] * 6
    return [frame[0] for frame in found]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


@pytest.mark.perception
def test_a_rendered_dancer_is_found_with_outline_and_one_track(
    dancer: RenderedClip, people: list[Person]
) -> None:
    for person, truth in zip(people, dancer.person_mask, strict=True):
        assert person.mask is not None
        assert overlap(person.mask > 0, truth > 0) > 0.9
        assert person.keypoints.shape == (17, 3)
        inside = truth[
            person.keypoints[5:, 1].astype(int).clip(0, 511),
            person.keypoints[5:, 0].astype(int).clip(0, 383),
        ]
        seen = person.keypoints[5:, 2] > 0.7
        assert (inside[seen] > 0).mean() > 0.85
    assert {person.track_id for person in people} == {0}


@pytest.mark.perception
def test_the_dancers_mask_covers_the_top_and_keeps_hands(
    dancer: RenderedClip, people: list[Person]
) -> None:
    frames = list(dancer.frames)
    labels = np.stack(EmbeddedParser().parse(frames, list(people)))
    surfaces = EmbeddedDensePose().estimate(frames, list(people))
    iuv = np.stack([surface.iuv for surface in surfaces if surface is not None])
    boxes = np.stack([surface.box for surface in surfaces if surface is not None])
    mask = inpainting_mask(labels, paste_iuv(iuv, boxes, 512, 384), "upper") > 0
    top, hands = dancer.garment_mask > 0, dancer.parse == ParseLabel.HANDS
    assert overlap(labels == ParseLabel.UPPER, top) > 0.85
    assert (top & ~mask).sum() / top.sum() < 0.02
    assert (hands & ~mask).sum() / hands.sum() > 0.9
    arms = dancer.parse == ParseLabel.ARMS
    assert mask.sum() / (top | arms).sum() < 1.7


@pytest.mark.perception
@pytest.mark.parametrize("index", [4, 9, 10])  # hands at the head, before the chest; long sleeves
def test_masks_of_rendered_dancers_hold_the_bars(index: int, embedded_models: Path) -> None:
    """The bars with a little slack; ``python -m tests.bench.masks`` measures 24 dancers."""
    clip = render_dancer(index, 6, fps=6.0)
    score = score_mask(clip.parse, mask_of(clip, "upper"), "upper")
    assert score.leak < 0.012
    assert score.area < 1.65
    assert score.face is not None
    assert score.face > 0.94
    assert score.hands is not None
    assert score.hands > 0.94


@pytest.mark.perception
def test_two_dancers_side_by_side_are_two_people(
    dancer: RenderedClip, embedded_models: Path
) -> None:
    both = np.concatenate([dancer.frames[0], dancer.frames[0][:, ::-1]], axis=1)
    (found,) = EmbeddedDetector().detect([both])
    assert len(found) == 2
    assert {person.track_id for person in found} == {0, 1}
    (alone,) = EmbeddedDetector(EmbeddedDetectorConfig(find_others=False)).detect([both])
    assert len(alone) == 1


@pytest.mark.perception
def test_a_body_that_was_followed_upside_down_is_looked_for_anew(
    dancer: RenderedClip, embedded_models: Path
) -> None:
    detector, frame = EmbeddedDetector(), dancer.frames[0]
    (body,) = detector._bodies(frame, [], search=True)
    turned = replace(body, next_region=replace(body.next_region, angle=np.pi))
    (found,) = detector._bodies(frame, [turned], search=False)
    np.testing.assert_array_equal(found.landmarks, body.landmarks)


@pytest.mark.perception
def test_an_empty_room_has_nobody(embedded_models: Path) -> None:
    room = np.full((240, 320, 3), 190, np.uint8)
    room[160:] = (120, 90, 60)
    assert EmbeddedDetector().detect([room, room]) == [[], []]
    assert EmbeddedDetector().detect([]) == []


class BoxesOnly:
    """A detector that gives boxes and keypoints, as ultralytics does."""

    info = BackendInfo(name="boxes", version="1", weights_sha256=None, is_approximate=False)

    def __init__(self, people: list[Person]) -> None:
        self.people = people

    def detect(self, frames: list[np.ndarray]) -> list[list[Person]]:
        return [
            [Person(box=p.box, score=0.8, keypoints=p.keypoints, track_id=5)]
            for p, _ in zip(self.people, frames, strict=False)
        ]


@pytest.mark.perception
def test_people_of_other_detectors_get_masks_and_landmarks(
    dancer: RenderedClip, people: list[Person]
) -> None:
    ((completed,),) = CompletedDetector(BoxesOnly(people)).detect([dancer.frames[0]])
    assert (completed.score, completed.track_id) == (0.8, 5)
    assert completed.mask is not None
    assert completed.landmarks is not None
    assert overlap(completed.mask > 0, dancer.person_mask[0] > 0) > 0.9


def test_tiles_cover_a_wide_frame_and_square_ones_need_none() -> None:
    tiles = tile_regions(90, 160)
    assert len(tiles) == 3
    assert {tile.side for tile in tiles} == {90}
    assert tiles[0].center_x == 45
    assert tiles[-1].center_x == 115
    assert len(tile_regions(160, 120)) == 2
    assert tile_regions(100, 110) == []


def test_pieces_without_landmarks_are_dropped(standing_person: Person) -> None:
    assert standing_person.mask is not None
    assert standing_person.landmarks is not None
    with_bag = standing_person.mask.copy()
    with_bag[10:30, 5:25] = 255
    kept = keep_pieces_with_landmarks(with_bag, standing_person.landmarks)
    np.testing.assert_array_equal(kept, standing_person.mask)


def test_painting_over_takes_the_surroundings_colour() -> None:
    frame = np.full((100, 80, 3), 50, np.uint8)
    person = np.zeros((100, 80), bool)
    person[30:70, 30:50] = True
    frame[person] = 250
    assert np.abs(paint_over(frame, [person]).astype(int) - 50).max() <= 3


def test_person_pixels_that_nobody_explains_are_reported_by_size() -> None:
    segmentation = np.zeros((100, 200), np.float32)
    main = np.zeros((100, 200), np.uint8)
    main[10:90, 20:60] = 255
    segmentation[10:90, 20:60] = 1.0
    segmentation[20:60, 120:150] = 0.9
    segmentation[80:84, 180:184] = 1.0  # a crumb
    (other,) = unexplained_patches(segmentation, [main], 0.05)
    np.testing.assert_allclose(other.box, [120, 20, 150, 60], atol=2)
    assert other.score == pytest.approx(0.9, abs=0.05)
    assert not other.keypoints.any()
    assert unexplained_patches(segmentation, [main], 0.6) == []


def frames_of(path: Path, every: int, limit: int) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                image = frame.to_ndarray(format="rgb24")
                scale = min(1.0, 512 / max(image.shape[:2]))
                yield cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            if index >= every * (limit - 1):
                return


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize("name", ["asl_again.mkv", "asl_book.mkv", "juggle.mp4", "pose_squats.mp4"])
def test_real_single_people_are_single(name: str, embedded_models: Path) -> None:
    frames = list(frames_of(media_file("single", name), every=12, limit=4))
    found = EmbeddedDetector().detect(frames)
    assert [len(people) for people in found] == [1] * len(frames)
    assert min(people[0].score for people in found) > 0.8


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize("name", ["classroom.mp4", "face-demographics-walking.mp4"])
def test_groups_are_more_than_one(name: str, embedded_models: Path) -> None:
    frames = list(frames_of(media_file("multi", name), every=7, limit=4))
    assert all(len(people) >= 2 for people in EmbeddedDetector().detect(frames))


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize("name", ["tfjs_portrait", "tfjs_pose"])
@pytest.mark.parametrize("side", [512, 1024])
def test_outlines_of_real_people_reach_nine_tenths(
    name: str, side: int, embedded_models: Path
) -> None:
    image = cv2.imread(str(media_file("person_gt", f"{name}.jpg")))
    truth = cv2.imread(str(media_file("person_gt", f"{name}_segmentation.png")))
    assert image is not None
    assert truth is not None
    scale = min(1.0, side / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    truth = cv2.resize(truth, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    ((person, *_),) = EmbeddedDetector().detect([np.ascontiguousarray(image[..., ::-1])])
    assert person.mask is not None
    assert overlap(person.mask > 0, truth[..., 0] > 127) >= 0.9
