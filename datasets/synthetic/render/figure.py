"""A dancer's pose and clothes -> the solids that the renderer draws."""

from collections.abc import Iterator

import numpy as np

from datasets.synthetic.garments import SLEEVES
from datasets.synthetic.motion import Pose
from datasets.synthetic.render.accessories import belt, held_bag
from datasets.synthetic.render.body import arms, lower_body
from datasets.synthetic.render.camera import Camera, SurfaceBuffer
from datasets.synthetic.render.ellipsoids import Ellipsoid, draw_ellipsoid
from datasets.synthetic.render.head import neck_and_head
from datasets.synthetic.render.limbs import Figure, facing, limb, torso_axis
from datasets.synthetic.render.lofts import Loft, draw_loft, smooth_profile
from datasets.synthetic.render.materials import Material


def draw_figure(buffer: SurfaceBuffer, figure: Figure, pose: Pose, camera: Camera) -> None:
    """Draw a clothed dancer."""
    for solid in _solids(figure, pose):
        _draw(buffer, solid, camera)


def draw_garment_alone(buffer: SurfaceBuffer, figure: Figure, pose: Pose, camera: Camera) -> None:
    """Draw only the figure's upper garment, without the body."""
    for solid in _upper_garment(figure, pose):
        _draw(buffer, solid, camera)


def _draw(buffer: SurfaceBuffer, solid: Loft | Ellipsoid, camera: Camera) -> None:
    if isinstance(solid, Loft):
        draw_loft(buffer, solid, camera)
    else:
        draw_ellipsoid(buffer, solid, camera)


def _solids(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    yield from _upper_garment(figure, pose)
    yield from arms(figure, pose)
    yield from neck_and_head(figure, pose)
    yield from lower_body(figure, pose)
    yield from belt(figure, pose)
    yield from held_bag(figure, pose)


def _upper_garment(figure: Figure, pose: Pose) -> Iterator[Loft]:
    body, garment, unit = figure.body, figure.garment, figure.body.unit
    collar, down = torso_axis(figure, pose)
    length = garment.length_m * unit
    shoulder, ease = body.shoulder_half / 0.172, 0.006 + 0.010 * garment.fit
    waist = (0.128 + 0.014 * garment.fit) * body.waist
    hips = 0.164 * (0.4 + 0.6 * body.hip_half / 0.088)
    flare = 0.008 + 0.012 * garment.fit
    width = [
        (0.0, 0.050), (0.022, 0.070), (0.045, 0.114 * shoulder), (0.075, 0.158 * shoulder),
        (0.105, 0.174 * shoulder), (0.15, 0.168 * shoulder + ease), (0.23, 0.156 * shoulder + ease),
        (0.37, waist + ease), (0.50, hips + ease), (0.60, hips + ease + flare),
        (0.70, hips + ease + flare),
    ]  # fmt: skip
    depth = [
        (0.0, 0.048), (0.03, 0.064), (0.07, 0.082), (0.14, 0.102 + ease),
        (0.22, (0.112 + ease) * body.chest), (0.37, (0.094 + ease) * body.waist),
        (0.50, 0.112 + ease), (0.60, 0.116 + ease + flare), (0.70, 0.116 + ease + flare),
    ]  # fmt: skip
    girth = 0.5 + 0.5 * body.girth
    yield Loft(
        start=collar,
        end=collar + down * length,
        half_width=_cut(width, garment.length_m) * unit * girth,
        half_depth=_cut(depth, garment.length_m) * unit * girth,
        material=int(Material.TORSO),
        turn=(pose.chest_yaw, pose.pelvis_yaw),
        bow_m=pose.spine_bow_m,
        open_start=True,
        open_end=True,
        v_end_m=garment.length_m,
        lift_m=0.06,
        blend_m=0.035,
    )
    front = np.array([np.sin(pose.chest_yaw), 0.0, np.cos(pose.chest_yaw)])
    for side in ("left", "right"):
        start, elbow = pose.joints[f"{side}_shoulder"], pose.joints[f"{side}_elbow"]
        wrist = pose.joints[f"{side}_wrist"]
        loose = (0.010 + 0.012 * garment.fit) * unit
        upper = 0.043 * unit * body.girth + loose
        turn = facing(start, elbow, front)
        if garment.sleeves == "none":
            continue
        if garment.sleeves != "long":
            knots = [(0.0, upper), (0.5, upper * 0.97), (1.0, upper * 1.03)]
            end = start + (elbow - start) * (0.62 if garment.sleeves == "short" else 0.93)
            yield limb(
                start, end, knots, Material.SLEEVE, turn=(turn, turn), open_end=True,
                v_start_m=0.05, v_end_m=SLEEVES[garment.sleeves], blend_m=0.045,
            )  # fmt: skip
            continue
        narrow = 0.040 * unit * body.girth + 0.8 * loose
        cuff = 0.029 * unit * body.girth + 0.55 * loose
        yield limb(
            start, elbow, [(0.0, upper), (0.6, upper * 0.92), (1.0, narrow)], Material.SLEEVE,
            turn=(turn, turn), v_start_m=0.05, v_end_m=0.335, blend_m=0.045,
        )  # fmt: skip
        turn = facing(elbow, wrist, front)
        yield limb(
            elbow, elbow + (wrist - elbow) * 0.96, [(0.0, narrow), (0.35, narrow), (1.0, cuff)],
            Material.SLEEVE, turn=(turn, turn), open_end=True, v_start_m=0.335,
            v_end_m=0.575, blend_m=0.03,
        )  # fmt: skip


def _cut(knots: list[tuple[float, float]], length_m: float) -> np.ndarray:
    """A profile in metres down the body, cut off at a length."""
    whole = smooth_profile(knots, 128)
    places = np.linspace(knots[0][0], knots[-1][0], 128)
    return np.interp(np.linspace(0.0, length_m, 64), places, whole)
