"""BlazePose's landmark model: 33 body points and a person mask inside an aligned region.

Decoding follows mediapipe 0.10.21 (modules/pose_landmark): 39 x (x, y, z, visibility logit,
presence logit) in pixels of the 256x256 input; points 33 and 34 align the next frame's region.
"""

from dataclasses import dataclass

import numpy as np

from curation.perception.embedded.interpreter import EmbeddedInterpreter
from curation.perception.embedded.regions import Region, region_from_points
from curation.perception.embedded.weights import POSE_LANDMARKS

INPUT_SIZE = 256
NUM_LANDMARKS = 33
NUM_POINTS = 39
COCO_FROM_BLAZEPOSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Rows of the 33 landmarks that correspond to the 17 of ``protocols.COCO_KEYPOINTS``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseLandmarks:
    """Output of the landmark model for one region of a frame."""

    landmarks: np.ndarray  # (33, 5) float32: x, y, z in pixels, visibility and presence in 0..1
    score: float  # 0..1: probability of a body
    mask: np.ndarray  # (height, width) float32 in 0..1
    next_region: Region

    @property
    def keypoints(self) -> np.ndarray:
        """The 17 COCO keypoints, (17, 3) float32: x, y, visibility."""
        return np.ascontiguousarray(self.landmarks[list(COCO_FROM_BLAZEPOSE)][:, [0, 1, 3]])


class PoseLandmarkModel:
    """Predicts the landmarks of the body that a region is aligned to."""

    def __init__(self) -> None:
        self._network = EmbeddedInterpreter(POSE_LANDMARKS)

    def __call__(self, frame: np.ndarray, region: Region) -> PoseLandmarks:
        """Landmarks in frame pixels; check ``score`` before using them."""
        crop = region.crop(frame, INPUT_SIZE).astype(np.float32) / 255
        points, score, mask, _, _ = self._network(crop)
        points = points.reshape(NUM_POINTS, 5)
        affine = region.to_frame(INPUT_SIZE)
        xy = points[:, :2] @ affine[:, :2].T + affine[:, 2]
        landmarks = np.empty((NUM_LANDMARKS, 5), np.float32)
        landmarks[:, :2] = xy[:NUM_LANDMARKS]
        landmarks[:, 2] = points[:NUM_LANDMARKS, 2] * (region.side / INPUT_SIZE)
        landmarks[:, 3:] = _sigmoid(points[:NUM_LANDMARKS, 3:])
        height, width = frame.shape[:2]
        return PoseLandmarks(
            landmarks=landmarks,
            score=float(score[0, 0]),
            mask=region.paste(_sigmoid(mask[0, :, :, 0]), height, width),
            next_region=region_from_points(xy[33], xy[34]),
        )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
