"""A dancer's pose and clothes -> the solids that the renderer draws."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from datasets.parts import ParseLabel
from datasets.rendering import Camera, Ellipsoid, Loft, SurfaceBuffer, smooth_profile
from datasets.synthetic_garments import GarmentSpec
from datasets.synthetic_motion import Body, Pose


class Material(IntEnum):
    """What a pixel of the figure is made of."""

    NOTHING = 0
    FACE = 1
    HEAD_SKIN = 2
    NECK = 3
    HAIR = 4
    TORSO = 5
    SLEEVE = 6
    LOWER = 7
    ARM = 8
    HAND = 9
    LEG = 10
    SHOE = 11


LABEL_OF_MATERIAL = np.array(
    [
        ParseLabel.BACKGROUND, ParseLabel.FACE, ParseLabel.FACE, ParseLabel.FACE, ParseLabel.HAIR,
        ParseLabel.UPPER, ParseLabel.UPPER, ParseLabel.LOWER, ParseLabel.ARMS, ParseLabel.HANDS,
        ParseLabel.LEGS, ParseLabel.FEET,
    ],
    np.uint8,
)  # fmt: skip
"""The parse label of each material; a bare neck counts as face, as in LIP-trained parsers."""

GROUPS = np.array([0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7], np.uint8)
"""Materials of equal group melt into each other at joints."""

HAIR_STYLES = ("short", "bob", "long", "ponytail", "bun", "curly", "fringe")
LOWER_STYLES = ("slim", "straight", "wide", "shorts", "skirt")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a dancer's solids depend on besides the pose."""

    body: Body
    hair: str
    lower: str
    garment: GarmentSpec


def draw_figure(buffer: SurfaceBuffer, figure: Figure, pose: Pose, camera: Camera) -> None:
    """Draw a clothed dancer."""
    for solid in _solids(figure, pose):
        _draw(buffer, solid, camera)


def draw_garment_alone(buffer: SurfaceBuffer, figure: Figure, pose: Pose, camera: Camera) -> None:
    """Draw only the upper garment that the figure wears, as if nobody were in it."""
    for solid in _upper_garment(figure, pose):
        _draw(buffer, solid, camera)


def _draw(buffer: SurfaceBuffer, solid: Loft | Ellipsoid, camera: Camera) -> None:
    if isinstance(solid, Loft):
        buffer.draw_loft(solid, camera)
    else:
        buffer.draw_ellipsoid(solid, camera)


