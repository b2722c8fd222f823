import numpy as np
import pytest

from datasets.synthetic.motion import Body, Pose, dance, standing

BONES = [
    ("shoulder", "elbow", "upper_arm"),
    ("elbow", "wrist", "forearm"),
    ("hip", "knee", "thigh"),
    ("knee", "ankle", "shin"),
]


def _dances() -> list[tuple[Body, list[Pose]]]:
    bodies = [Body(), Body(height=1.84, shoulder_half=0.19), Body(height=1.6, hip_half=0.095)]
    return [(body, dance(body, [3, i], 36, 12.0)) for i, body in enumerate(bodies)]


def test_bones_keep_their_length_through_the_dance():
    for body, poses in _dances():
        for pose in poses:
            for side in ("left", "right"):
                for first, second, bone in BONES:
                    span = pose.joints[f"{side}_{second}"] - pose.joints[f"{side}_{first}"]
                    assert np.linalg.norm(span) == pytest.approx(getattr(body, bone), rel=1e-6)


def test_no_foot_sinks_into_the_floor_and_one_always_stands_on_it():
    for body, poses in _dances():
        for pose in poses:
            heights = [pose.joints[f"{side}_ankle"][1] for side in ("left", "right")]
            assert min(heights) > 0.08 * body.unit - 1e-6
            assert min(heights) < 0.09 * body.unit + 1e-6


def test_the_dancer_moves_but_never_jumps_between_frames():
    for _, poses in _dances():
        wrists = np.array([pose.joints["left_wrist"] for pose in poses])
        steps = np.linalg.norm(np.diff(wrists, axis=0), axis=1)
        assert wrists.std(axis=0).max() > 0.05
        assert steps.max() < 0.35  # 4 m/s at 12 frames a second


def test_a_dance_is_a_function_of_its_seed():
    first, again = (dance(Body(), [5, 1], 6, 12.0) for _ in range(2))
    other = dance(Body(), [5, 2], 6, 12.0)
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a.joints[name], b.joints[name]) for name in a.joints)
    assert not np.allclose(first[3].joints["left_wrist"], other[3].joints["left_wrist"])


def test_the_product_pose_is_frontal_and_symmetric():
    pose = standing(Body())
    left, right = pose.joints["left_wrist"], pose.joints["right_wrist"]
    assert pose.chest_yaw == pose.pelvis_yaw == 0.0
    np.testing.assert_allclose(
        left - pose.joints["neck"], (right - pose.joints["neck"]) * [-1, 1, 1]
    )
