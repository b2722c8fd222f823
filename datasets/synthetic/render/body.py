"""Bare arms and hands, legs with their clothes, shoes."""

from collections.abc import Iterator

import numpy as np

from datasets.synthetic.motion import Pose
from datasets.synthetic.render.ellipsoids import Ellipsoid
from datasets.synthetic.render.limbs import Figure, facing, limb, scaled, torso_axis
from datasets.synthetic.render.lofts import Loft, smooth_profile
from datasets.synthetic.render.materials import Material

_BARE_FROM = {"none": 0.0, "short": 0.55, "elbow": 0.86}  # share of the upper arm


def arms(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    """The parts of both arms that the sleeves leave bare, and the hands."""
    unit, girth = figure.body.unit, figure.body.girth
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, elbow, wrist, fingers = (
            pose.joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "fingers")
        )
        upper = scaled([(0.0, 0.049 * girth), (0.45, 0.046 * girth), (1.0, 0.037)], unit)
        lower = scaled([(0.0, 0.037), (0.25, 0.039 * girth), (0.7, 0.031), (1.0, 0.025)], unit)
        if figure.garment.sleeves != "long":
            begin = _BARE_FROM[figure.garment.sleeves]
            yield limb(
                shoulder + (elbow - shoulder) * begin,
                elbow,
                [(0.0, upper[1][1]), (1.0, upper[2][1])],
                Material.ARM,
                blend_m=0.02,
            )
            yield limb(elbow, wrist, lower, Material.ARM, blend_m=0.02)
        else:
            yield limb(
                elbow + (wrist - elbow) * 0.85,
                wrist,
                scaled([(0.0, 0.027), (1.0, 0.025)], unit),
                Material.ARM,
                blend_m=0.02,
            )
        yield from _hand(wrist, fingers, elbow, pose, sign, unit)


def _hand(
    wrist: np.ndarray, tips: np.ndarray, elbow: np.ndarray, pose: Pose, sign: float, unit: float
) -> Iterator[Loft]:
    onward = (tips - wrist) / np.linalg.norm(tips - wrist)
    front = np.array([np.sin(pose.chest_yaw), -0.15, np.cos(pose.chest_yaw)])
    thumbward = front - onward * float(front @ onward)
    if np.linalg.norm(thumbward) < 0.35:
        thumbward = np.array([-sign, 0.6, 0.0])
        thumbward = thumbward - onward * float(thumbward @ onward)
    # palms turn halfway towards the camera so that the fingers are visible
    thumbward = thumbward / np.linalg.norm(thumbward)
    aside = np.cross(onward, thumbward) * sign
    thumbward = 0.55 * thumbward + 0.83 * aside * -1.0
    thumbward = thumbward / np.linalg.norm(thumbward)
    knuckles = wrist + onward * 0.078 * unit
    palm = smooth_profile(scaled([(0.0, 0.024), (0.35, 0.033), (1.0, 0.035)], unit))
    yield Loft(
        start=wrist, end=knuckles, half_width=palm, half_depth=palm * 0.6,
        material=int(Material.HAND), blend_m=0.012,
    )  # fmt: skip
    finger = scaled([(0.0, 0.0098), (1.0, 0.0072)], unit)
    for place, length in ((0.024, 0.068), (0.008, 0.080), (-0.008, 0.075), (-0.023, 0.058)):
        base = knuckles + thumbward * place * unit - onward * 0.006 * unit
        tip = base + (onward + thumbward * place * 6.0) * length * unit
        yield limb(base, tip, finger, Material.HAND, blend_m=0.008)
    base = wrist + onward * 0.03 * unit + thumbward * 0.022 * unit
    tip = base + (onward * 0.75 + thumbward * 0.65) * 0.062 * unit
    yield limb(base, tip, scaled([(0.0, 0.0125), (1.0, 0.0085)], unit), Material.HAND, blend_m=0.01)


