"""A dancer's body and its pose: joints in 3-D.

World axes: x right, y up, z towards the camera, metres. "left" and "right" are the dancer's own.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Body:
    """Lengths of a dancer's body in metres, and the thickness of its limbs (1 = average)."""

    height: float = 1.70
    shoulder_half: float = 0.172
    hip_half: float = 0.088
    girth: float = 1.0
    waist: float = 1.0
    chest: float = 1.0
    head: float = 1.0

    @property
    def unit(self) -> float:
        """Size relative to a body of 1.70 m."""
        return self.height / 1.70

    @property
    def thigh(self) -> float:
        """Hip joint to knee."""
        return 0.425 * self.unit

    @property
    def shin(self) -> float:
        """Knee to ankle."""
        return 0.405 * self.unit

    @property
    def upper_arm(self) -> float:
        """Shoulder to elbow."""
        return 0.285 * self.unit

    @property
    def forearm(self) -> float:
        """Elbow to wrist."""
        return 0.25 * self.unit


@dataclass(frozen=True, kw_only=True)
class Pose:
    """One moment of a dance: joints in metres and the yaws of pelvis, chest and head in radians.

    Joints: pelvis, neck, head, and for each side shoulder, elbow, wrist, fingers, hip, knee, ankle,
    toes.
    """

    joints: dict[str, np.ndarray]
    pelvis_yaw: float
    chest_yaw: float
    spine_bow_m: float
    head_rotation: np.ndarray
    beat: float


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Roll about z, then pitch about x (positive nods down), then yaw about y."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def turned(pose: Pose, angle: float) -> Pose:
    """The pose turned about the vertical through the pelvis, by radians to the dancer's left."""
    if angle == 0.0:
        return pose
    about = rotation(angle)
    axis = pose.joints["pelvis"] * np.array([1.0, 0.0, 1.0])
    return replace(
        pose,
        joints={name: about @ (joint - axis) + axis for name, joint in pose.joints.items()},
        pelvis_yaw=pose.pelvis_yaw + angle,
        chest_yaw=pose.chest_yaw + angle,
        head_rotation=about @ pose.head_rotation,
    )
