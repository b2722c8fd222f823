"""How a painted frame meets the source's: a soft seam, and the source's own background."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from datasets.masks import MaskSettings

_FEATHER = 0.75 * MaskSettings().widening
"""Width of paste-back's seam, as a share of the square root of the painted area: narrower than the
masks' margin around a garment, or the old garment's edge would show through."""
_MOST_BESIDE = 0.6
"""Of the mask: if more of it lies beside the person, DensePose missed them."""
_GROUND_EDGE = 0.004
"""Of the frame's height: pixels this near to the person may be mixed with the old garment."""


def paste(
    source: UInt8[np.ndarray, "h w 3"],
    painted: UInt8[np.ndarray, "h w 3"],
    mask: UInt8[np.ndarray, "h w"],
    person: UInt8[np.ndarray, "h w"] | None = None,
    ground: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """The source where the mask is 0, exactly; inside it a seam that fades into the painting.

    Args:
        source: a frame.
        painted: the same frame, painted.
        mask: above 127 = painted.
        person: above 127 = somebody. What is masked beside them is background, which the source
            knows better than a small network: it stays, from a seam's width on. None, or a mask
            that shows hardly anybody: all of the mask is painted.
        ground: what the source shows of the background, certainly; it stays. None: unknown.
    """
    inside = (mask > 127).astype(np.uint8)
    if not inside.any():
        return source.copy()
    feather = max(1.0, _FEATHER * float(np.sqrt(np.count_nonzero(inside))))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    alpha = np.clip(depth / feather, 0, 1)[..., None]
    if person is not None:
        nobody = (person <= 127).astype(np.uint8)
        if np.count_nonzero(nobody & inside) < _MOST_BESIDE * np.count_nonzero(inside):
            beside = cv2.distanceTransform(nobody, cv2.DIST_L2, 3)
            alpha = np.minimum(alpha, np.clip(2 - beside / feather, 0, 1)[..., None])
            if ground is not None:
                edge = max(1.0, _GROUND_EDGE * len(ground))
                outside = cv2.distanceTransform(ground.astype(np.uint8), cv2.DIST_L2, 3)
                alpha = np.minimum(alpha, np.clip(2 - outside / edge, 0, 1)[..., None])
    mixed = source + alpha * (painted.astype(np.float32) - source)
    return np.rint(mixed).astype(np.uint8)
