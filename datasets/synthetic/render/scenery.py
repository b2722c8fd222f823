"""Rooms behind the rendered dancers, painted once per clip in true perspective."""

import cv2
import numpy as np

from datasets.synthetic.render.camera import Camera
from datasets.synthetic.render.decor import decorate_wall, linear_colour, put_plant

WALLS = ("plaster", "bricks", "panels", "wallpaper", "studio", "curtain", "tiles")
FLOORS = ("planks", "tiles", "carpet", "concrete", "studio")


def paint_scenery(rng: np.random.Generator, camera: Camera, height: int, width: int) -> np.ndarray:
    """An empty room, (height, width, 3) linear float32 in [0, 1].

    The floor is the plane y = 0 and ends at a wall behind the dancer, so feet at y = 0 stand on the
    picture's floor.
    """
    wall_z = -float(rng.uniform(1.3, 2.4))
    row_wall = camera.project(np.array([0.0, 0.0, wall_z]))[1]
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    columns = np.arange(width, dtype=np.float32)[None, :] + 0.5
    wall = str(rng.choice(WALLS))
    floor = "studio" if wall == "studio" else str(rng.choice(FLOORS[:-1]))
    scale = camera.scale(wall_z)
    wall_x = (columns - camera.center[1]) / scale + np.zeros_like(rows)
    wall_y = camera.eye_height_m - (rows - camera.center[0]) / scale + np.zeros_like(columns)
    image = _paint_wall(rng, wall, wall_x, wall_y)
    if wall not in {"studio", "curtain"}:
        decorate_wall(rng, image, camera, wall_z)
        skirting = (wall_y > 0) & (wall_y < 0.10)
        image[skirting] = 0.5 * image[skirting] + 0.5 * np.float32(rng.uniform(0.25, 0.9))
        image[(wall_y > 0.10) & (wall_y < 0.112)] *= 0.7
    image = cv2.GaussianBlur(image, (0, 0), 1.1 * width / 384)
    image *= (1.0 - 0.30 * np.exp(-np.maximum(wall_y, 0) / 0.30))[..., None]

    below = np.maximum(rows - camera.center[0], 1.0)
    away = camera.eye_height_m * camera.pixels_per_m * camera.distance_m / below
    floor_x = (columns - camera.center[1]) / (camera.pixels_per_m * camera.distance_m) * away
    floor_z = camera.distance_m - away + np.zeros_like(columns)
    ground = _paint_floor(rng, floor, floor_x, floor_z, image)
    near_wall = np.exp(-np.maximum(floor_z - wall_z, 0) / 0.35)[..., None]
    ground = ground * (1.0 - 0.35 * near_wall * (floor != "studio"))
    edge = np.clip((rows - row_wall) / (0.16 * height if floor == "studio" else 1.5) + 0.5, 0, 1)
    edge = (edge * edge * (3 - 2 * edge))[..., None]
    image = image * (1 - edge) + ground * edge
    if floor != "studio" and rng.random() < 0.4:
        put_plant(rng, image, camera, wall_z + 0.25)

    cx, cy = rng.uniform(0.2, 0.8) * width, rng.uniform(0.05, 0.4) * height
    glow = np.exp(-(((columns - cx) / (0.7 * width)) ** 2 + ((rows - cy) / (0.6 * height)) ** 2))
    image *= (0.62 + 0.5 * glow)[..., None]
    image *= (
        1.0 - 0.22 * (((columns / width - 0.5) * 2) ** 2 + ((rows / height - 0.5) * 2) ** 2) / 2
    )[..., None]
    image *= np.array(rng.uniform(0.94, 1.06, 3), np.float32)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Soft noise of about ``cells`` blobs across, (height, width) float32, about -1..1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(3):
        count = max(cells * 2**octave, 2)
        grid = rng.normal(size=(count * height // width + 2, count + 1)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / 2.0


def _scattered(number: np.ndarray) -> np.ndarray:
    """A pseudo-random number in 0..1 for each integer."""
    return np.mod(np.sin(np.mod(number, 10007) * 12.9898) * 43758.547, 1.0).astype(np.float32)


def _paint_wall(rng: np.random.Generator, kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = x.shape
    base = linear_colour(rng, (0.45, 0.92), 0.30)
    image = np.broadcast_to(base, (height, width, 3)).astype(np.float32)
    noise = smooth_noise(rng, height, width, 5)[..., None]
    if kind == "bricks":
        brick = linear_colour(rng, (0.45, 0.8), 0.55) * np.array([1.0, 0.72, 0.62], np.float32)
        row = np.floor(y / 0.085)
        shifted = x / 0.24 + 0.5 * (row % 2)
        tone = 0.8 + 0.4 * _scattered(row * 57 + np.floor(shifted) * 131)
        mortar = ((y / 0.085) % 1.0 < 0.11) | (shifted % 1.0 < 0.045)
        image = np.where(mortar[..., None], 0.45 * base + 0.2, brick * tone[..., None])
    elif kind == "tiles":
        size = rng.uniform(0.16, 0.3)
        joint = ((x / size) % 1.0 < 0.035) | ((y / size) % 1.0 < 0.035)
        image = np.where(joint[..., None], base * 0.6, base)
    elif kind == "panels":
        groove = (x / rng.uniform(0.14, 0.45)) % 1.0
        image = image * (1.0 - 0.45 * np.exp(-((groove - 0.5) ** 2) / 0.0009))[..., None]
        other = linear_colour(rng, (0.5, 0.95), 0.2)
        image = np.where((y > 1.05)[..., None], other, image)
        image = np.where((np.abs(y - 1.05) < 0.03)[..., None], base * 1.15, image)
    elif kind == "wallpaper":
        other = base * rng.uniform(0.72, 0.9)
        period = rng.uniform(0.12, 0.4)
        image = np.where(((x / period) % 1.0 < 0.5)[..., None], base, other)
    elif kind == "curtain":
        wave = np.sin(x / rng.uniform(0.05, 0.09) + 1.4 * np.sin(x * 3.0) + 0.15 * np.sin(4 * y))
        image = image * (0.72 + 0.30 * wave)[..., None]
    strength = 0.02 if kind == "studio" else 0.05
    return np.ascontiguousarray(image * (1.0 + strength * noise), dtype=np.float32)


def _paint_floor(
    rng: np.random.Generator, kind: str, x: np.ndarray, z: np.ndarray, wall: np.ndarray
) -> np.ndarray:
    height, width = x.shape
    if kind == "studio":
        tone = wall[: height // 2].reshape(-1, 3).mean(0)
        return np.broadcast_to(tone * rng.uniform(0.8, 1.02), (height, width, 3)).astype(np.float32)
    base = linear_colour(rng, (0.35, 0.75), 0.3)
    noise = smooth_noise(rng, height, width, 9)
    fade = np.clip(1.0 - 0.12 * (0.0 - z), 0.35, 1.0)  # lines blur with distance
    if kind == "planks":
        wood = np.array([0.46, 0.30, 0.17], np.float32) * rng.uniform(0.5, 1.3)
        board = np.floor(x / 0.13)
        end = z / 1.4 + 0.37 * board
        tone = 0.78 + 0.4 * _scattered(board * 71 + np.floor(end) * 193)
        grain = 0.05 * np.sin(190 * x + 9 * np.sin(2.3 * z + board))
        gap = ((x / 0.13) % 1.0 < 0.035) | (end % 1.0 < 0.008)
        shade = (tone + grain) * np.where(gap, 1 - 0.45 * fade, 1.0)
        image = wood * shade[..., None]
    elif kind == "tiles":
        size = rng.uniform(0.25, 0.5)
        other = base * rng.uniform(0.55, 0.95)
        odd = (np.floor(x / size) + np.floor(z / size)) % 2
        image = np.where(odd[..., None] > 0, base, other)
        joint = ((x / size) % 1.0 < 0.02) | ((z / size) % 1.0 < 0.02)
        image = image * np.where(joint, 1 - 0.3 * fade, 1.0)[..., None]
    else:
        image = np.broadcast_to(base, (height, width, 3)).copy()
        speckle = rng.normal(size=(height, width)).astype(np.float32)
        speckle = cv2.GaussianBlur(speckle, (0, 0), 0.8)
        image *= (1.0 + (0.10 if kind == "carpet" else 0.04) * speckle)[..., None]
    return (image * (1.0 + 0.05 * noise)[..., None]).astype(np.float32)
