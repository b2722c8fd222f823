"""A standing figure of known landmarks and outline, and where the embedded models lie."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.perception.embedded.pose_landmarks import COCO_FROM_BLAZEPOSE
from curation.perception.embedded.weights import cache_folder, missing_models
from curation.perception.protocols import Person

HEIGHT, WIDTH = 360, 200
MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
POINTS = {
    0: (100, 52), 2: (106, 46), 5: (94, 46), 7: (113, 50), 8: (87, 50), 9: (104, 60), 10: (96, 60),
    11: (125, 95), 12: (75, 95), 13: (145, 135), 14: (55, 135), 15: (152, 175), 16: (48, 175),
    17: (156, 190), 18: (44, 190), 19: (153, 192), 20: (47, 192), 21: (150, 185), 22: (50, 185),
    23: (114, 185), 24: (86, 185), 25: (115, 255), 26: (85, 255), 27: (115, 325), 28: (85, 325),
    29: (114, 333), 30: (86, 333), 31: (121, 340), 32: (79, 340),
}  # fmt: skip
BONES = (
    (11, 13, 11), (13, 15, 9), (12, 14, 11), (14, 16, 9), (15, 19, 8), (16, 20, 8),
    (23, 25, 16), (25, 27, 11), (24, 26, 16), (26, 28, 11), (27, 31, 8), (28, 32, 8),
)  # fmt: skip


def standing_landmarks() -> np.ndarray:
    """BlazePose landmarks (33, 5) of a person who faces the camera, arms hanging, all visible."""
    landmarks = np.zeros((33, 5), np.float32)
    landmarks[:, 3:] = 0.99
    landmarks[1:7, :2] = (100, 47)
    for index, point in POINTS.items():
        landmarks[index, :2] = point
    landmarks[0:11, 2] = -10
    return landmarks


def standing_person() -> Person:
    """The person of ``standing_landmarks`` with an outline of thick bones."""
    landmarks = standing_landmarks()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    at = {i: (int(landmarks[i, 0]), int(landmarks[i, 1])) for i in range(33)}
    for first, second, radius in BONES:
        cv2.line(mask, at[first], at[second], 255, 2 * radius)
    trunk = np.array([(70, 90), (130, 90), (124, 195), (76, 195)])
    cv2.fillConvexPoly(mask, trunk, 255)
    cv2.ellipse(mask, (100, 48), (19, 26), 0, 0, 360, 255, -1)
    cv2.line(mask, (100, 70), (100, 92), 255, 20)
    rows, columns = np.nonzero(mask)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    return Person(
        box=box,
        score=0.99,
        keypoints=landmarks[list(COCO_FROM_BLAZEPOSE)][:, [0, 1, 3]],
        mask=mask,
        landmarks=landmarks,
    )


def embedded_models() -> Path:
    """The folder of the embedded models; skips, by name, where they were not fetched."""
    missing = missing_models()
    if missing:
        pytest.skip(
            f"{', '.join(missing)} absent: run python -m curation.perception.embedded.weights"
        )
    return cache_folder()


def media_file(*parts: str) -> Path:
    """A file below ../shared/media; skips, by name, where it is absent."""
    path = MEDIA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path
