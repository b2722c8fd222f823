"""Light and shade by the shape of the body: limbs and torso are round.

A garment that lies flat shows none, so that an arm in front of a torso in the same cloth would
vanish. Where light comes from is unknown: edges are darker on both sides.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from models.places import ARMS, LOWER_ARMS

ARM_SIDES = tuple(zip(range(ARMS[0], LOWER_ARMS[0]), LOWER_ARMS, strict=True))
"""Groups of the left arm, and of the right one."""

_EDGE_LIGHT, _TORSO_EDGE_LIGHT = 0.8, 0.85
"""Of the full light: at the edge of a limb, and of the torso."""
_ROUND = 0.7
"""Of the largest distance from a limb's edge: where it is brightest."""
_TORSO_ROUND = 0.1
"""Of the picture's height: so far from its edge a torso is as bright as in its middle."""
_SMOOTH = 0.005
"""Of the picture's height: the spread that smoothes light."""
_MEAN_LIGHT = 0.965
"""Of clothed bodies, 0.959 to 0.969 of five: cloth as a whole stays as bright as its picture."""


def depth_inside(region: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Distance in px of each pixel of a region from its edge; 0 outside."""
    return cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 3)


def depth_of_limbs(limbs: Iterable[Bool[np.ndarray, "h w"]]) -> Float[np.ndarray, "h w"]:
    """``depth_inside`` of limbs one by one: where they cross, each keeps its edge."""
    return np.maximum.reduce([depth_inside(limb) for limb in limbs])


def limb_light(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """How bright each pixel of limbs is, 0..1 of the full light; 1 elsewhere.

    Args:
        depth: from ``depth_of_limbs``, of arms, or of arms and hands.
    """
    return _light(depth, _ROUND * float(depth.max()), _EDGE_LIGHT)


def cloth_light(groups: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 1"]:
    """How bright cloth is on each pixel of a body, in brightnesses of its picture; 1 on average.

    Args:
        groups: of ``datasets.places.group_of``; 0: nobody.
    """
    is_arm = (groups >= ARMS[0]) & (groups <= ARMS[1])
    depth = depth_inside((groups > 0) & ~is_arm)
    arms = depth_of_limbs(np.isin(groups, side) for side in ARM_SIDES)
    light = limb_light(arms) * _light(depth, _TORSO_ROUND * len(groups), _TORSO_EDGE_LIGHT)
    return cv2.GaussianBlur(light / _MEAN_LIGHT, (0, 0), _SMOOTH * len(groups))[..., None]


def _light(depth: np.ndarray, full: float, edge: float) -> np.ndarray:
    """Of pixels at a depth in px above 0, which are brightest from ``full`` on."""
    rise = np.clip(depth / max(full, 1.0), 0, 1)
    return np.where(depth > 0, edge + (1 - edge) * np.sqrt(1 - (1 - rise) ** 2), 1.0)
