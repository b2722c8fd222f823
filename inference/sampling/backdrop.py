"""The background beside a painted body: the colours around the mask, continued into it.

A mask is wider than a body, and a bare arm narrower than the old sleeve. A small network paints the
mean of all backgrounds there, which shows as a gray rim.
"""

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, UInt8

from models.cloth import fill_ground

_PERSON_EDGE = 0.012
"""Of the picture's height: pixels this near to a body may show hair or loose cloth."""
_RIM = 0.004
"""Of the picture's height: a body's edge, which cloth and skin are mixed with."""
_LEAST_BODY = 0.4
"""Of the mask: with less body in it, DensePose missed somebody."""


def fill_backdrop(
    frames: UInt8[np.ndarray, "t h w 3"],
    source: UInt8[np.ndarray, "t h w 3"],
    masks: Bool[np.ndarray, "t h w"],
    seen: UInt8[np.ndarray, "t h w"],
    parts: UInt8[np.ndarray, "t h w"],
    ground: Bool[np.ndarray, "t h w"] | None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Painted frames whose masked background continues the source's around the mask.

    Args:
        frames: painted.
        source: the video's own frames.
        masks: where frames were painted.
        seen: DensePose's parts, which hide the background.
        parts: the same of the body as it is to be shown: it may be slimmer.
        ground: what ``source`` shows of the background, certainly; None: what is far from a body.
    """
    known = ~masks & ~_near(seen > 0, _PERSON_EDGE) if ground is None else ~_near(~ground, _RIM)
    share = torch.from_numpy(known[:, None].astype(np.float32))
    colours = rearrange(torch.from_numpy(source.astype(np.float32)), "t h w c -> t c h w")
    filled = fill_ground(torch.cat([colours * share, share], dim=1))[:, :3].numpy()
    filled = np.rint(np.moveaxis(filled, 1, -1)).astype(np.uint8)
    beside = masks & _near(parts == 0, _RIM)
    body = (masks & (parts > 0)).sum(axis=(1, 2)) >= _LEAST_BODY * masks.sum(axis=(1, 2))
    beside &= (body & known.any(axis=(1, 2)))[:, None, None]
    return np.where(beside[..., None], filled, frames)


def _near(region: Bool[np.ndarray, "t h w"], reach: float) -> Bool[np.ndarray, "t h w"]:
    """The region and what is this near to it, in heights of the picture."""
    size = 2 * max(1, round(reach * region.shape[1])) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.stack([cv2.dilate(row.astype(np.uint8), disc) > 0 for row in region])
