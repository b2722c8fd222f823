"""Another colour for the garment of a clip, in its frames and its picture alike.

Paired training shows each dancer in one garment alone: a network can learn to know the garment by
the dancer and never look at its picture. After recolouring only the picture tells. The change is
one linear map of RGB: a turn of the hue about the gray axis, then a gain for each channel.

Ours; no paper. Off by default: real data has many garments, and prints have colours of their own.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from datasets.clips import ClipTracks

GAINS = (0.3, 1.2)


def recolour(tracks: ClipTracks, random: np.random.Generator) -> ClipTracks:
    """The tracks with a garment of another colour; the same map in every frame.

    Args:
        tracks: with ``garment_share`` and ``garment_picture_share``, decoded for this purpose.
        random: draws hue and gains.

    Raises:
        ValueError: the tracks do not say where the garment is.
    """
    if tracks.garment_share is None or tracks.garment_picture_share is None:
        raise ValueError("recolouring needs tracks that were decoded with their garment's region")
    matrix = draw_colour_map(random)
    video = [
        _blend(frame, share, matrix)
        for frame, share in zip(tracks.video, tracks.garment_share, strict=True)
    ]
    garment = _blend(tracks.garment, tracks.garment_picture_share, matrix)
    return replace(tracks, video=np.stack(video), garment=garment)


def draw_colour_map(random: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """A hue turn (Rodrigues' rotation about the gray axis) followed by a gain per channel."""
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
