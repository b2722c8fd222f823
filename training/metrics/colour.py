"""How far the painted garment's mean colour is from the wanted one, in Delta E.

CIE76: the Euclidean distance in CIELAB. CIEDE2000: Sharma, Wu and Dalal 2005, equations 2 to 22,
closer to what people see. About 1 is just noticeable, 10 is another shade, 40 another colour.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.garment_picture import differs_from_ground
from training.metrics.metric import NOT_PAINTED, Metric, VideoInputs, VideoNumber

Lab = Float[np.ndarray, " 3"]


def mean_lab(pixels: UInt8[np.ndarray, "n 3"]) -> Lab:
    """CIELAB (D65) of the mean of sRGB pixels; the mean is taken of the stored values."""
    mean = pixels.astype(np.float64).mean(axis=0).astype(np.float32) / 255
    return cv2.cvtColor(mean[None, None], cv2.COLOR_RGB2LAB)[0, 0].astype(np.float64)


def garment_pixels(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "n 3"]:
    """The garment's pixels on a plain ground: those that differ from the border's median colour.

    A picture of one colour is used whole.
    """
    differs = differs_from_ground(image)
    return image[differs] if differs.any() else image.reshape(-1, 3)


def delta_e_76(first: Lab, second: Lab) -> float:
    """Euclidean distance in CIELAB."""
    return float(np.linalg.norm(first - second))


def delta_e_2000(first: Lab, second: Lab) -> float:
    """CIEDE2000 with all weights 1."""
    l1, a1, b1 = (float(value) for value in first)
    l2, a2, b2 = (float(value) for value in second)
    mean_chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360

    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    if turn == -180:
        turn = 180.0
    delta_l, delta_c = l2 - l1, c2 - c1
    delta_h = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2)

    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    if not c1 * c2:
        mean_h = h1 + h2
    elif abs(h1 - h2) <= 180:
        mean_h = (h1 + h2) / 2
    else:
        mean_h = ((h1 + h2 + 360) / 2) % 360
    tilt = (
        1
        - 0.17 * math.cos(math.radians(mean_h - 30))
        + 0.24 * math.cos(math.radians(2 * mean_h))
        + 0.32 * math.cos(math.radians(3 * mean_h + 6))
        - 0.20 * math.cos(math.radians(4 * mean_h - 63))
    )
    scale_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    scale_c = 1 + 0.045 * mean_c
    scale_h = 1 + 0.015 * mean_c * tilt
    rotation = (
        -2
        * math.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
        * math.sin(math.radians(60 * math.exp(-(((mean_h - 275) / 25) ** 2))))
    )
    dl, dc, dh = delta_l / scale_l, delta_c / scale_c, delta_h / scale_h
    return math.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def region_colour(
    video: UInt8[np.ndarray, "t h w 3"], region: Bool[np.ndarray, "t h w"]
) -> Lab | None:
    """CIELAB of the mean colour inside the region over all frames; None for an empty region."""
    pixels = video[region]
    return mean_lab(pixels) if len(pixels) else None


def _shown(inputs: VideoInputs) -> Lab | None:
    return region_colour(inputs.prediction, inputs.garment_region)


def _wanted(inputs: VideoInputs) -> Lab | None:
    if inputs.truth is None:
        return mean_lab(garment_pixels(inputs.garment))
    return region_colour(inputs.truth, inputs.garment_region)


def _distance(inputs: VideoInputs, distance: Callable[[Lab, Lab], float]) -> VideoNumber:
    shown, wanted = inputs.once(_shown), inputs.once_per_item(_wanted)
    if shown is None or wanted is None:
        return VideoNumber(value=None)
    return VideoNumber(value=distance(shown, wanted))


COLOUR_2000 = Metric(
    key="colour_delta_e",
    label="colour ΔE 2000",
    is_higher_better=False,
    definition="CIEDE2000 of the mean colour in the worn garment's region from the wanted one",
    compute=lambda inputs: _distance(inputs, delta_e_2000),
    no_value=NOT_PAINTED,
)
COLOUR_76 = Metric(
    key="colour_delta_e_76",
    label="colour ΔE 76",
    is_higher_better=False,
    definition="CIE76 of the same two colours",
    compute=lambda inputs: _distance(inputs, delta_e_76),
    no_value=NOT_PAINTED,
)
