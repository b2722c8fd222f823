"""Buffers of depth, normal and surface -> a lit figure with its parse labels."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from datasets.synthetic.garments import SLEEVE_LENGTH_M, TORSO_LENGTH_M, Cloth
from datasets.synthetic.render.camera import SurfaceBuffer
from datasets.synthetic.render.face import FACE_BOTTOM_M, FACE_HALF_WIDTH_M, FACE_TOP_M
from datasets.synthetic.render.materials import LABEL_OF_MATERIAL, Material

FOLD_CELLS = 512
_HAIR_STRANDS = 2048


@dataclass(frozen=True, kw_only=True)
class Light:
    """A key light from ``direction`` (towards it), a sky and a rim. Colours are linear."""

    direction: tuple[float, float, float] = (-0.42, 0.62, 0.66)
    key: tuple[float, float, float] = (0.86, 0.83, 0.78)
    ambient: tuple[float, float, float] = (0.36, 0.37, 0.40)
    rim: float = 0.22


@dataclass(frozen=True, kw_only=True)
class Wardrobe:
    """All colours of a dancer, sRGB in [0, 1], and what is painted on the surfaces."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    lower: tuple[float, float, float]
    shoe: tuple[float, float, float]
    face: np.ndarray
    cloth: Cloth
    folds: np.ndarray
    denim: bool = False
    belt: tuple[float, float, float] = (0.2, 0.13, 0.08)
    bag: tuple[float, float, float] = (0.45, 0.2, 0.12)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A lit figure: premultiplied linear colour (h, w, 3), alpha (h, w), parse labels (h, w)."""

    colour: np.ndarray
    alpha: np.ndarray
    parse: np.ndarray


def fold_map(rng: np.random.Generator) -> np.ndarray:
    """Slopes of soft cloth folds, (2, cells, cells) around and along, seamless, unit spread."""
    cells = FOLD_CELLS
    rows = np.fft.fftfreq(cells)[:, None] * cells
    columns = np.fft.rfftfreq(cells)[None, :] * cells
    height = np.zeros((cells, cells))
    for angle, weight in ((0.55, 1.0), (-0.55, 1.0), (0.05, 0.7)):
        along = rows * np.cos(angle) + columns * np.sin(angle)
        across = columns * np.cos(angle) - rows * np.sin(angle)
        band = np.exp(-((np.hypot(along, across * 0.45) - 5.0) ** 2) / 12.0)
        spectrum = np.fft.rfft2(rng.normal(size=(cells, cells))) * band
        field = np.fft.irfft2(spectrum, s=(cells, cells))
        height += weight * field / field.std()
    slopes = np.stack([np.gradient(height, axis=1), np.gradient(height, axis=0)])
    return (slopes / slopes.std()).astype(np.float32)


def shade(
    buffer: SurfaceBuffer,
    wardrobe: Wardrobe,
    light: Light,
    supersample: int,
    pixels_per_m: float,
    drift: float = 0.0,
) -> Layer:
    """Light every covered pixel, then average the supersamples.

    Args:
        buffer: the visible surfaces.
        wardrobe: colours and cloth.
        light: key light, sky and rim.
        supersample: buffer pixels per image pixel, along a side.
        pixels_per_m: buffer pixels per metre; sets the reach of contact shade.
        drift: shift of the folds over the cloth, in turns.
    """
    where = np.flatnonzero(buffer.material)
    material = buffer.material[where]
    u, v = buffer.surface[0][where], buffer.surface[1][where]
    nx, ny, nz = (buffer.normal[axis][where] for axis in range(3))

    colours = np.zeros((len(Material), 3), np.float32)
    for kind, colour in (
        (Material.HEAD_SKIN, wardrobe.skin), (Material.NECK, wardrobe.skin),
        (Material.HAIR, wardrobe.hair), (Material.LOWER, wardrobe.lower),
        (Material.ARM, wardrobe.skin), (Material.HAND, wardrobe.skin),
        (Material.LEG, wardrobe.skin), (Material.SHOE, wardrobe.shoe),
        (Material.BELT, wardrobe.belt), (Material.BAG, wardrobe.bag),
    ):  # fmt: skip
        colours[kind] = colour
    albedo = colours[material]
    _paint_face(albedo, material, u, v, wardrobe.face)
    material = _paint_cloth(albedo, material, u, v, wardrobe)
    _paint_details(albedo, material, u, v, wardrobe)
    nx, ny = _fold(nx, ny, nz, material, u, v, wardrobe.folds, drift)
    length = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-9)
    nx, ny, nz = nx * length, ny * length, nz * length

    lx, ly, lz = np.asarray(light.direction) / np.linalg.norm(light.direction)
    facing = nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz)
    diffuse = np.clip((facing + 0.22) / 1.22, 0.0, 1.0)
    hollow = _occlusion(buffer, where, 0.042 * pixels_per_m)
    sky = (0.78 + 0.22 * ny) * (1.0 - hollow)
    rim = (1.0 - np.clip(nz, 0.0, 1.0)) ** 3 * np.float32(light.rim) * (0.5 + 0.5 * ny)
    gloss = _gloss(material, nx, ny, nz, u, (lx, ly, lz))
    shadowed = diffuse * (1.0 - 0.55 * hollow)
    lit = np.empty((where.size, 4), np.float32)
    for channel in range(3):
        ground = albedo[:, channel] ** 2
        received = shadowed * np.float32(light.key[channel]) + sky * np.float32(
            light.ambient[channel]
        )
        lit[:, channel] = ground * received + rim * (0.25 + ground) + gloss
    lit[:, 3] = 1.0

    image = np.zeros((buffer.height * buffer.width, 4), np.float32)
    image[where] = np.minimum(lit, 1.0)
    image = image.reshape(buffer.height, buffer.width, 4)
    height, width = buffer.height // supersample, buffer.width // supersample
    labels = np.zeros(buffer.height * buffer.width, np.uint8)
    labels[where] = LABEL_OF_MATERIAL[material]
    labels = labels.reshape(buffer.height, buffer.width)
    if supersample > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        labels = labels[supersample // 2 :: supersample, supersample // 2 :: supersample]
    return Layer(
        colour=image[..., :3],
        alpha=image[..., 3],
        parse=np.ascontiguousarray(labels[:height, :width]),
    )


def _paint_face(
    albedo: np.ndarray, material: np.ndarray, u: np.ndarray, v: np.ndarray, face: np.ndarray
) -> None:
    where = np.flatnonzero(material == Material.FACE)
    rows, columns = face.shape[:2]
    row = (FACE_TOP_M - v[where]) * np.float32(rows / (FACE_TOP_M - FACE_BOTTOM_M))
    column = u[where] * np.float32(columns / (2 * FACE_HALF_WIDTH_M)) + np.float32(columns / 2)
    albedo[where] = _sample(face, row, np.clip(column, 0.5, columns - 0.5))


def _paint_cloth(
    albedo: np.ndarray, material: np.ndarray, u: np.ndarray, v: np.ndarray, wardrobe: Wardrobe
) -> np.ndarray:
    """Paint the garment; where its neckline exposes the torso, the material becomes neck."""
    for kind, image, length in (
        (Material.TORSO, wardrobe.cloth.torso, TORSO_LENGTH_M),
        (Material.SLEEVE, wardrobe.cloth.sleeve, SLEEVE_LENGTH_M),
    ):
        where = np.flatnonzero(material == kind)
        rows, columns = image.shape[:2]
        row = np.clip(v[where] * np.float32(rows / length), 0.5, rows - 0.5)
        column = u[where] * np.float32(columns / (2 * np.pi)) + np.float32(columns / 2)
        albedo[where] = _sample(image, row, column)
        if kind == Material.TORSO:
            covers = wardrobe.cloth.covers[row.astype(np.intp), column.astype(np.intp) % columns]
            bare = where[~covers]
            material = material.copy()
            material[bare] = Material.NECK
            albedo[bare] = wardrobe.skin
    return material


def _sample(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Bilinear samples (n, 3) at cell coordinates (the first cell's centre is 0.5), wrapped."""
    if row.size == 0:
        return np.zeros((0, 3), np.float32)
    span = 512  # remap accepts no side of 32768 or more
    padded = -row.size % span
    grid = [np.pad(axis - np.float32(0.5), (0, padded)).reshape(-1, span) for axis in (column, row)]
    colours = cv2.remap(image, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return colours.reshape(-1, 3)[: row.size]


def _paint_details(
    albedo: np.ndarray, material: np.ndarray, u: np.ndarray, v: np.ndarray, wardrobe: Wardrobe
) -> None:
    """Pale soles, streaks of hair, seams and wash of trousers."""
    shoes = np.flatnonzero(material == Material.SHOE)
    albedo[shoes[v[shoes] < -0.017]] = (0.93, 0.92, 0.90)
    hair = np.flatnonzero(material == Material.HAIR)
    turn = u[hair] * np.float32(6.0) + np.float32(0.06) * np.sin(np.float32(9.0) * v[hair])
    streak = _strands()[(turn * np.float32(_HAIR_STRANDS)).astype(np.int32) % _HAIR_STRANDS]
    albedo[hair] *= (1.0 + 0.13 * streak)[:, None]
    lower = np.flatnonzero(material == Material.LOWER)
    seam = np.abs(np.abs(u[lower]) - 1.5) < 0.05
    albedo[lower] *= np.where(seam, 0.78, 1.0).astype(np.float32)[:, None]
    if wardrobe.denim:
        weave = 0.05 * np.sin(900 * v[lower] + 160 * u[lower])
        wash = 0.16 * np.exp(-((u[lower] / 0.7) ** 2)) + weave
        albedo[lower] *= (1.0 + wash).astype(np.float32)[:, None]


@lru_cache(maxsize=1)
def _strands() -> np.ndarray:
    """A fixed profile of hair brightness, -1..1."""
    places = np.arange(_HAIR_STRANDS) / _HAIR_STRANDS * 2 * np.pi
    line = sum(np.sin(k * places + k * k) / np.sqrt(k) for k in range(3, 90, 4))
    return (line / np.abs(line).max()).astype(np.float32)


def _fold(
    nx: np.ndarray, ny: np.ndarray, nz: np.ndarray, material: np.ndarray,
    u: np.ndarray, v: np.ndarray, folds: np.ndarray, drift: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    cloth = np.flatnonzero((material >= Material.TORSO) & (material <= Material.LOWER))
    kind = material[cloth] - Material.TORSO
    strength = np.array([0.115, 0.11, 0.09], np.float32)[kind]
    # limbs have half the torso's circumference: half a turn of folds, with the seam at the back
    around = np.array([1.0, 0.5, 0.5], np.float32)[kind] * np.float32(FOLD_CELLS / (2 * np.pi))
    row = (v[cloth] * np.float32(1.35 * FOLD_CELLS) + np.float32(drift * FOLD_CELLS)).astype(
        np.int32
    )
    column = (u[cloth] * around).astype(np.int32) + kind * 160
    row, column = row % FOLD_CELLS, column % FOLD_CELLS
    front = nz[cloth]
    nx[cloth] += folds[0][row, column] * strength * front
    ny[cloth] += folds[1][row, column] * strength * front
    return nx, ny


def _occlusion(buffer: SurfaceBuffer, where: np.ndarray, reach: float) -> np.ndarray:
    """Soft contact shade between limbs and body, 0..1: how much nearer the surroundings are."""
    height, width = buffer.height, buffer.width
    step = 4
    depth = buffer.depth.reshape(height, width)[::step, ::step]
    covered = (depth > -1e8).astype(np.float32)
    depth = np.where(covered > 0, depth, 0.0).astype(np.float32)
    spread = max(reach / step, 1.0)
    near = cv2.GaussianBlur(depth, (0, 0), spread)
    weight = cv2.GaussianBlur(covered, (0, 0), spread)
    hollow = np.clip((near / np.maximum(weight, 1e-3) - depth - 0.006) * 9.0, 0.0, 0.75) * covered
    hollow = cv2.resize(cv2.GaussianBlur(hollow, (0, 0), 1.2), (width, height))
    return hollow.reshape(-1)[where]


def _gloss(
    material: np.ndarray, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray, u: np.ndarray,
    light: tuple[float, float, float],
) -> np.ndarray:  # fmt: skip
    """Highlights: broad and faint on skin, a band on hair, small on shoes; none on cloth."""
    strength = np.zeros(len(Material), np.float32)
    strength[[Material.FACE, Material.HEAD_SKIN, Material.NECK]] = 0.05
    strength[[Material.ARM, Material.HAND, Material.LEG]] = 0.045
    strength[Material.HAIR], strength[Material.SHOE] = 0.09, 0.10
    half = np.asarray(light) + np.array([0.0, 0.0, 1.0])
    half = (half / np.linalg.norm(half)).astype(np.float32)
    across = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0.0, 1.0)
    return strength[material] * across**14
