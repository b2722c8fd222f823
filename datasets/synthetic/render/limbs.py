"""A figure, and what all its solids share: limbs, the torso's axis, scaled profiles."""

from dataclasses import dataclass

import numpy as np

from datasets.synthetic.garments import GarmentSpec
from datasets.synthetic.motion import Body, Pose
from datasets.synthetic.render.lofts import Loft, smooth_profile
from datasets.synthetic.render.materials import Material

HAIR_STYLES = ("short", "bob", "long", "ponytail", "bun", "curly", "fringe")
LOWER_STYLES = ("slim", "straight", "wide", "shorts", "skirt")
BAGS = ("", "handbag", "shopper", "clutch")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Everything that a dancer's solids depend on, except the pose.

    ``bag`` is one of BAGS, in the hand of ``bag_side``; "" is none.
    """

    body: Body
    hair: str
    lower: str
    garment: GarmentSpec
    belt: bool = False
    bag: str = ""
    bag_side: str = "right"


def limb(
    start: np.ndarray,
    end: np.ndarray,
    knots: list[tuple[float, float]],
    material: Material,
    **settings: object,
) -> Loft:
    """A round solid with a half width given by (place in 0..1, metres) knots."""
    profile = smooth_profile(knots)
    return Loft(
        start=start,
        end=end,
        half_width=profile,
        half_depth=profile,
        material=int(material),
        **settings,  # pyright: ignore[reportArgumentType]
    )


def facing(start: np.ndarray, end: np.ndarray, front: np.ndarray) -> float:
    """The yaw of a limb's cross-section whose front points along ``front``."""
    axis = (end - start) / np.linalg.norm(end - start)
    flat = float(np.hypot(axis[0], axis[1]))
    if flat < 1e-3:
        return 0.0
    side = np.array([-axis[1], axis[0], 0.0]) / flat
    toward = np.cross(side, axis)
    toward = toward if toward[2] >= 0 else -toward
    return float(np.arctan2(front @ side, front @ toward))


def torso_axis(figure: Figure, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """The collar, and the unit vector down the torso."""
    neck, pelvis = pose.joints["neck"], pose.joints["pelvis"]
    down = (pelvis - neck) / np.linalg.norm(pelvis - neck)
    return neck - down * 0.022 * figure.body.unit, down


def scaled(knots: list[tuple[float, float]], unit: float) -> list[tuple[float, float]]:
    """Knots with their values multiplied by ``unit``."""
    return [(place, value * unit) for place, value in knots]
