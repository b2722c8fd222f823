"""Neck, head, face and hair as solids."""

from collections.abc import Callable, Iterator

import numpy as np

from datasets.synthetic.motion import Pose
from datasets.synthetic.render.ellipsoids import Ellipsoid
from datasets.synthetic.render.limbs import Figure, limb, scaled, torso_axis
from datasets.synthetic.render.lofts import Loft, smooth_profile
from datasets.synthetic.render.materials import Material


def neck_and_head(figure: Figure, pose: Pose) -> Iterator[Loft | Ellipsoid]:
    """Neck, skull, jaw, chin, nose, ears and hair; surface coordinates are the head's own."""
    unit = figure.body.unit
    size = unit * figure.body.head
    neck, head, turn = pose.joints["neck"], pose.joints["head"], pose.head_rotation
    jaw = head + turn @ np.array([0.0, -0.055, -0.025]) * size
    _, down = torso_axis(figure, pose)
    yield limb(
        jaw,
        neck + down * 0.02 * unit,
        scaled([(0.0, 0.049), (0.6, 0.051), (1.0, 0.062)], unit),
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


def _hair(
    style: str, part: Callable[..., Ellipsoid], pose: Pose, size: float
) -> Iterator[Loft | Ellipsoid]:
    head, turn = pose.joints["head"], pose.head_rotation
    fringe = {"fringe": 0.034, "bob": 0.048, "short": 0.066}.get(style, 0.070)
    nape = {"short": -0.075, "bun": -0.065, "ponytail": -0.065}.get(style, -0.095)

    def covers(own: np.ndarray) -> np.ndarray:
        x, y, z = own / size
        angle = np.abs(np.arctan2(x, z + 0.01))
        wave = 0.003 * np.sin(46 * x + 3) + 0.002 * np.sin(97 * x)
        line = np.interp(
            angle,
            [0.0, 0.55, 0.95, 1.35, 1.9, 3.2],
            [fringe, fringe - 0.004, 0.026, -0.016, -0.04, nape],
        )
        return y > line + wave

    thick = 0.026 if style == "curly" else 0.010
    yield part(
        (0.0, 0.026, -0.014),
        (0.079 + thick, 0.096 + thick, 0.096 + thick),
        Material.HAIR,
        keep=covers,
    )
    swing = 0.035 * np.sin(np.pi * pose.beat - 0.6)

    yaw = float(np.arctan2(turn[0, 2], turn[2, 2]))

    def strand(
        points: list[tuple[float, float, float]], knots: list[tuple[float, float]], flat: float
    ) -> Loft:
        places = [head + turn @ np.array(point) * size for point in points]
        profile = smooth_profile(scaled(knots, size))
        return Loft(
            start=places[0],
            end=places[1],
            half_width=profile,
            half_depth=profile * flat,
            material=int(Material.HAIR),
            turn=(yaw, yaw),
            blend_m=0.03,
        )

    if style in {"long", "fringe"}:
        ends = [(0.0, 0.03, -0.045), (0.25 * swing, -0.25, -0.075)]
        yield strand(ends, [(0.0, 0.078), (0.35, 0.096), (0.8, 0.092), (1.0, 0.062)], 0.55)
    elif style == "bob":
        ends = [(0.0, 0.02, -0.034), (0.15 * swing, -0.080, -0.056)]
        yield strand(ends, [(0.0, 0.082), (0.5, 0.098), (1.0, 0.086)], 0.62)
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
