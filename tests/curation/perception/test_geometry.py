import numpy as np
import pytest

from curation.perception.embedded.body_parts import (
    BodyPart,
    build_body,
    is_facing_camera,
    locate_on_body,
)
from curation.perception.embedded.densepose import EmbeddedDensePose, surface_of, with_slim_hands
from curation.perception.embedded.pose_detector import (
    ANCHOR_CENTERS,
    PoseDetection,
    box_overlap,
    decode_detections,
    suppress_overlaps,
)
from curation.perception.embedded.regions import Region, region_from_points, square_region
from curation.perception.protocols import Person
from datasets.labels import DensePosePart


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.5])
def test_a_region_maps_its_crop_back_to_where_it_came_from(angle: float) -> None:
    region = Region(center_x=70.0, center_y=50.0, side=60.0, angle=angle)
    affine = region.to_frame(64)
    np.testing.assert_allclose(affine @ [32, 32, 1], [70, 50])
    up = affine @ [32, 0, 1] - affine @ [32, 32, 1]
    np.testing.assert_allclose(up, 30 * np.array([np.sin(angle), -np.cos(angle)]), atol=1e-9)


def test_a_crop_pasted_back_lies_where_it_was() -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[40:60, 80:110] = 255
    region = Region(center_x=90.0, center_y=50.0, side=64.0, angle=0.7)
    crop = region.crop(frame, 128)
    back = region.paste(crop[..., 0].astype(np.float32) / 255, 120, 160) > 0.5
    truth = frame[..., 0] > 127
    assert (back & truth).sum() / (back | truth).sum() > 0.9


def test_large_regions_are_averaged_before_they_are_shrunk() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, (1024, 1024, 1), dtype=np.uint8).repeat(3, axis=2) * 255
    crop = square_region(0, 0, 1024, 1024).crop(noise, 128)
    assert crop.std() < 40  # point sampling would keep the noise's 127


def test_region_from_points_turns_the_body_upright() -> None:
    region = region_from_points(np.array([50.0, 50.0]), np.array([80.0, 50.0]))
    assert region.side == pytest.approx(75.0)
    assert region.angle == pytest.approx(np.pi / 2)


def test_anchors_are_those_of_three_strides() -> None:
    assert ANCHOR_CENTERS.shape == (2254, 2)
    np.testing.assert_allclose(
        ANCHOR_CENTERS[:3], [[4 / 224] * 2, [4 / 224] * 2, [12 / 224, 4 / 224]]
    )
    np.testing.assert_allclose(ANCHOR_CENTERS[-1], [208 / 224] * 2)


def test_decoding_adds_offsets_to_the_anchor() -> None:
    offsets, logits = np.zeros((2254, 12), np.float32), np.full(2254, -9.0)
    offsets[700], logits[700] = np.arange(12), 2.0
    (found,) = decode_detections(offsets, logits, 0.5)
    anchor = ANCHOR_CENTERS[700] * 224
    x, y = (float(value) for value in anchor)
    np.testing.assert_allclose(found.box, [x - 1, y - 0.5, x + 1, y + 2.5], atol=1e-4)
    np.testing.assert_allclose(found.keypoints[0], [x + 4, y + 5], atol=1e-4)
    assert found.score == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_overlapping_detections_become_their_weighted_mean() -> None:
    def detection(left: float, score: float) -> PoseDetection:
        box = np.array([left, 0.0, left + 10, 10.0])
        return PoseDetection(box=box, keypoints=np.full((4, 2), left), score=score)

    kept = suppress_overlaps([detection(0, 0.9), detection(1, 0.3), detection(50, 0.6)], 0.3)
    assert [round(k.score, 2) for k in kept] == [0.9, 0.6]
    assert kept[0].box[0] == pytest.approx(0.25)


def test_box_overlap_is_intersection_over_union() -> None:
    first, second = np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])
    assert box_overlap(first, second) == pytest.approx(1 / 3)
    assert box_overlap(first, np.array([5.0, 5, 6, 6])) == 0.0


def test_the_back_is_told_from_the_front(standing_landmarks: np.ndarray) -> None:
    assert is_facing_camera(standing_landmarks)
    turned = standing_landmarks.copy()
    turned[:, 0] = 200 - turned[:, 0]
    assert not is_facing_camera(turned)


def test_pixels_lie_on_the_parts_under_them(standing_landmarks: np.ndarray) -> None:
    body = build_body(standing_landmarks)
    places = {
        BodyPart.TORSO: (100, 130),
        BodyPart.HEAD: (100, 50),
        BodyPart.LOWER_ARM_LEFT: (150, 155),
        BodyPart.LOWER_ARM_RIGHT: (50, 155),
        BodyPart.UPPER_LEG_RIGHT: (85, 220),
        BodyPart.LOWER_LEG_LEFT: (115, 290),
    }
    located = locate_on_body(np.array(list(places.values())), body)
    assert [BodyPart(part) for part in located.part] == list(places)
    assert ((located.along >= 0) & (located.along <= 1)).all()


def test_a_far_pixel_is_no_body(standing_landmarks: np.ndarray) -> None:
    body = build_body(standing_landmarks)
    assert locate_on_body(np.array([[190.0, 20.0]]), body).part[0] == -1


def test_a_part_seen_end_on_takes_no_more_than_its_disc(standing_landmarks: np.ndarray) -> None:
    pointing = standing_landmarks.copy()
    pointing[[13, 15, 17, 19, 21], :2] = pointing[11, :2]  # the left arm points at the camera
    body = build_body(pointing)
    points = np.array([[100.0, 150.0], [115.0, 290.0], [100.0, 50.0]])
    parts = [BodyPart(part) for part in locate_on_body(points, body).part]
    assert parts == [BodyPart.TORSO, BodyPart.LOWER_LEG_LEFT, BodyPart.HEAD]