def lower_body(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    """Hips, legs, shoes, and trousers, shorts or a skirt over them."""
    body, unit, girth = figure.body, figure.body.unit, figure.body.girth
    joints = pose.joints
    _, down = torso_axis(figure, pose)
    pelvis, yaw = joints["pelvis"], pose.pelvis_yaw
    hips = 0.155 * (0.4 + 0.6 * body.hip_half / 0.088)
    width = [
        (0.0, 0.128 * body.waist), (0.35, 0.146), (0.65, hips), (0.88, hips), (1.0, hips * 0.92),
    ]  # fmt: skip
    depth = [(0.0, 0.095), (0.35, 0.104), (0.65, 0.112), (0.88, 0.108), (1.0, 0.09)]
    yield Loft(
        start=pelvis - down * 0.13 * unit,
        end=pelvis + down * 0.05 * unit,
        half_width=smooth_profile(width) * unit * (0.5 + 0.5 * girth),
        half_depth=smooth_profile(depth) * unit * (0.5 + 0.5 * girth),
        material=int(Material.LOWER),
        turn=(yaw, yaw),
        open_end=True,
        blend_m=0.04,
    )
    front = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    thick = {
        "slim": (0.0, 0.004, 0.004), "straight": (0.008, 0.016, 0.022), "wide": (0.014, 0.036, 0.06)
    }  # fmt: skip
    for side in ("left", "right"):
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        leg = [(0.0, 0.080 * girth), (0.45, 0.073 * girth), (1.0, 0.050)]
        calf = [(0.0, 0.050), (0.3, 0.054 * girth), (0.65, 0.041), (1.0, 0.033)]
        leg, calf = scaled(leg, unit), scaled(calf, unit)
        if figure.lower in thick:
            at_hip, at_knee, at_hem = thick[figure.lower]
            upper = [
                (0.0, leg[0][1] + at_hip), (0.5, leg[1][1] + at_hip), (1.0, leg[2][1] + at_knee),
            ]  # fmt: skip
            shank = [
                (0.0, leg[2][1] + at_knee),
                (0.3, calf[1][1] + at_knee * 0.8),
                (0.7, calf[2][1] + 0.5 * (at_knee + at_hem) + 0.004),
                (1.0, calf[3][1] + at_hem + 0.008),
            ]
            yield limb(
                hip,
                knee,
                upper,
                Material.LOWER,
                turn=(facing(hip, knee, front),) * 2,
                blend_m=0.04,
            )
            yield limb(
                knee, ankle + (knee - ankle) * 0.04, shank, Material.LOWER, open_end=True,
                turn=(facing(knee, ankle, front),) * 2, blend_m=0.03, v_start_m=0.42,
            )  # fmt: skip
            yield limb(
                knee + (ankle - knee) * 0.8,
                ankle,
                scaled([(0.0, 0.036), (1.0, 0.034)], unit),
                Material.LEG,
            )
        else:
            yield limb(hip, knee, leg, Material.LEG, blend_m=0.03)
            yield limb(knee, ankle, calf, Material.LEG, blend_m=0.03)
            if figure.lower == "shorts":
                cloth = [(0.0, leg[0][1] + 0.008), (1.0, leg[1][1] + 0.024)]
                yield limb(
                    hip,
                    hip + (knee - hip) * 0.66,
                    cloth,
                    Material.LOWER,
                    open_end=True,
                    blend_m=0.04,
                    turn=(facing(hip, knee, front),) * 2,
                )
        yield from _shoe(ankle, joints[f"{side}_toes"], unit)
    if figure.lower == "skirt":
        knees = 0.5 * (joints["left_knee"] + joints["right_knee"])
        spread = 0.5 * float(np.linalg.norm((joints["left_knee"] - joints["right_knee"])[[0, 2]]))
        hem = max(0.25 * unit, spread + 0.13 * unit)
        top = pelvis - down * 0.09 * unit
        fall = 0.55 * down + 0.45 * (knees - top) / np.linalg.norm(knees - top)
        end = top + fall * 0.47 * unit
        skirt = [(0.0, 0.132 * unit), (0.3, hips * unit + 0.014), (1.0, hem)]
        thin = [(0.0, 0.10 * unit), (0.3, 0.13 * unit), (1.0, 0.19 * unit)]
        yield Loft(
            start=top, end=end, half_width=smooth_profile(skirt), half_depth=smooth_profile(thin),
            material=int(Material.LOWER), turn=(yaw, yaw), open_end=True, blend_m=0.03, lift_m=0.15,
        )  # fmt: skip


def _shoe(ankle: np.ndarray, toes: np.ndarray, unit: float) -> Iterator[Ellipsoid]:
    forward = (toes - ankle) * np.array([1.0, 0.55, 1.0])
    forward = forward / np.linalg.norm(forward)
    side = np.cross([0.0, 1.0, 0.0], forward)
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(forward, side), forward], axis=1)
    sole = ankle - axes[:, 1] * 0.042 * unit
    for along, radii in ((0.075, (0.047, 0.038, 0.118)), (-0.012, (0.042, 0.045, 0.062))):
        yield Ellipsoid(
            center=sole + forward * along * unit,
            radii=(radii[0] * unit, radii[1] * unit, radii[2] * unit),
            rotation=axes,
            material=int(Material.SHOE),
            blend_m=0.02,
        )
