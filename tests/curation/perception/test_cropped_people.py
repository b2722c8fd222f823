"""People whom the frame cuts off, or who are white on white: found whole, and one person each."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.person_pixels import largest_patch
from curation.perception.embedded.pose_landmarks import PoseLandmarks
from curation.perception.embedded.proposals import (
    FAINT_RANGE,
    proposed_regions,
    stretch_faint,
)
from curation.perception.protocols import Person
from curation.selection.people import NO_PERSON, TWO_PEOPLE
from datasets.labels import ParseLabel
from datasets.synthetic.dataset import RenderedClip, draw_clip, render_clip
from tests.curation.perception.cropped_people import CLIPS, CroppedClip, look, whiten
from tests.perception_fixtures import media_file

CUT_LIKE_OTHERS = {"eat-eyes", "milk-neck-white", "milk-waist", "squats-neck", "squats-eyes-knees"}
"""Clips that the frame cuts off where it cuts another one."""


def draw_dancer(index: int) -> RenderedClip:
    return render_clip(draw_clip(0, "train", index, height=512, width=384, num_frames=3, fps=6.0))


@pytest.fixture(scope="module")
def dancer() -> RenderedClip:
    return draw_dancer(0)


def neck_row(dancer: RenderedClip) -> int:
    """The first row without face and hair in any frame."""
    is_head = np.isin(dancer.parse, (ParseLabel.FACE, ParseLabel.HAIR))
    return int(np.flatnonzero(is_head.any(axis=(0, 2)))[-1]) + 1


def overlap(person: Person, truth: np.ndarray) -> float:
    assert person.mask is not None
    mask = person.mask > 0
    return float((mask & (truth > 0)).sum() / (mask | (truth > 0)).sum())


@pytest.mark.perception
@pytest.mark.parametrize("index", [0, 7])
def test_a_dancer_without_a_head_white_on_white_is_found(index: int, embedded_models: Path) -> None:
    dancer = draw_dancer(index)
    top = neck_row(dancer)
    found = EmbeddedDetector().detect([whiten(frame[top:]) for frame in dancer.frames])
    assert [len(people) for people in found] == [1, 1, 1]
    for (person,), truth in zip(found, dancer.person_mask, strict=True):
        assert person.score > 0.5
        assert overlap(person, truth[top:]) > 0.9


@pytest.mark.perception
def test_a_dancer_cut_off_at_neck_and_hem_is_found(embedded_models: Path) -> None:
    dancer = draw_dancer(7)
    is_top = (dancer.parse == ParseLabel.UPPER).any(axis=(0, 2))
    rows = slice(neck_row(dancer), int(np.flatnonzero(is_top)[-1]))
    found = EmbeddedDetector().detect([frame[rows] for frame in dancer.frames])
    for (person,), truth in zip(found, dancer.person_mask, strict=True):
        assert overlap(person, truth[rows]) >= 0.85


@pytest.mark.perception
def test_a_body_that_only_the_next_frame_gives_away_is_found(
    dancer: RenderedClip, embedded_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, shown = EmbeddedDetector(), [np.array(frame) for frame in dancer.frames]
    find, segment = detector._find, detector._segment
    monkeypatch.setattr(
        detector, "_find", lambda frame, view=None: [] if frame is shown[0] else find(frame, view)
    )
    monkeypatch.setattr(
        detector,
        "_segment",
        lambda frame, view=None: segment(frame, view) * (0 if frame is shown[0] else 1),
    )
    found = detector.detect(shown)
    assert [len(people) for people in found] == [1, 1, 1]
    assert overlap(found[0][0], dancer.person_mask[0]) > 0.9
    assert {people[0].track_id for people in found} == {0}


def pose_of(detector: EmbeddedDetector, frame: np.ndarray) -> PoseLandmarks:
    (pose,) = detector._bodies(frame, [], search=True)
    return pose


@pytest.mark.perception
@pytest.mark.parametrize("part", ["legs", "torso and head"])
def test_a_part_that_a_pose_left_out_is_no_second_person(
    part: str, dancer: RenderedClip, embedded_models: Path
) -> None:
    detector, frame = EmbeddedDetector(), dancer.frames[0]
    pose = pose_of(detector, frame)
    rows = np.flatnonzero(dancer.person_mask[0].any(axis=1))
    middle = int(rows.mean())
    mask = pose.mask.copy()
    mask[slice(middle, None) if part == "legs" else slice(0, middle)] = 0
    truncated = replace(pose, mask=mask)
    segmentation = (dancer.person_mask[0] > 0).astype(np.float32)
    people = [detector._person(truncated, mask)]
    bodies, (person,) = detector._add_unexplained(frame, segmentation, [truncated], people)
    assert len(bodies) == 1
    assert overlap(person, dancer.person_mask[0]) > 0.9


@pytest.mark.perception
def test_two_people_who_touch_stay_two(dancer: RenderedClip, embedded_models: Path) -> None:
    """One of them has no pose, and their person pixels are one patch."""
    columns = np.flatnonzero(dancer.person_mask[0].any(axis=0))
    left, right = max(int(columns[0]) - 2, 0), int(columns[-1]) + 1
    frame = np.concatenate([dancer.frames[0][:, :right], dancer.frames[0][:, left:]], axis=1)
    mask = np.concatenate([dancer.person_mask[0][:, :right], dancer.person_mask[0][:, left:]], 1)
    detector = EmbeddedDetector()
    pose = pose_of(detector, dancer.frames[0])
    first = np.zeros(frame.shape[:2], np.float32)
    first[:, :right] = pose.mask[:, :right]
    pose = replace(pose, mask=first)
    bridged = mask.copy()
    bridged[160:230, right - 8 : right + 8] = 255  # a hand on the other one
    assert cv2.connectedComponents(bridged)[0] == 2  # the ground, and them
    segmentation = (bridged > 0).astype(np.float32)
    people = [detector._person(pose, first)]
    bodies, both = detector._add_unexplained(frame, segmentation, [pose], people)
    assert len(both) == 2
    assert bodies[0] is pose


def test_only_frames_without_contrast_are_stretched() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (64, 1, 3))
    assert stretch_faint(ramp) is ramp
    flat = np.full((64, 64, 3), 240, np.uint8)
    assert stretch_faint(flat) is flat
    faint = (200 + ramp // 8).astype(np.uint8)
    stretched = stretch_faint(faint)
    assert np.ptp(faint) < FAINT_RANGE
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert (np.diff(stretched[0, :, 0].astype(int)) >= 0).all()


def test_regions_are_proposed_around_the_largest_patch() -> None:
    segmentation = np.zeros((100, 200), np.float32)
    segmentation[10:, 40:80] = 1.0
    segmentation[:20, 150:160] = 1.0
    patch = largest_patch(segmentation)
    assert patch is not None
    assert patch[10:, 40:80].all()
    assert not patch[:, 100:].any()
    region, *_ = proposed_regions(patch)
    assert (region.center_x, region.center_y, region.side) == pytest.approx((59.5, 70, 200))
    assert largest_patch(segmentation * 0.4) is None
    crumb = np.zeros_like(segmentation)
    crumb[:10, :10] = 1.0
    assert largest_patch(crumb) is None


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize("name", ["dress_03", "shirt_01", "skirt_01", "t-shirt_02"])
def test_a_garment_without_anybody_in_it_has_no_pose(name: str, embedded_models: Path) -> None:
    """A pose fits each of them, but none reaches the upper edge, as a body without a head does."""
    image = cv2.imread(str(media_file("garments", f"{name}.jpg")))
    assert image is not None
    (found,) = EmbeddedDetector().detect([cv2.cvtColor(image, cv2.COLOR_BGR2RGB)])
    assert all(person.landmarks is None for person in found)


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize(
    "clip",
    [
        pytest.param(clip, id=clip.name, marks=[pytest.mark.slow] * (clip.name in CUT_LIKE_OTHERS))
        for clip in CLIPS
    ],
)
def test_a_cropped_clip_shows_one_person_as_well_as_the_uncut_one(
    clip: CroppedClip, embedded_models: Path
) -> None:
    seen = look(clip)
    assert seen.found_share >= 0.9
    assert seen.verdicts.counts.max() == 1
    assert not (seen.verdicts.codes == TWO_PEOPLE).any()
    assert (seen.verdicts.codes == NO_PERSON).mean() <= 0.1
    found = seen.verdicts.main_rows >= 0
    assert seen.overlaps[found].min() >= 0.85
