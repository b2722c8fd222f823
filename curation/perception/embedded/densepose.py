"""Surface coordinates without a DensePose network: the geometric body, cut by the person's mask.

An approximation, and marked so in every record: parts come from 33 landmarks, U runs along a part
from its near end (0) to its far end (1) and V across it, instead of DensePose's fitted charts.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from curation.perception.embedded.body_parts import (
    BodyPart,
    BodyShape,
    build_body,
    locate_on_body,
)
from curation.perception.embedded.weights import POSE_LANDMARKS, WHEEL
from curation.perception.protocols import BackendInfo, DensePose, Person
from datasets.labels import DensePosePart as D

GRID = 112
BOX_MARGIN = 0.04  # of the box's side
HAND_START, WRIST_RADIUS = 0.17, 0.09  # of a hand's length; of the body's scale

# geometric part -> DensePose part seen from the front, from the back
PART_LABELS: dict[BodyPart, tuple[D, D]] = {
    BodyPart.TORSO: (D.TORSO_FRONT, D.TORSO_BACK),
    BodyPart.UPPER_ARM_LEFT: (D.UPPER_ARM_LEFT_FRONT, D.UPPER_ARM_LEFT_BACK),
    BodyPart.UPPER_ARM_RIGHT: (D.UPPER_ARM_RIGHT_FRONT, D.UPPER_ARM_RIGHT_BACK),
    BodyPart.LOWER_ARM_LEFT: (D.LOWER_ARM_LEFT_FRONT, D.LOWER_ARM_LEFT_BACK),
    BodyPart.LOWER_ARM_RIGHT: (D.LOWER_ARM_RIGHT_FRONT, D.LOWER_ARM_RIGHT_BACK),
    BodyPart.HAND_LEFT: (D.HAND_LEFT, D.HAND_LEFT),
    BodyPart.HAND_RIGHT: (D.HAND_RIGHT, D.HAND_RIGHT),
    BodyPart.UPPER_LEG_LEFT: (D.UPPER_LEG_LEFT_FRONT, D.UPPER_LEG_LEFT_BACK),
    BodyPart.UPPER_LEG_RIGHT: (D.UPPER_LEG_RIGHT_FRONT, D.UPPER_LEG_RIGHT_BACK),
    BodyPart.LOWER_LEG_LEFT: (D.LOWER_LEG_LEFT_FRONT, D.LOWER_LEG_LEFT_BACK),
    BodyPart.LOWER_LEG_RIGHT: (D.LOWER_LEG_RIGHT_FRONT, D.LOWER_LEG_RIGHT_BACK),
    BodyPart.FOOT_LEFT: (D.FOOT_LEFT, D.FOOT_LEFT),
    BodyPart.FOOT_RIGHT: (D.FOOT_RIGHT, D.FOOT_RIGHT),
}


class EmbeddedDensePose:
    """Body parts from the landmarks and the mask that the embedded detector found."""

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name="embedded-densepose",
            version=WHEEL,
            weights_sha256=POSE_LANDMARKS.sha256,
            is_approximate=True,
            note="24 parts from 33 landmarks and a mask; no fitted surface",
        )

    def estimate(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[DensePose | None]:
        """See ``DensePoseEstimator``; None for a person without landmarks and mask."""
        found: list[DensePose | None] = []
        for _, person in zip(frames, people, strict=True):
            if person is None or person.landmarks is None or person.mask is None:
                found.append(None)
            else:
                found.append(surface_of(person.landmarks, person.mask, person.box))
        return found


def surface_of(landmarks: np.ndarray, mask: np.ndarray, person_box: np.ndarray) -> DensePose:
    """Approximate IUV of one person.

    Args:
        landmarks: (33, 5) BlazePose.
        mask: (height, width) uint8, 255 = the person.
        person_box: (4,) in pixels; the grid covers it with a small margin.
    """
    left, top, right, bottom = person_box.astype(np.float64)
    x, y = BOX_MARGIN * max(right - left, 1), BOX_MARGIN * max(bottom - top, 1)
    box = np.array([left - x, top - y, right + x, bottom + y])
    steps = (np.arange(GRID) + 0.5) / GRID
    columns, rows = box[0] + steps * (box[2] - box[0]), box[1] + steps * (box[3] - box[1])
    grid_x, grid_y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    on_person = cv2.remap(mask, grid_x - 0.5, grid_y - 0.5, cv2.INTER_LINEAR) > 127
    iuv = np.zeros((GRID, GRID, 3), np.uint8)
    if on_person.any():
        body = with_slim_hands(build_body(landmarks))
        pixels = locate_on_body(np.stack([grid_x[on_person], grid_y[on_person]], -1), body)
        part = part_labels(pixels.part, pixels.across, body.is_facing, landmarks)
        is_body = part > 0
        iuv[on_person] = np.stack(
            [
                part,
                np.rint(255 * pixels.along * is_body),
                np.rint(255 * (pixels.across + 1) / 2 * is_body),
            ],
            axis=-1,
        ).astype(np.uint8)
    return DensePose(iuv=iuv, box=box.astype(np.float32))


def with_slim_hands(body: BodyShape) -> BodyShape:
    """A body whose hands begin at their wrists; those for labels leave room for error."""
    hands = [BodyPart.HAND_LEFT, BodyPart.HAND_RIGHT]
    start, radius = body.start.copy(), body.start_radius.copy()
    start[hands] += HAND_START * (body.end[hands] - body.start[hands])
    radius[hands] = WRIST_RADIUS * body.scale
    return replace(body, start=start, start_radius=radius)


def part_labels(
    parts: np.ndarray, across: np.ndarray, is_facing: bool, landmarks: np.ndarray
) -> np.ndarray:
    """DensePose's part numbers, (n,) uint8, of geometric parts (n,); -1 becomes 0."""
    table = np.zeros(len(BodyPart) + 1, np.uint8)  # index -1 reads the last row
    for part, (front, back) in PART_LABELS.items():
        table[part] = front if is_facing else back
    labels = table[parts]
    on_head = (parts == BodyPart.HEAD) | (parts == BodyPart.NECK)
    # seen from the front the person's left is on the image's right; the nose marks the midline
    ears = landmarks[[7, 8], 0]
    middle = float(np.clip((landmarks[0, 0] - ears.mean()) / max(np.ptp(ears), 4.0), -1, 1))
    is_left = across > middle if is_facing else across < -middle
    labels[on_head] = np.where(is_left[on_head], D.HEAD_LEFT, D.HEAD_RIGHT)
    return labels
