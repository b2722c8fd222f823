"""sRGB to CIELAB (D65), whole pictures or lists of pixels."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8


def to_lab(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """L in 0..100, a and b about -128..127, float32; a distance of 1 is a Delta E (CIE76) of 1."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def pixels_to_lab(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """The same for a list of pixels."""
    if not len(pixels):
        return np.zeros((0, 3), dtype=np.float32)
    return to_lab(np.ascontiguousarray(pixels)[:, None])[:, 0]
