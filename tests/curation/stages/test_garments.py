from dataclasses import replace

import cv2
import numpy as np
import pytest

from curation.clip import Clip, Tracks, run_stages
from curation.perception.protocols import Person
from curation.stages.garments import (
    GROUND,
    CutGarment,
    GarmentConfig,
    frontality,
    largest_pieces,
    lay_out,
    solidity,
)
from datasets.labels import ParseLabel

CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=0, end_s=1
)
GREEN = (40, 150, 70)


def person(shoulder_width: float = 40.0) -> Person:
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[5, :2], keypoints[6, :2] = (
        (60 + shoulder_width / 2, 30),
        (60 - shoulder_width / 2, 30),
    )
    keypoints[11, :2], keypoints[12, :2] = (70, 90), (50, 90)
    return Person(box=np.array([30, 10, 90, 150], np.float32), score=1.0, keypoints=keypoints)


def tracks(num_frames: int = 4) -> Tracks:
    """A checked top on a noisy ground; every frame alike."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, (num_frames, 160, 120, 3), dtype=np.uint8)
    checks = np.indices((60, 40)).sum(0) // 5 % 2
    frames[:, 30:90, 40:80] = np.where(checks[..., None] > 0, GREEN, (220, 230, 240))
    parse = np.zeros((num_frames, 160, 120), np.uint8)
    parse[:, 30:90, 40:80] = ParseLabel.UPPER
    return Tracks(frames=frames, parse=parse, people=[person()] * num_frames)


def cut(made: Tracks) -> tuple[Clip, Tracks]:
    done = CutGarment(config=GarmentConfig()).process(CLIP, made)
    return done


def test_the_picture_is_as_large_as_the_clip_and_shows_the_garment_centred() -> None:
    clip, done = cut(tracks())
    assert done.garment is not None
    assert done.garment_mask is not None
    assert done.garment.shape == (160, 120, 3)
    assert done.garment_mask.shape == (160, 120)
    left, top, wide, high = cv2.boundingRect(done.garment_mask)
    assert abs(left + wide / 2 - 60) <= 1.5
    assert abs(top + high / 2 - 80) <= 1.5
    assert max(wide / 120, high / 160) == pytest.approx(0.88, abs=0.03)
    assert (done.garment[0] == GROUND).all()
    assert (done.garment[:, 0] == GROUND).all()
    assert clip.garment_frame is not None


def test_no_dark_ground_shines_through_at_the_edge() -> None:
    _, done = cut(tracks())
    assert done.garment is not None
    assert done.garment.max(axis=-1).min() > 100  # the ground was below 60, the cloth is not


def test_the_sharpest_frame_is_taken() -> None:
    made = tracks()
    for index in (0, 1, 3):
        made.frames[index] = cv2.GaussianBlur(made.frames[index], (0, 0), 3)
    assert cut(made)[0].garment_frame == 2


def test_the_most_frontal_frame_is_taken() -> None:
    made = tracks()
    turned = [person(width) for width in (5.0, -40.0, 20.0, 42.0)]
    assert cut(replace(made, people=list(turned)))[0].garment_frame == 3


def test_the_least_hidden_frame_is_taken() -> None:
    made = tracks()
    assert made.parse is not None
    made.parse[[0, 2, 3], 50:62, 40:80] = ParseLabel.HANDS
    made.parse[1, 30:42, 40:80] = 0  # as much is missing, but at the border
    assert cut(made)[0].garment_frame == 1


def test_a_frame_with_a_ball_in_front_is_not_taken() -> None:
    made = tracks()
    assert made.parse is not None
    for index in (0, 1, 3):
        made.frames[index] = cv2.GaussianBlur(made.frames[index], (0, 0), 0.6)
    made.parse[2, 60:90, 80:110] = ParseLabel.UPPER  # the sharpest frame, but for the ball
    made.parse[2, 30:60, 80:110] = ParseLabel.UPPER
    assert cut(made)[0].garment_frame != 2


def test_a_garment_that_no_frame_shows_is_a_reject() -> None:
    made = tracks()
    assert made.parse is not None
    made.parse[:] = 0
    made.parse[:, 30:33, 40:43] = ParseLabel.UPPER
    done = run_stages([CutGarment(config=GarmentConfig())], CLIP, made).reject
    assert done is not None
    assert done.code == "garment_too_small"
    assert done.evidence["garment_area"] < done.evidence["min"]


def test_frontality_is_one_from_the_front_and_nothing_from_behind() -> None:
    assert frontality(person(45).keypoints) == 1.0
    assert 0 < frontality(person(20).keypoints) < 1
    assert frontality(person(-40).keypoints) == 0.0


def test_solidity_falls_with_what_hides_the_middle() -> None:
    whole = np.zeros((50, 50), bool)
    whole[10:40, 10:40] = True
    hidden = whole.copy()
    hidden[20:30, 15:35] = False
    assert solidity(whole) == pytest.approx(1.0)
    assert solidity(hidden) == pytest.approx(1 - 200 / 900)
    assert solidity(np.zeros((5, 5), bool)) == 0.0


def test_crumbs_are_dropped_and_sleeves_kept() -> None:
    garment = np.zeros((80, 80), bool)
    garment[20:60, 20:50], garment[22:36, 56:64], garment[70:73, 5:8] = True, True, True
    pieces = largest_pieces(garment)
    assert pieces[25, 60] == 1
    assert pieces[71, 6] == 0


def test_the_garment_keeps_its_proportions() -> None:
    frame = np.full((100, 100, 3), 200, np.uint8)
    garment = np.zeros((100, 100), bool)
    garment[10:30, 50:90] = True
    _, _, wide, high = cv2.boundingRect(lay_out(frame, garment, 0.1).mask)
    assert wide / high == pytest.approx(2.0, abs=0.1)
