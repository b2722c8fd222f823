"""Recolour the garment of a clip, in its frames and its picture alike.

Paired training shows each dancer in only one garment, so a network can learn to infer the garment
from the dancer and ignore its picture. After recolouring only the picture gives the colour. The
change is one linear map of RGB: a hue rotation about the gray axis, then a gain per channel.

Ours; no paper. Off by default: real data has many garments, and prints have their own colours.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from datasets.clips import ClipTracks

GAINS = (0.3, 1.2)


def recolour(tracks: ClipTracks, random: np.random.Generator) -> ClipTracks:
    """The tracks with a recoloured garment; the same map in every frame.

    Args:
        tracks: with ``garment_share`` and ``garment_picture_share``.
        random: draws hue and gains.

    Raises:
        ValueError: the tracks lack the garment's region.
    """
    if tracks.garment_share is None or tracks.garment_picture_share is None:
        raise ValueError("recolouring needs tracks decoded with their garment's region")
    matrix = draw_colour_map(random)
    video = [
        _blend(frame, share, matrix)
        for frame, share in zip(tracks.video, tracks.garment_share, strict=True)
    ]
    garment = _blend(tracks.garment, tracks.garment_picture_share, matrix)
    return replace(tracks, video=np.stack(video), garment=garment)


def draw_colour_map(random: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A hue rotation (Rodrigues' formula about the gray axis) followed by a gain per channel."""
    angle = random.uniform(0.0, 2.0 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle) / math.sqrt(3.0)
    cross = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    rotation = cosine * np.eye(3) + sine * cross + (1.0 - cosine) / 3.0 * np.ones((3, 3))
    gains = random.uniform(*GAINS, size=3)
    return gains[:, None] * rotation


def _blend(
    image: UInt8[np.ndarray, "h w 3"],
    share: UInt8[np.ndarray, "h w"],
    matrix: Float[np.ndarray, "3 3"],
) -> UInt8[np.ndarray, "h w 3"]:
    changed = cv2.transform(image.astype(np.float32), matrix.astype(np.float32))
    weight = share[..., None].astype(np.float32) / 255.0
    mixed = weight * np.clip(changed, 0.0, 255.0) + (1.0 - weight) * image
    return np.rint(mixed).astype(np.uint8)
