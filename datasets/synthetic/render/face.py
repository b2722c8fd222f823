"""The painted face of a rendered dancer: eyes, brows, nose, mouth, in head coordinates."""

from dataclasses import dataclass

import cv2
import numpy as np

FACE_HALF_WIDTH_M = 0.09
FACE_TOP_M = 0.13
FACE_BOTTOM_M = -0.14
_CELLS_PER_M = 1200


@dataclass(frozen=True, kw_only=True)
class FaceSpec:
    """Colours (sRGB in [0, 1]) and proportions of a face."""

    skin: tuple[float, float, float]
    iris: tuple[float, float, float]
    brows: tuple[float, float, float]
    lips: tuple[float, float, float]
    eye_gap: float = 1.0
    brow_lift: float = 0.0
    smile: float = 0.5
    beard: float = 0.0


def paint_face(face: FaceSpec) -> np.ndarray:
    """The face seen from the front, (rows, columns, 3) in [0, 1]; y falls from top to bottom."""
    rows = round((FACE_TOP_M - FACE_BOTTOM_M) * _CELLS_PER_M)
    columns = round(2 * FACE_HALF_WIDTH_M * _CELLS_PER_M)
    skin = np.asarray(face.skin, np.float32)
    image = np.broadcast_to(skin, (rows, columns, 3)).copy()
    x = ((np.arange(columns) + 0.5) / _CELLS_PER_M - FACE_HALF_WIDTH_M)[None, :]
    y = (FACE_TOP_M - (np.arange(rows) + 0.5) / _CELLS_PER_M)[:, None]

    def tint(colour: tuple[float, ...] | np.ndarray, weight: np.ndarray) -> None:
        image[:] = image + (np.asarray(colour, np.float32) - image) * weight[..., None].astype(
            np.float32
        )

    def blob(cx: float, cy: float, rx: float, ry: float, soft: float = 0.25) -> np.ndarray:
        distance = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        return np.clip((1.0 - distance) / soft + 0.5, 0.0, 1.0)

    warm = skin * np.array([1.02, 0.78, 0.74], np.float32)
    deep = skin * np.array([0.66, 0.55, 0.52], np.float32)
    for side in (-1.0, 1.0):
        tint(warm, 0.42 * blob(side * 0.043, -0.032, 0.028, 0.022, 1.0))
    if face.beard > 0:
        jaw = np.clip((-0.055 - y - 0.9 * np.maximum(0.03 - np.abs(x), 0)) / 0.02, 0, 1)
        moustache = blob(0.0, -0.057, 0.026, 0.007, 0.8)
        tint(face.brows, face.beard * np.clip(jaw + moustache, 0, 1))
    gap = 0.0315 * face.eye_gap
    for side in (-1.0, 1.0):
        cx, cy = side * gap, 0.006
        tint(deep, 0.26 * blob(cx, cy + 0.004, 0.022, 0.014, 0.9))
        # almond: two arcs; the upper lid is a dark lash line
        across = np.clip(1.0 - ((x - cx) / 0.0165) ** 2, 0, None)
        upper, lower = cy + 0.0085 * across, cy - 0.0062 * across
        open_eye = np.clip((upper - y) / 0.0012, 0, 1) * np.clip((y - lower) / 0.0012, 0, 1)
        open_eye = open_eye * (np.abs(x - cx) < 0.0165)
        tint(0.8 * np.array([0.97, 0.96, 0.95]) + 0.2 * skin, open_eye)
        tint(face.iris, open_eye * blob(cx, cy + 0.001, 0.0078, 0.0078, 0.2))
        tint((0.03, 0.03, 0.03), open_eye * blob(cx, cy + 0.001, 0.004, 0.004, 0.3))
        tint((1.0, 1.0, 1.0), open_eye * blob(cx + 0.0025, cy + 0.004, 0.0019, 0.0019, 0.5))
        lash = np.exp(-(((y - upper) / 0.0017) ** 2)) * (np.abs(x - cx) < 0.018)
        tint((0.06, 0.04, 0.04), np.clip(1.1 * lash, 0, 1))
        share = (x - cx) * side / 0.022
        arch = 0.026 + face.brow_lift + 0.006 * (1 - share**2) - 0.0008 * share
        brow = np.exp(-(((y - arch) / (0.0035 - 0.0012 * share)) ** 2)) * (np.abs(share) < 1.0)
        tint(face.brows, np.clip(0.8 * brow, 0, 1))
        tint(deep, 0.55 * blob(side * 0.0085, -0.0365, 0.0045, 0.0032, 0.7))
        flank = np.exp(-(((x - side * 0.010) / 0.004) ** 2))
        tint(deep, 0.10 * flank * blob(0.0, -0.01, 0.03, 0.03))
    tint(np.minimum(skin * 1.12, 1.0), 0.55 * blob(0.0, -0.012, 0.006, 0.032, 0.9))
    tint(deep, 0.28 * blob(0.0, -0.042, 0.014, 0.004, 1.0))
    half = 0.024
    corner = 0.004 + 0.010 * face.smile
    middle = -0.067 + corner * np.clip(np.abs(x) / half, 0, 1.2) ** 2
    width = np.clip(1.0 - (np.abs(x) / half) ** 2, 0, None)
    upper = middle + 0.0075 * width * (1 - 0.35 * np.exp(-((x / 0.004) ** 2)))
    lower = middle - 0.0105 * np.sqrt(width)
    lips = np.clip((upper - y) / 0.0015, 0, 1) * np.clip((y - lower) / 0.0015, 0, 1)
    tint(face.lips, 0.85 * lips * (np.abs(x) < half))
    line = np.exp(-(((y - middle) / 0.0014) ** 2)) * (np.abs(x) < half * 1.04)
    tint((0.22, 0.07, 0.07), 0.8 * line)
    tint(deep, 0.18 * blob(0.0, -0.088, 0.016, 0.004, 1.0))
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.5), 0, 1)
