"""Garment fidelity, pattern: which edges of which size and direction, wherever they are.

The garment is brought to a fixed size (root of its area = 64 pixels). For three scales (Gaussians
of 1, 2 and 4 pixels: 1/64 to 1/16 of the garment) the gradient in CIELAB, times the scale
(Lindeberg 1998), is taken with all three channels together (structure tensor, Di Zenzo 1986), and
its energy is gathered by direction into 8 bins of 22.5 degrees, as in a histogram of oriented
gradients (Dalal and Triggs 2005) that covers the whole garment. The root of each bin's mean energy
is a contrast in Delta E: 3 x 8 numbers. Smoothing uses the garment's pixels alone (normalised
convolution, Knutsson and Westin 1993): its outline is no pattern.

The distance of two garments is that of Bray and Curtis (1957): sum |a - b| / sum (a + b), with a
floor of 1 Delta E per bin, so that two plain garments with other folds are alike. It lies in
[0, 1): 0 = the same statistics, towards 1 = a pattern where there should be none.

Insensitive to where the pattern is, to the garment's size in the frame and to a constant change of
colour. Not to turning: stripes across and down are two patterns. Folds and shading count as
pattern, so that a right garment does not have 0: twelve rendered dancers are 0.10 from the picture
of what they wear and 0.27 from the eleven others', on average; ten of them are nearest to their
own.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.garment_picture import garment_outline, shrink
from training.metrics.lab import to_lab
from training.metrics.metric import NOT_PAINTED, Metric, VideoInputs, VideoNumber, by_frame

UNIT = 64  # pixels: root of the garment's area when measured
SCALES = (1.0, 2.0, 4.0)  # pixels
NUM_ORIENTATIONS = 8
FLOOR = 1.0  # Delta E per bin
RIM = 0.06

Pattern = Float[np.ndarray, "scales orientations"]
"""Contrast in Delta E for each scale and gradient direction (bin 0 = stripes that run down)."""


def picture_pattern(picture: UInt8[np.ndarray, "h w 3"]) -> Pattern:
    """Pattern of the garment in its picture."""
    return pattern_statistics(picture, garment_outline(picture))


def pattern_statistics(image: UInt8[np.ndarray, "h w 3"], area: Bool[np.ndarray, "h w"]) -> Pattern:
    """Contrast by scale and direction inside the area, which has at least one pixel."""
    colours, weight = _at_unit_size(image, area)
    inside = shrink(weight > 0.5, RIM)
    statistics = np.zeros((len(SCALES), NUM_ORIENTATIONS))
    for row, scale in enumerate(SCALES):
        support = np.maximum(cv2.GaussianBlur(weight, (0, 0), scale), 1e-4)
        smooth = cv2.GaussianBlur(colours * weight[..., None], (0, 0), scale) / support[..., None]
        dx, dy = (scale * np.gradient(smooth, axis=axis)[inside] for axis in (1, 0))
        statistics[row] = np.sqrt(_energy_by_direction(dx, dy) / len(dx))
    return statistics


def pattern_distance(first: Pattern, second: Pattern) -> float:
    """Bray-Curtis distance with a floor, in [0, 1)."""
    return float(np.abs(first - second).sum() / (first + second + FLOOR).sum())


def garment_pattern_distance(
    result: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    wanted: Pattern,
) -> Float[np.ndarray, " t"]:
    """Distance of each frame's pattern in the region to that of the target garment's picture.

    In [0, 1) per frame; NaN in a frame without region.
    """

    def distance(index: int) -> float:
        return pattern_distance(pattern_statistics(result[index], region[index]), wanted)

    return by_frame(region, distance)


def _at_unit_size(image: np.ndarray, area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CIELAB of the area's box (h w 3) and the area (h w) in [0, 1], at the measured size."""
    left, top, wide, high = cv2.boundingRect(area.astype(np.uint8))
    box = (slice(top, top + high), slice(left, left + wide))
    weight = area[box].astype(np.float32)
    colours = to_lab(np.ascontiguousarray(image[box]))
    factor = UNIT / np.sqrt(np.count_nonzero(area))
    size = (max(2, round(wide * factor)), max(2, round(high * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    share = cv2.resize(weight, size, interpolation=method)
    scaled = cv2.resize(colours * weight[..., None], size, interpolation=method)
    return scaled / np.maximum(share, 1e-4)[..., None], share


def _energy_by_direction(dx: np.ndarray, dy: np.ndarray) -> Float[np.ndarray, " orientations"]:
    """Energy of n gradients of three channels each (n, 3), gathered by direction modulo 180."""
    xx, yy, xy = (dx * dx).sum(-1), (dy * dy).sum(-1), (dx * dy).sum(-1)
    half = 0.5 * (xx + yy)
    spread = np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    total = np.zeros(NUM_ORIENTATIONS)
    for energy, turned in ((half + spread, 0.0), (half - spread, np.pi / 2)):
        position = (angle + turned) / np.pi * NUM_ORIENTATIONS
        lower = np.floor(position)
        upper_share = position - lower
        for step, share in ((0, 1 - upper_share), (1, upper_share)):
            bins = (lower.astype(int) + step) % NUM_ORIENTATIONS
            total += np.bincount(bins, weights=energy * share, minlength=NUM_ORIENTATIONS)
    return np.maximum(total, 0.0)


def _asked(inputs: VideoInputs) -> Pattern:
    return picture_pattern(inputs.garment)


def _distance(inputs: VideoInputs) -> VideoNumber:
    asked = inputs.once_per_item(_asked)
    found = garment_pattern_distance(inputs.prediction, inputs.garment_region, asked)
    return VideoNumber.of_frames(found)


GARMENT_PATTERN = Metric(
    key="garment_pattern",
    label="garment pattern",
    is_higher_better=False,
    definition="Bray-Curtis distance of gradient energy by scale and direction between the "
    "garment's picture and the worn garment's region; 0 to 1",
    compute=_distance,
    no_value=NOT_PAINTED,
)
