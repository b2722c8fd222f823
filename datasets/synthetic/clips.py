"""A clip's spec -> its frames and the ground truth of every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from datasets.labels import ParseLabel
from datasets.synthetic.cast import ClipSpec, Dancer
from datasets.synthetic.garments import GarmentSpec, paint_cloth
from datasets.synthetic.motion import Body, Pose, dance, standing
from datasets.synthetic.render.camera import Camera, SurfaceBuffer
from datasets.synthetic.render.face import paint_face
from datasets.synthetic.render.figure import draw_figure, draw_garment_alone
from datasets.synthetic.render.limbs import Figure
from datasets.synthetic.render.materials import GROUPS
from datasets.synthetic.render.props import draw_prop
from datasets.synthetic.render.scenery import paint_scenery
from datasets.synthetic.render.shading import Layer, Light, Wardrobe, fold_map, shade

SUPERSAMPLE = 2
_GROUND = np.float32(0.93)


@dataclass(frozen=True, kw_only=True)
class RenderedClip:
    """A rendered clip and its ground truth.

    Attributes:
        frames: (t, h, w, 3) uint8 RGB.
        parse: (t, h, w) uint8 of datasets.labels.ParseLabel.
        garment_mask: (t, h, w) uint8, 255 = upper garment.
        person_mask: (t, h, w) uint8, 255 = a person.
        garment: (h, w, 3) uint8, the first dancer's upper garment alone on a light background.
        garment_spec: that garment's spec, as JSON types.
    """

    frames: np.ndarray
    parse: np.ndarray
    garment_mask: np.ndarray
    person_mask: np.ndarray
    garment: np.ndarray
    garment_spec: dict[str, Any]


def render_clip(spec: ClipSpec) -> RenderedClip:
    """Render a clip; a pure function of its spec."""
    frames, parse = zip(*render_frames(spec), strict=True)
    labels = np.stack(parse)
    garment = spec.dancers[0].figure.garment
    return RenderedClip(
        frames=np.stack(frames),
        parse=labels,
        garment_mask=np.where(labels == ParseLabel.UPPER, 255, 0).astype(np.uint8),
        person_mask=np.where(labels != ParseLabel.BACKGROUND, 255, 0).astype(np.uint8),
        garment=render_garment(garment, spec.height, spec.width),
        garment_spec=garment.to_plain(),
    )


def render_frames(spec: ClipSpec) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames one by one: RGB (h, w, 3) uint8 and its parse labels (h, w) uint8."""
    for image, parse, _ in render_occlusion(spec):
        yield image, parse