def test_a_bowed_head_leaves_the_trunk_alone(standing_landmarks: np.ndarray) -> None:
    bowed = standing_landmarks.copy()
    bowed[0:11, 1] += 40  # the ears sink to the shoulders: no neck is seen
    body = build_body(bowed)
    points = np.array([[100.0, 150.0], [85.0, 220.0], [100.0, 85.0]])
    parts = [BodyPart(part) for part in locate_on_body(points, body).part]
    assert parts == [BodyPart.TORSO, BodyPart.UPPER_LEG_RIGHT, BodyPart.HEAD]


def test_an_arm_across_the_chest_hides_it(standing_landmarks: np.ndarray) -> None:
    crossed = standing_landmarks.copy()
    crossed[15, :2], crossed[[17, 19, 21], :2] = (95, 130), (85, 130)  # left wrist to the chest
    located = locate_on_body(np.array([[115.0, 132.0]]), build_body(crossed))
    assert located.part[0] == BodyPart.LOWER_ARM_LEFT
    crossed[[13, 15, 17, 19], 3] = 0.05  # an arm that is not seen is behind the body
    located = locate_on_body(np.array([[115.0, 132.0]]), build_body(crossed))
    assert located.part[0] == BodyPart.TORSO


def test_an_arm_that_is_not_seen_is_an_arm_beside_the_torso(
    standing_landmarks: np.ndarray,
) -> None:
    hanging = standing_landmarks
    hanging[[13, 15, 17, 19], 3] = 0.05  # hands below the picture's edge
    hanging[13, :2], hanging[15, :2] = (132, 135), (135, 175)
    # on the forearm, at its outer side, and in the torso
    points = np.array([[133.0, 155.0], [141.0, 155.0], [115.0, 155.0]])
    parts = [BodyPart(part) for part in locate_on_body(points, build_body(hanging)).part]
    assert parts == [BodyPart.LOWER_ARM_LEFT, BodyPart.LOWER_ARM_LEFT, BodyPart.TORSO]


def test_a_raised_forearm_is_in_front_of_its_upper_arm(standing_landmarks: np.ndarray) -> None:
    raised = standing_landmarks
    raised[[11, 13, 15, 17, 19], 2] = (-100, -150, -300, -320, -320)  # px: nearer than the torso
    raised[15, :2], raised[[17, 19], :2] = raised[11, :2] + (0, 30), raised[11, :2] + (0, 10)
    point = raised[13, :2] + 0.3 * (raised[15, :2] - raised[13, :2])
    located = locate_on_body(point[None].astype(np.float64), build_body(raised))
    assert located.part[0] == BodyPart.LOWER_ARM_LEFT


def test_a_hands_surface_begins_at_the_wrist(standing_landmarks: np.ndarray) -> None:
    elbow, wrist, knuckle = (standing_landmarks[row, :2].astype(float) for row in (13, 15, 19))
    body = with_slim_hands(build_body(standing_landmarks))
    points = np.stack([wrist + 0.2 * (elbow - wrist), knuckle])
    parts = [BodyPart(part) for part in locate_on_body(points, body).part]
    assert parts == [BodyPart.LOWER_ARM_LEFT, BodyPart.HAND_LEFT]


def test_the_surface_has_the_persons_sides_and_stays_in_the_mask(
    standing_person: Person,
) -> None:
    assert standing_person.landmarks is not None
    assert standing_person.mask is not None
    surface = surface_of(standing_person.landmarks, standing_person.mask, standing_person.box)
    parts = surface.iuv[..., 0]
    assert parts.max() <= 24
    assert {DensePosePart.TORSO_FRONT, DensePosePart.HEAD_LEFT, DensePosePart.HEAD_RIGHT} <= set(
        np.unique(parts)
    )
    assert not (surface.iuv[parts == 0]).any()
    columns = np.arange(112)
    for left, right in (
        (DensePosePart.LOWER_ARM_LEFT_FRONT, DensePosePart.LOWER_ARM_RIGHT_FRONT),
        (DensePosePart.HEAD_LEFT, DensePosePart.HEAD_RIGHT),
    ):  # facing the camera: the person's left is on the right
        middle = [np.average(columns, weights=(parts == part).sum(0)) for part in (left, right)]
        assert middle[0] > middle[1]


def test_u_grows_along_a_limb_and_v_across_it(standing_person: Person) -> None:
    (surface,) = EmbeddedDensePose().estimate(
        [np.zeros((360, 200, 3), np.uint8)], [standing_person]
    )
    assert surface is not None
    on_thigh = surface.iuv[..., 0] == DensePosePart.UPPER_LEG_LEFT_FRONT
    rows, columns = np.nonzero(on_thigh)
    u, v = surface.iuv[on_thigh][:, 1], surface.iuv[on_thigh][:, 2]
    assert np.corrcoef(rows, u)[0, 1] > 0.95
    assert np.corrcoef(columns, v)[0, 1] > 0.9


def test_nobody_and_people_without_landmarks_have_no_surface(standing_person: Person) -> None:
    bare = Person(box=standing_person.box, score=1.0, keypoints=standing_person.keypoints)
    frames = [np.zeros((360, 200, 3), np.uint8)] * 2
    assert EmbeddedDensePose().estimate(frames, [None, bare]) == [None, None]
