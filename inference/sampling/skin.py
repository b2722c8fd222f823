"""Bare arms and necks in a plain skin tone, where the new garment leaves free what the old one hid.

A small model has never seen what lies under a sleeve; enlarged, its arms are smears. These are
shaded by their shape alone, in the colour of the person's own hands or face. Not part of
VITON-DiT, and no likeness: nobody knows how an arm under a sleeve looks.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from datasets.labels import DensePosePart
from datasets.places import group_of
from inference.sampling.shading import ARM_SIDES, depth_of_limbs, limb_light
from models.places import TORSO

HANDS = (DensePosePart.HAND_LEFT, DensePosePart.HAND_RIGHT)
"""In the order of ``ARM_SIDES``."""
FACE = (DensePosePart.HEAD_LEFT, DensePosePart.HEAD_RIGHT)
SKIN = (*HANDS, *FACE)
_LEAST_PIXELS = 40
_TYPICAL = (60, 95)
"""Percentiles of brightness: of the redder half of the pixels."""
_SKIN_CR, _SKIN_CB = (136, 178), (80, 125)
"""Of skin in any light, in 8-bit YCrCb (Chai and Ngan 1999, doi 10.1109/76.767122, widened)."""
_NECK_LIGHT = 0.92
"""Of the skin's own brightness: under a chin."""
_ARM_LIGHT = 0.95
"""Of the skin's own brightness: of an arm that is shaded by its shape."""
_THINNEST, _THINNEST_LIMB = 0.02, 0.4
"""Of the picture's height, and of the thickest limb's breadth: bare strips that are thinner than
both are the edge of a sleeve."""


def find_skin(
    frames: UInt8[np.ndarray, "t h w 3"],
    parts: UInt8[np.ndarray, "t h w"],
    masks: Bool[np.ndarray, "t h w"],
    where: tuple[DensePosePart, ...] = SKIN,
) -> Float[np.ndarray, "3"] | None:
    """The colour of somebody's skin, of hands and face; None if neither is in view.

    Args:
        frames: painted ones, whose unmasked part is the source's.
        parts: DensePose's.
        masks: where frames were painted.
        where: parts to look at.
    """
    tones = cv2.cvtColor(frames.reshape(-1, frames.shape[2], 3), cv2.COLOR_RGB2YCrCb)
    tones = tones.reshape(frames.shape)
    is_skin = ~masks
    for channel, (low, high) in ((1, _SKIN_CR), (2, _SKIN_CB)):
        is_skin &= (tones[..., channel] >= low) & (tones[..., channel] <= high)
    found = frames[is_skin & _is_part(parts, where)]
    if len(found) < _LEAST_PIXELS * len(frames):
        return None
    # edges, beards and shadows are darker than the middle of a hand or a cheek, eyes are less red
    red = cv2.cvtColor(found[None], cv2.COLOR_RGB2YCrCb)[0, :, 1]
    found = found[red >= np.median(red)]
    light = found.sum(axis=1, dtype=np.int32)
    low, high = np.percentile(light, _TYPICAL)
    return found[(light >= low) & (light <= high)].mean(axis=0).astype(np.float32)


def tone_of_arms(
    frames: UInt8[np.ndarray, "t h w 3"], bare: Bool[np.ndarray, "t h w"]
) -> Float[np.ndarray, "3"] | None:
    """The colour of arms that are bare; None if hardly any are. They are shaded already.

    Args:
        frames: the source's.
        bare: where they show bare arms.
    """
    found = frames[bare]
    if len(found) < _LEAST_PIXELS * len(frames):
        return None
    return (np.median(found, axis=0) / _ARM_LIGHT).astype(np.float32)


def paint_skin(
    frame: UInt8[np.ndarray, "h w 3"],
    parts: UInt8[np.ndarray, "h w"],
    is_cloth: Bool[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    tone: Float[np.ndarray, "3"],
    neck_tone: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "h w 3"]:
    """A frame with bare arms, and a bare neck above the cloth, in a skin tone.

    Args:
        frame: enlarged.
        parts: DensePose's.
        is_cloth: where the new garment is.
        mask: where the frame was painted.
        tone: from ``find_skin``.
        neck_tone: the same of the face, which may be in another light than hands.
    """
    groups = group_of(parts)
    sides = [
        np.isin(groups, arm) | ((parts == hand) & mask)
        for arm, hand in zip(ARM_SIDES, HANDS, strict=True)
    ]
    limbs = sides[0] | sides[1]
    neck = (groups == TORSO) & (np.cumsum(is_cloth, axis=0) == 0) & is_cloth.any(axis=0)
    neck |= _is_part(parts, FACE)
    depth = depth_of_limbs(sides)
    light = np.where(limbs, limb_light(depth), _NECK_LIGHT).astype(np.float32)
    bare = ((limbs | neck) & ~is_cloth & mask).astype(np.uint8)
    thickest = 2 * float(depth.max()) or len(bare)
    thinnest = min(_THINNEST * len(bare), _THINNEST_LIMB * thickest)
    size = 2 * max(1, round(thinnest / 2)) + 1
    bare = cv2.morphologyEx(bare, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    soft = cv2.GaussianBlur(bare.astype(np.float32), (0, 0), size / 4)[..., None]
    light = cv2.GaussianBlur(light, (0, 0), size / 4)[..., None]
    colours = np.where(limbs[..., None], tone, neck_tone)
    return frame + soft * (colours * light - frame)


def _is_part(parts: np.ndarray, wanted: tuple[DensePosePart, ...]) -> np.ndarray:
    return np.isin(parts, [int(part) for part in wanted])
