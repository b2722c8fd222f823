"""Foreground props: objects that pass in front of a dancer and hide parts of them.

A prop moves along a straight path. It is drawn last, and is background in the parse labels like
everything that is not a person.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from datasets.synthetic.render.camera import Camera

PROP_KINDS = ("pole", "board", "balloon", "plant")
_DEPTH_M = 0.9  # in front of the dancer


@dataclass(frozen=True, kw_only=True)
class Prop:
    """Something in the foreground. Metres at the dancer's depth; shares of the clip in 0..1.

    ``start`` and ``end`` are (x, y) of its middle when it appears and disappears; ``size_m`` is
    (height, width).
    """

    kind: str
    colour: tuple[float, float, float]  # sRGB
    size_m: tuple[float, float]
    start: tuple[float, float]
    end: tuple[float, float]
    during: tuple[float, float]
    seed: int

    def place(self, share: float) -> tuple[float, float] | None:
        """The middle at a share of the clip; None while it is out of view."""
        first, last = self.during
        if not first <= share <= last:
            return None
        way = (share - first) / max(last - first, 1e-6)
        return (
            self.start[0] + way * (self.end[0] - self.start[0]),
            self.start[1] + way * (self.end[1] - self.start[1]),
        )


def draw_prop(
    image: np.ndarray, parse: np.ndarray, prop: Prop, camera: Camera, share: float
) -> None:
    """Draw a prop over a linear image (h, w, 3) and its labels (h, w), in place."""
    middle = prop.place(share)
    if middle is None:
        return
    column, row = camera.project(np.array([*middle, _DEPTH_M]))
    scale = camera.scale(_DEPTH_M)
    half = 0.5 * prop.size_m[0] * scale, 0.5 * prop.size_m[1] * scale
    alpha, light = _shape(prop, image.shape[:2], (row, column), half)
    colour = np.asarray(prop.colour, np.float32) ** 2
    image *= 1.0 - alpha[..., None]
    image += (alpha * light)[..., None] * colour
    parse[alpha > 0.5] = 0


def _shape(
    prop: Prop, size: tuple[int, int], middle: tuple[float, float], half: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage in 0..1 and brightness of each pixel."""
    height, width = size
    rows = (np.arange(height, dtype=np.float32)[:, None] + 0.5 - middle[0]) / max(half[0], 0.5)
    columns = (np.arange(width, dtype=np.float32)[None, :] + 0.5 - middle[1]) / max(half[1], 0.5)
    soft = np.float32(min(half))
    if prop.kind == "balloon":
        radius = np.sqrt(rows**2 + columns**2)
        alpha = np.clip((1.0 - radius) * soft + 0.5, 0.0, 1.0)
        light = 0.62 + 0.5 * np.exp(-((rows + 0.4) ** 2 + (columns + 0.4) ** 2) * 2.2)
        return alpha, light.astype(np.float32)
    if prop.kind == "plant":
        return _leaves(prop, size, middle, half)
    inside = np.minimum((1 - np.abs(rows)) * half[0], (1 - np.abs(columns)) * half[1])
    alpha = np.clip(inside + 0.5, 0.0, 1.0)
    if prop.kind == "pole":  # round: bright on one side
        light = 0.55 + 0.45 * np.sqrt(np.clip(1 - (columns + 0.35) ** 2 / 1.9, 0, 1)) + 0 * rows
    else:
        light = 0.85 + 0.1 * rows - 0.05 * columns
    return alpha, np.broadcast_to(light, size).astype(np.float32)


def _leaves(
    prop: Prop, size: tuple[int, int], middle: tuple[float, float], half: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(prop.seed)
    cover = np.zeros(size, np.uint8)
    light = np.ones(size, np.float32)
    for _ in range(14):
        angle = rng.uniform(-1.1, 1.1)
        length = half[0] * rng.uniform(0.7, 1.6)
        tip = np.array([np.sin(angle) * length * 0.8, -np.cos(angle) * length])
        foot = np.array([middle[1], middle[0] + half[0]])
        centre = foot + 0.55 * tip
        axes = max(round(0.55 * length), 1), max(round(0.16 * half[1] + 0.06 * length), 1)
        turn = float(np.degrees(np.arctan2(tip[1], tip[0])))
        shape = (round(centre[0] * 8), round(centre[1] * 8)), (axes[0] * 8, axes[1] * 8)
        drawn = np.zeros(size, np.uint8)
        cv2.ellipse(drawn, *shape, turn, 0, 360, 255, -1, cv2.LINE_AA, 3)
        light[drawn > 127] = rng.uniform(0.6, 1.1)
        cover = np.maximum(cover, drawn)
    return cover.astype(np.float32) / 255.0, light
