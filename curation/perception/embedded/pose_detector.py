"""BlazePose's person detector: where people are and how they are rotated.

Decoding follows mediapipe 0.10.21 (modules/pose_detection/pose_detection_cpu.pbtxt): 2254 anchors
on a 224x224 letterboxed image, a box and four keypoints each, weighted non-maximum suppression.
"""

from dataclasses import dataclass

import numpy as np

from curation.perception.embedded.interpreter import EmbeddedInterpreter
from curation.perception.embedded.regions import Region, region_from_points, square_region
from curation.perception.embedded.weights import POSE_DETECTION

INPUT_SIZE = 224
ANCHORS_PER_CELL = ((8, 2), (16, 2), (32, 6))  # (stride, number), 28^2 * 2 + 14^2 * 2 + 7^2 * 6
HIP_CENTER, FULL_BODY_CIRCLE = 0, 1  # keypoints that align the landmark model


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseDetection:
    """One candidate in the frame's pixels."""

    box: np.ndarray  # (4,) left, top, right, bottom: the face and shoulders, not the body
    keypoints: np.ndarray  # (4, 2)
    score: float

    @property
    def region(self) -> Region:
        """The square for the landmark model."""
        return region_from_points(self.keypoints[HIP_CENTER], self.keypoints[FULL_BODY_CIRCLE])


class PoseDetectionModel:
    """Finds bodies in a frame or a part of it."""

    def __init__(self, score_threshold: float = 0.5, overlap_threshold: float = 0.3) -> None:
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self._network = EmbeddedInterpreter(POSE_DETECTION)

    def __call__(self, frame: np.ndarray, view: Region | None = None) -> list[PoseDetection]:
        """Candidates, best first.

        Args:
            frame: (height, width, 3) uint8 RGB.
            view: the part to search; None: the whole frame, letterboxed.
        """
        height, width = frame.shape[:2]
        region = square_region(0, 0, width, height) if view is None else view
        crop = region.crop(frame, INPUT_SIZE).astype(np.float32)
        boxes, logits = self._network(crop * (2 / 255) - 1)
        detections = decode_detections(boxes[0], logits[0, :, 0], self.score_threshold)
        kept = suppress_overlaps(detections, self.overlap_threshold)
        return [_to_frame(detection, region) for detection in kept]


def anchor_centers() -> np.ndarray:
    """Anchor centres, (2254, 2) as x, y in 0..1, in the network's order."""
    layers = []
    for stride, number in ANCHORS_PER_CELL:
        cells = INPUT_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centers = np.stack([x, y], axis=-1).reshape(-1, 2)
        layers.append(np.repeat((centers + 0.5) / cells, number, axis=0))
    return np.concatenate(layers).astype(np.float32)


ANCHOR_CENTERS = anchor_centers()


def decode_detections(
    offsets: np.ndarray, logits: np.ndarray, score_threshold: float
) -> list[PoseDetection]:
    """Network outputs -> candidates in input pixels (0..224), best first.

    Args:
        offsets: (2254, 12): box centre, box size, then four keypoints, from the anchor, in pixels.
        logits: (2254,).
        score_threshold: candidates below it are dropped.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    order = np.flatnonzero(scores >= score_threshold)
    order = order[np.argsort(-scores[order], kind="stable")]
    found = []
    for index in order:
        anchor = ANCHOR_CENTERS[index] * INPUT_SIZE
        center, size = anchor + offsets[index, :2], offsets[index, 2:4]
        found.append(
            PoseDetection(
                box=np.concatenate([center - size / 2, center + size / 2]),
                keypoints=anchor + offsets[index, 4:].reshape(4, 2),
                score=float(scores[index]),
            )
        )
    return found


def suppress_overlaps(
    detections: list[PoseDetection], overlap_threshold: float
) -> list[PoseDetection]:
    """Weighted non-maximum suppression: each group becomes its score-weighted mean."""
    remaining, kept = list(detections), []
    while remaining:
        best = remaining[0]
        overlaps = np.array([box_overlap(best.box, other.box) for other in remaining])
        group = [d for d, overlap in zip(remaining, overlaps, strict=True) if
                 overlap > overlap_threshold] or [best]  # fmt: skip
        weights = np.array([d.score for d in group])
        weights /= weights.sum()
        kept.append(
            PoseDetection(
                box=np.tensordot(weights, np.stack([d.box for d in group]), 1),
                keypoints=np.tensordot(weights, np.stack([d.keypoints for d in group]), 1),
                score=best.score,
            )
        )
        remaining = [d for d in remaining if not any(d is member for member in group)]
    return kept


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes, in their own precision (``boxes.py``: in float64)."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = (first[2] - first[0]) * (first[3] - first[1])
    areas += (second[2] - second[0]) * (second[3] - second[1])
    return float(shared / (areas - shared))


def _to_frame(detection: PoseDetection, region: Region) -> PoseDetection:
    affine = region.to_frame(INPUT_SIZE)
    corners = detection.box.reshape(2, 2) @ affine[:, :2].T + affine[:, 2]
    return PoseDetection(
        box=np.concatenate([corners.min(0), corners.max(0)]),
        keypoints=detection.keypoints @ affine[:, :2].T + affine[:, 2],
        score=detection.score,
    )