def render_occlusion(spec: ClipSpec) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """``render_frames`` with the share of the garments that foreground props hide."""
    margin = 0.10
    wide = replace(
        spec.camera,
        center=(
            spec.camera.center[0] + margin * spec.height,
            spec.camera.center[1] + margin * spec.width,
        ),
    )
    size = round(spec.height * (1 + 2 * margin)), round(spec.width * (1 + 2 * margin))
    scenery = paint_scenery(np.random.default_rng([*spec.seed, 2]), wide, *size)
    grain = np.random.default_rng([*spec.seed, 3]).normal(0, 1.6, (4, spec.height, spec.width, 1))
    grain = grain.astype(np.float32)
    wardrobes = [_wardrobe(dancer, spec, i) for i, dancer in enumerate(spec.dancers)]
    dances = [
        dance(
            dancer.figure.body,
            [*spec.seed, 5, i],
            spec.num_frames,
            spec.fps,
            spec.energy,
            spec.liveliness,
        )
        for i, dancer in enumerate(spec.dancers)
    ]
    for frame in range(spec.num_frames):
        share = frame / max(spec.num_frames - 1, 1)
        camera, affine = _moved(spec, share)
        shifted = affine.copy()
        shifted[:, 2] -= affine[:, :2] @ np.array([margin * spec.width, margin * spec.height])
        image = cv2.warpAffine(
            scenery, shifted, (spec.width, spec.height), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        parse = np.zeros((spec.height, spec.width), np.uint8)
        poses = [_aside(poses[frame], x) for poses, x in zip(dances, spec.shifts_m, strict=True)]
        for pose in poses:
            _cast_shadow(image, pose, camera, spec.light)
        for dancer, wardrobe, pose in zip(spec.dancers, wardrobes, poses, strict=True):
            region = _region(pose, camera, spec)
            layer = _draw(dancer.figure, wardrobe, pose, camera, spec.light, region)
            image[region] = image[region] * (1.0 - layer.alpha[..., None]) + layer.colour
            parse[region] = np.where(layer.alpha > 0.5, layer.parse, parse[region])
        whole = int((parse == ParseLabel.UPPER).sum())
        for prop in spec.props:
            draw_prop(image, parse, prop, camera, share)
        hidden = 1.0 - int((parse == ParseLabel.UPPER).sum()) / whole if whole else 0.0
        image = np.sqrt(np.clip(image, 0.0, 1.0)) * 255.0 + grain[frame % 4] + 0.5
        yield np.clip(image, 0, 255).astype(np.uint8), parse, hidden


def render_garment(garment: GarmentSpec, height: int, width: int) -> np.ndarray:
    """A product picture: the garment alone, upright, on a light background; (h, w, 3) uint8 RGB."""
    arm = (0.50, -0.85, 0.0) if garment.sleeves == "long" else (0.60, -0.78, 0.0)
    figure = Figure(body=Body(girth=1.04), hair="short", lower="slim", garment=garment)
    scale = min(0.72 * height / garment.length_m, 0.92 * width / 0.86)
    pose = standing(figure.body, arm)
    middle = pose.joints["neck"][1] - 0.5 * garment.length_m + 0.02
    camera = Camera(
        pixels_per_m=scale * SUPERSAMPLE,
        center=(0.5 * height * SUPERSAMPLE, 0.5 * width * SUPERSAMPLE),
        eye_height_m=float(middle),
        distance_m=40.0,
    )
    buffer = SurfaceBuffer(height * SUPERSAMPLE, width * SUPERSAMPLE, GROUPS)
    draw_garment_alone(buffer, figure, pose, camera)
    red, green, blue = garment.base
    inside = 0.55 * red, 0.55 * green, 0.55 * blue
    wardrobe = Wardrobe(
        skin=inside,
        hair=inside, lower=inside, shoe=inside,  # none of these are drawn
        face=np.zeros((1, 1, 3), np.float32),
        cloth=paint_cloth(garment),
        folds=fold_map(np.random.default_rng(7)),
    )  # fmt: skip
    layer = shade(buffer, wardrobe, Light(rim=0.05), SUPERSAMPLE, camera.pixels_per_m)
    shadow = cv2.GaussianBlur(layer.alpha, (0, 0), 7.0 * width / 384)
    ground = (_GROUND**2) * (1.0 - 0.22 * np.roll(shadow, round(0.015 * height), axis=0))
    image = ground[..., None] * (1.0 - layer.alpha[..., None]) + layer.colour
    return np.clip(np.sqrt(image) * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _wardrobe(dancer: Dancer, spec: ClipSpec, number: int) -> Wardrobe:
    return Wardrobe(
        skin=dancer.face.skin,
        hair=dancer.hair,
        lower=dancer.lower,
        shoe=dancer.shoe,
        face=paint_face(dancer.face),
        cloth=paint_cloth(dancer.figure.garment),
        folds=fold_map(np.random.default_rng([*spec.seed, 4, number])),
        denim=dancer.denim,
        belt=dancer.belt,
        bag=dancer.bag,
    )


def _moved(spec: ClipSpec, share: float) -> tuple[Camera, np.ndarray]:
    """The camera at a share of the clip, and the affine map from the first picture."""
    eased = share * share * (3 - 2 * share) - 0.5
    zoom = 1.0 + spec.zoom * eased
    rows, columns = 0.5 * spec.height, 0.5 * spec.width
    down = spec.pan_m[1] * eased * spec.camera.pixels_per_m
    right = spec.pan_m[0] * eased * spec.camera.pixels_per_m
    if spec.sway_m:
        down += _wander(spec, share, 0) * spec.camera.pixels_per_m
        right += _wander(spec, share, 1) * spec.camera.pixels_per_m
    affine = np.array(
        [[zoom, 0.0, columns * (1 - zoom) + right], [0.0, zoom, rows * (1 - zoom) + down]]
    )
    row, column = spec.camera.center
    camera = replace(
        spec.camera,
        pixels_per_m=spec.camera.pixels_per_m * zoom,
        center=(row * zoom + affine[1, 2], column * zoom + affine[0, 2]),
    )
    return camera, affine


def _wander(spec: ClipSpec, share: float, axis: int) -> float:
    """Sway of a hand-held camera in metres: three slow waves."""
    rng = np.random.default_rng([*spec.seed, 6, axis])
    waves = rng.uniform(0.15, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)  # per second; phases
    time_s = share * max(spec.num_frames - 1, 1) / spec.fps
    return spec.sway_m * float(np.sin(2 * np.pi * waves[0] * time_s + waves[1]).mean())


def _aside(pose: Pose, x: float) -> Pose:
    if x == 0.0:
        return pose
    return replace(
        pose, joints={name: joint + np.array([x, 0.0, 0.0]) for name, joint in pose.joints.items()}
    )


def _region(pose: Pose, camera: Camera, spec: ClipSpec) -> tuple[slice, slice]:
    """Rows and columns of the image that contain the whole figure."""
    margin = 0.30 * camera.scale(0.5)
    spots = np.array([camera.project(joint) for joint in pose.joints.values()])
    left, top = np.floor(spots.min(axis=0) - margin)
    right, bottom = np.ceil(spots.max(axis=0) + margin)
    top, bottom = np.clip((top, bottom), (0, 1), (spec.height - 1, spec.height))
    left, right = np.clip((left, right), (0, 1), (spec.width - 1, spec.width))
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _draw(
    figure: Figure,
    wardrobe: Wardrobe,
    pose: Pose,
    camera: Camera,
    light: Light,
    region: tuple[slice, slice],
) -> Layer:
    rows, columns = region
    fine = replace(
        camera,
        pixels_per_m=camera.pixels_per_m * SUPERSAMPLE,
        center=(
            (camera.center[0] - rows.start) * SUPERSAMPLE,
            (camera.center[1] - columns.start) * SUPERSAMPLE,
        ),
    )
    buffer = SurfaceBuffer(
        (rows.stop - rows.start) * SUPERSAMPLE, (columns.stop - columns.start) * SUPERSAMPLE, GROUPS
    )
    draw_figure(buffer, figure, pose, fine)
    drift = 0.012 * float(np.sin(np.pi * pose.beat))
    return shade(buffer, wardrobe, light, SUPERSAMPLE, fine.pixels_per_m, drift)


def _cast_shadow(image: np.ndarray, pose: Pose, camera: Camera, light: Light) -> None:
    """Darken the floor under the feet: sharp where they touch it, soft around them."""
    step = 2
    height, width = image.shape[0] // step, image.shape[1] // step
    soft, sharp = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)

    def stain(target: np.ndarray, x: float, z: float, radius: float, weight: float) -> None:
        column, row = camera.project(np.array([x, 0.0, z]))
        scale = camera.scale(z) / step
        flat = camera.eye_height_m / (camera.distance_m - z)
        axes = max(round(radius * scale), 1), max(round(radius * scale * flat * 1.3), 1)
        spot = round(column / step), round(row / step)
        cv2.ellipse(target, spot, axes, 0, 0, 360, weight, -1)

    pelvis = pose.joints["pelvis"]
    away = -0.25 * light.direction[0] / max(light.direction[1], 0.3)
    stain(soft, pelvis[0] + away, pelvis[2] - 0.1, 0.42, 0.5)
    for side in ("left", "right"):
        foot = 0.5 * (pose.joints[f"{side}_ankle"] + pose.joints[f"{side}_toes"])
        raised = max(float(pose.joints[f"{side}_ankle"][1]) - 0.09, 0.0)
        stain(sharp, foot[0], foot[2], 0.125, float(np.exp(-raised / 0.06)) * 0.85)
    soft = cv2.GaussianBlur(soft, (0, 0), max(0.045 * height, 1.0))
    sharp = cv2.GaussianBlur(sharp, (0, 0), max(0.008 * height, 0.6))
    dark = cv2.resize(1.0 - (1.0 - soft) * (1.0 - sharp), (image.shape[1], image.shape[0]))
    image *= (1.0 - 0.62 * dark)[..., None]