def _solids(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    yield from _lower_body(figure, pose)
    yield from _arms(figure, pose)
    yield from _neck_and_head(figure, pose)
    yield from _upper_garment(figure, pose)


def _limb(
    start: np.ndarray,
    end: np.ndarray,
    knots: list[tuple[float, float]],
    material: Material,
    **settings: object,
) -> Loft:
    profile = smooth_profile(knots)
    return Loft(
        start=start,
        end=end,
        half_width=profile,
        half_depth=profile,
        material=int(material),
        **settings,  # pyright: ignore[reportArgumentType]
    )


def _facing(start: np.ndarray, end: np.ndarray, front: np.ndarray) -> float:
    """The yaw of a limb's cross-section whose front points along ``front``."""
    axis = (end - start) / np.linalg.norm(end - start)
    flat = float(np.hypot(axis[0], axis[1]))
    if flat < 1e-3:
        return 0.0
    side = np.array([-axis[1], axis[0], 0.0]) / flat
    toward = np.cross(side, axis)
    toward = toward if toward[2] >= 0 else -toward
    return float(np.arctan2(front @ side, front @ toward))


def _torso_axis(figure: Figure, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Collar and unit vector down the torso."""
    neck, pelvis = pose.joints["neck"], pose.joints["pelvis"]
    down = (pelvis - neck) / np.linalg.norm(pelvis - neck)
    return neck - down * 0.022 * figure.body.unit, down


def _upper_garment(figure: Figure, pose: Pose) -> Iterator[Loft]:
    body, garment, unit = figure.body, figure.garment, figure.body.unit
    collar, down = _torso_axis(figure, pose)
    length = garment.length_m * unit
    shoulder, ease = body.shoulder_half / 0.172, 0.006 + 0.010 * garment.fit
    waist = (0.128 + 0.014 * garment.fit) * body.waist
    hips = 0.164 * (0.4 + 0.6 * body.hip_half / 0.088)
    flare = 0.008 + 0.012 * garment.fit
    width = [
        (0.0, 0.060), (0.022, 0.072), (0.045, 0.108 * shoulder), (0.075, 0.150 * shoulder),
        (0.105, 0.172 * shoulder), (0.15, 0.168 * shoulder + ease), (0.23, 0.156 * shoulder + ease),
        (0.37, waist + ease), (0.50, hips + ease), (0.60, hips + ease + flare), (0.70, hips + ease + flare),
    ]  # fmt: skip
    depth = [
        (0.0, 0.056), (0.03, 0.066), (0.07, 0.082), (0.14, 0.102 + ease),
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
        turn = _facing(start, elbow, front)
        if not garment.long_sleeves:
            knots = [(0.0, upper), (0.5, upper * 0.97), (1.0, upper * 1.03)]
            end = start + (elbow - start) * 0.62
            yield _limb(
                start, end, knots, Material.SLEEVE, turn=(turn, turn), open_end=True,
                v_start_m=0.05, v_end_m=0.225, blend_m=0.045,
            )  # fmt: skip
            continue
        narrow = 0.040 * unit * body.girth + 0.8 * loose
        cuff = 0.029 * unit * body.girth + 0.55 * loose
        yield _limb(
            start, elbow, [(0.0, upper), (0.6, upper * 0.92), (1.0, narrow)], Material.SLEEVE,
            turn=(turn, turn), v_start_m=0.05, v_end_m=0.335, blend_m=0.045,
        )  # fmt: skip
        turn = _facing(elbow, wrist, front)
        yield _limb(
            elbow, elbow + (wrist - elbow) * 0.96, [(0.0, narrow), (0.35, narrow), (1.0, cuff)],
            Material.SLEEVE, turn=(turn, turn), open_end=True, v_start_m=0.335,
            v_end_m=0.575, blend_m=0.03,
        )  # fmt: skip


def _cut(knots: list[tuple[float, float]], length_m: float) -> np.ndarray:
    """A profile given in metres down the body, cut off at a length."""
    whole = smooth_profile(knots, 128)
    places = np.linspace(knots[0][0], knots[-1][0], 128)
    return np.interp(np.linspace(0.0, length_m, 64), places, whole)


def _lower_body(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    body, unit, girth = figure.body, figure.body.unit, figure.body.girth
    joints = pose.joints
    _, down = _torso_axis(figure, pose)
    pelvis, yaw = joints["pelvis"], pose.pelvis_yaw
    hips = 0.155 * (0.4 + 0.6 * body.hip_half / 0.088)
    width = [
        (0.0, 0.128 * body.waist),
        (0.35, 0.146),
        (0.65, hips),
        (0.88, hips),
        (1.0, hips * 0.92),
    ]
    depth = [(0.0, 0.095), (0.35, 0.104), (0.65, 0.112), (0.88, 0.108), (1.0, 0.09)]
    yield Loft(
        start=pelvis - down * 0.13 * unit,
        end=pelvis + down * 0.085 * unit,
        half_width=smooth_profile(width) * unit * (0.5 + 0.5 * girth),
        half_depth=smooth_profile(depth) * unit * (0.5 + 0.5 * girth),
        material=int(Material.LOWER),
        turn=(yaw, yaw),
        blend_m=0.04,
    )
    front = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    thick = {
        "slim": (0.0, 0.004, 0.004),
        "straight": (0.008, 0.016, 0.022),
        "wide": (0.014, 0.036, 0.06),
    }
    for side in ("left", "right"):
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        leg = [(0.0, 0.080 * girth), (0.45, 0.073 * girth), (1.0, 0.050)]
        calf = [(0.0, 0.050), (0.3, 0.054 * girth), (0.65, 0.041), (1.0, 0.033)]
        leg, calf = _scaled(leg, unit), _scaled(calf, unit)
        if figure.lower in thick:
            at_hip, at_knee, at_hem = thick[figure.lower]
            upper = [
                (0.0, leg[0][1] + at_hip),
                (0.5, leg[1][1] + at_hip),
                (1.0, leg[2][1] + at_knee),
            ]
            shank = [
                (0.0, leg[2][1] + at_knee), (0.3, calf[1][1] + at_knee * 0.8),
                (0.7, calf[2][1] + 0.5 * (at_knee + at_hem) + 0.004), (1.0, calf[3][1] + at_hem + 0.008),
            ]  # fmt: skip
            yield _limb(
                hip,
                knee,
                upper,
                Material.LOWER,
                turn=(_facing(hip, knee, front),) * 2,
                blend_m=0.04,
            )
            yield _limb(
                knee, ankle + (knee - ankle) * 0.04, shank, Material.LOWER, open_end=True,
                turn=(_facing(knee, ankle, front),) * 2, blend_m=0.03, v_start_m=0.42,
            )  # fmt: skip
            yield _limb(
                knee + (ankle - knee) * 0.8,
                ankle,
                _scaled([(0, 0.036), (1, 0.034)], unit),
                Material.LEG,
            )
        else:
            yield _limb(hip, knee, leg, Material.LEG, blend_m=0.03)
            yield _limb(knee, ankle, calf, Material.LEG, blend_m=0.03)
            if figure.lower == "shorts":
                cloth = [(0.0, leg[0][1] + 0.008), (1.0, leg[1][1] + 0.024)]
                yield _limb(
                    hip, hip + (knee - hip) * 0.66, cloth, Material.LOWER, open_end=True, blend_m=0.04,
                    turn=(_facing(hip, knee, front),) * 2,
                )  # fmt: skip
        yield from _shoe(ankle, joints[f"{side}_toes"], unit)
    if figure.lower == "skirt":
        knees = 0.5 * (joints["left_knee"] + joints["right_knee"])
        spread = 0.5 * float(np.linalg.norm((joints["left_knee"] - joints["right_knee"])[[0, 2]]))
        hem = max(0.24 * unit, spread + 0.10 * unit)
        top = pelvis - down * 0.09 * unit
        end = top + (knees - top) * 0.94
        skirt = [(0.0, 0.132 * unit), (0.3, hips * unit + 0.014), (1.0, hem)]
        thin = [(0.0, 0.10 * unit), (0.3, 0.13 * unit), (1.0, 0.19 * unit)]
        yield Loft(
            start=top, end=end, half_width=smooth_profile(skirt), half_depth=smooth_profile(thin),
            material=int(Material.LOWER), turn=(yaw, yaw), open_end=True, blend_m=0.03,
        )  # fmt: skip


def _scaled(knots: list[tuple[float, float]], unit: float) -> list[tuple[float, float]]:
    return [(place, value * unit) for place, value in knots]


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


def _arms(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    unit, girth = figure.body.unit, figure.body.girth
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, elbow, wrist, fingers = (
            pose.joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "fingers")
        )
        upper = _scaled([(0.0, 0.049 * girth), (0.45, 0.046 * girth), (1.0, 0.037)], unit)
        lower = _scaled([(0.0, 0.037), (0.25, 0.039 * girth), (0.7, 0.031), (1.0, 0.025)], unit)
        if not figure.garment.long_sleeves:
            yield _limb(
                shoulder + (elbow - shoulder) * 0.3,
                elbow,
                [(0.0, upper[1][1]), (1.0, upper[2][1])],
                Material.ARM,
                blend_m=0.02,
            )
            yield _limb(elbow, wrist, lower, Material.ARM, blend_m=0.02)
        else:
            yield _limb(
                elbow + (wrist - elbow) * 0.85,
                wrist,
                _scaled([(0, 0.027), (1, 0.025)], unit),
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
    # palms turn half towards the camera so that the fan of fingers shows
    thumbward = thumbward / np.linalg.norm(thumbward)
    aside = np.cross(onward, thumbward) * sign
    thumbward = 0.55 * thumbward + 0.83 * aside * -1.0
    thumbward = thumbward / np.linalg.norm(thumbward)
    knuckles = wrist + onward * 0.078 * unit
    palm = smooth_profile(_scaled([(0.0, 0.024), (0.35, 0.033), (1.0, 0.035)], unit))
    yield Loft(
        start=wrist, end=knuckles, half_width=palm, half_depth=palm * 0.6,
        material=int(Material.HAND), blend_m=0.012,
    )  # fmt: skip
    finger = _scaled([(0.0, 0.0098), (1.0, 0.0072)], unit)
    for place, length in ((0.024, 0.068), (0.008, 0.080), (-0.008, 0.075), (-0.023, 0.058)):
        base = knuckles + thumbward * place * unit - onward * 0.006 * unit
        tip = base + (onward + thumbward * place * 6.0) * length * unit
        yield _limb(base, tip, finger, Material.HAND, blend_m=0.008)
    base = wrist + onward * 0.03 * unit + thumbward * 0.022 * unit
    tip = base + (onward * 0.75 + thumbward * 0.65) * 0.062 * unit
    yield _limb(
        base, tip, _scaled([(0.0, 0.0125), (1.0, 0.0085)], unit), Material.HAND, blend_m=0.01
    )


def _neck_and_head(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    unit = figure.body.unit
    size = unit * figure.body.head
    neck, head, turn = pose.joints["neck"], pose.joints["head"], pose.head_rotation
    jaw = head + turn @ np.array([0.0, -0.055, -0.025]) * size
    _, down = _torso_axis(figure, pose)
    yield _limb(
        jaw,
        neck + down * 0.02 * unit,
        _scaled([(0.0, 0.050), (0.6, 0.052), (1.0, 0.066)], unit),
        Material.NECK,
    )

    def part(
        center: tuple[float, float, float],
        radii: tuple[float, float, float],
        material: Material,
        **settings: object,
    ) -> Ellipsoid:
        offset = np.array(center)
        return Ellipsoid(
            center=head + turn @ offset * size,
            radii=(radii[0] * size, radii[1] * size, radii[2] * size),
            rotation=turn,
            material=int(material),
            origin=offset * size,
            **settings,  # pyright: ignore[reportArgumentType]
        )

    skin = {"back_material": int(Material.HEAD_SKIN), "blend_m": 0.03}
    yield part((0.0, 0.022, -0.008), (0.077, 0.093, 0.092), Material.FACE, **skin)
    yield part((0.0, -0.042, 0.018), (0.059, 0.074, 0.068), Material.FACE, **skin)
    yield part((0.0, -0.085, 0.040), (0.026, 0.028, 0.032), Material.FACE, **skin)
    yield part((0.0, -0.028, 0.086), (0.0125, 0.013, 0.018), Material.FACE, blend_m=0.012)
    yield part((0.0, -0.006, 0.082), (0.0085, 0.030, 0.010), Material.FACE, blend_m=0.012)
    for side in (-1.0, 1.0):
        yield part((side * 0.078, -0.008, -0.012), (0.012, 0.029, 0.018), Material.HEAD_SKIN)
    yield from _hair(figure.hair, part, pose, size)


def _hair(style: str, part: object, pose: Pose, size: float) -> Iterator[Loft | Ellipsoid]:
    assert callable(part)
    head, turn = pose.joints["head"], pose.head_rotation
    fringe = {"fringe": 0.034, "bob": 0.048, "short": 0.066}.get(style, 0.070)
    nape = {"short": -0.075, "bun": -0.065, "ponytail": -0.065}.get(style, -0.095)

    def covers(own: np.ndarray) -> np.ndarray:
        x, y, z = own / size
        angle = np.abs(np.arctan2(x, z + 0.01))
        wave = 0.006 * np.sin(46 * x + 3) + 0.004 * np.sin(97 * x)
        line = np.interp(
            angle,
            [0.0, 0.55, 0.95, 1.35, 1.9, 3.2],
            [fringe, fringe - 0.004, 0.026, -0.016, -0.04, nape],
        )
        return y > line + wave

    thick = 0.026 if style == "curly" else 0.010
    yield part(
        (0.0, 0.026, -0.014), (0.079 + thick, 0.096 + thick, 0.096 + thick), Material.HAIR, keep=covers
    )  # fmt: skip
    swing = 0.035 * np.sin(np.pi * pose.beat - 0.6)

    def strand(
        points: list[tuple[float, float, float]], knots: list[tuple[float, float]], flat: float
    ) -> Loft:
        places = [head + turn @ np.array(point) * size for point in points]
        profile = smooth_profile(_scaled(knots, size))
        return Loft(
            start=places[0], end=places[1], half_width=profile, half_depth=profile * flat,
            material=int(Material.HAIR), turn=(float(np.arctan2(turn[0, 2], turn[2, 2])),) * 2, blend_m=0.03,
        )  # fmt: skip

    if style in {"long", "fringe"}:
        ends = [(0.0, 0.03, -0.045), (0.25 * swing, -0.25, -0.075)]
        yield strand(ends, [(0.0, 0.078), (0.35, 0.096), (0.8, 0.092), (1.0, 0.062)], 0.55)
    elif style == "bob":
        ends = [(0.0, 0.02, -0.030), (0.15 * swing, -0.088, -0.034)]
        yield strand(ends, [(0.0, 0.082), (0.5, 0.098), (1.0, 0.088)], 0.72)
    elif style == "ponytail":
        yield part((0.0, 0.06, -0.105), (0.028, 0.028, 0.03), Material.HAIR, blend_m=0.02)
        middle = (0.5 * swing, -0.06, -0.15)
        yield strand([(0.0, 0.06, -0.11), middle], [(0.0, 0.024), (0.6, 0.036), (1.0, 0.036)], 1.0)
        yield strand(
            [middle, (2.2 * swing, -0.20, -0.13)], [(0.0, 0.036), (0.5, 0.03), (1.0, 0.010)], 1.0
        )
    elif style == "bun":
        yield part((0.0, 0.125, -0.045), (0.042, 0.036, 0.042), Material.HAIR, blend_m=0.01)
    elif style == "curly":
        for turn_angle in np.linspace(-2.4, 2.4, 9):
            spot = (0.082 * np.sin(turn_angle), 0.052 + 0.07 * np.cos(turn_angle), -0.028)
            yield part(spot, (0.038, 0.038, 0.05), Material.HAIR, blend_m=0.012)
