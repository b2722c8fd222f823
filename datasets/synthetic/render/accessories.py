"""What a dancer wears or holds beside clothes: a belt on the trousers, a bag in a hand."""

from collections.abc import Iterator

import numpy as np

from datasets.synthetic.motion import Pose
from datasets.synthetic.render.limbs import Figure, limb, scaled, torso_axis
from datasets.synthetic.render.lofts import Loft, smooth_profile
from datasets.synthetic.render.materials import Material

_SIZES = {  # half width, half depth, height, length of the handles; metres
    "handbag": (0.14, 0.055, 0.20, 0.13), "shopper": (0.17, 0.06, 0.36, 0.20),
    "clutch": (0.13, 0.03, 0.15, 0.0),
}  # fmt: skip


def belt(figure: Figure, pose: Pose) -> Iterator[Loft]:
    """A belt around the waistband, over the end of a top that is tucked in."""
    if not figure.belt:
        return
    body, unit = figure.body, figure.body.unit
    _, down = torso_axis(figure, pose)
    pelvis, yaw = pose.joints["pelvis"], pose.pelvis_yaw
    size = unit * (0.5 + 0.5 * body.girth)
    width = scaled([(0.0, 0.138 * body.waist), (1.0, 0.150)], size)
    depth = scaled([(0.0, 0.108), (1.0, 0.114)], size)
    nearer = np.array([0.0, 0.0, 0.055])  # tops are lifted towards the camera at their hems
    yield Loft(
        start=pelvis - down * 0.125 * unit + nearer, end=pelvis - down * 0.078 * unit + nearer,
        half_width=smooth_profile(width), half_depth=smooth_profile(depth),
        material=int(Material.BELT), turn=(yaw, yaw), open_start=True, open_end=True,
    )  # fmt: skip


def held_bag(figure: Figure, pose: Pose) -> Iterator[Loft]:
    """A bag that hangs from a hand by its handles, or a clutch in the hand."""
    if not figure.bag:
        return
    half_width, half_depth, height, handles = _SIZES[figure.bag]
    wrist, tips = (pose.joints[f"{figure.bag_side}_{name}"] for name in ("wrist", "fingers"))
    grip = wrist + 0.6 * (tips - wrist)
    down = np.array([0.0, -1.0, 0.0])
    if not handles:
        onward = (tips - wrist) / np.linalg.norm(tips - wrist)
        grip, down = tips - onward * 0.05, onward
    top = grip + down * handles
    yaw = pose.chest_yaw + 0.4
    across = np.array([np.cos(yaw), 0.0, -np.sin(yaw)]) * half_width * 0.6
    if handles:
        for place in (-1.0, 1.0):
            yield limb(grip, top + across * place, [(0.0, 0.007), (1.0, 0.007)], Material.BAG)
    shape = [(0.0, 0.86 * half_width), (0.5, half_width), (1.0, 0.97 * half_width)]
    yield Loft(
        start=top, end=top + down * height, half_width=smooth_profile(shape),
        half_depth=np.full(48, half_depth), material=int(Material.BAG), turn=(yaw, yaw),
        open_start=True, open_end=True,
    )  # fmt: skip
