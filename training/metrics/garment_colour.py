"""Garment fidelity, colours: all colours of the garment against all those of the result.

Sliced Wasserstein distance (Rabin et al. 2011; Bonneel et al. 2015, equation 4) of order 1 between
the CIELAB pixels of the garment's picture and those of the garment's region in a frame: the mean,
over 48 fixed directions spread evenly, of the 1-d Wasserstein distance of the projected pixels,
times 2. With the factor a pure shift of all colours by d Delta E (CIE76) measures d, as the mean of
|cos| over directions is 1/2. Unlike ``colour_delta_e``, which compares two mean colours, it tells a
garment of red and white stripes from a pink one. Insensitive to where the colours are. Light
differs between a picture and a worn garment, so that a right garment does not have 0: eight
rendered dancers are 2 to 6 from the picture of what they wear and 22 to 82 from the others'.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.garment_picture import garment_outline, shrink
from training.metrics.lab import pixels_to_lab
from training.metrics.metric import NOT_PAINTED, Metric, VideoInputs, VideoNumber, by_frame

NUM_DIRECTIONS = 48
BIN_WIDTH, REACH = 0.5, 200.0  # Delta E: of the projected histograms
RIM = 0.03

Projections = Float[np.ndarray, "directions bins"]
"""Cumulative histogram of the colours along each direction, each from 0 to 1."""


def picture_colours(picture: UInt8[np.ndarray, "h w 3"]) -> Projections:
    """Colours of the garment in its picture."""
    return project_colours(picture[shrink(garment_outline(picture), RIM)])


def project_colours(pixels: UInt8[np.ndarray, "n 3"]) -> Projections:
    """The cumulative histograms of at least one pixel."""
    num_bins = int(2 * REACH / BIN_WIDTH)
    positions = (pixels_to_lab(pixels) @ _DIRECTIONS.T + REACH) / BIN_WIDTH
    cells = positions.astype(np.int32) + num_bins * np.arange(NUM_DIRECTIONS, dtype=np.int32)
    counts = np.bincount(cells.ravel(), minlength=num_bins * NUM_DIRECTIONS)
    return counts.reshape(NUM_DIRECTIONS, num_bins).cumsum(axis=1) / len(pixels)


def colour_distance(first: Projections, second: Projections) -> float:
    """Sliced Wasserstein distance in Delta E (CIE76); 0 for equal colours in equal shares.

    The 1-d distance is the area between the cumulative histograms.
    """
    return float(2 * BIN_WIDTH * np.abs(first - second).sum(axis=1).mean())


def garment_colour_distance(
    result: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    wanted: Projections,
) -> Float[np.ndarray, " t"]:
    """Distance of each frame's colours in the region to those of the target garment's picture.

    Delta E, at least 0 (a garment's worth of black for white is 100); NaN without a region.
    """

    def distance(index: int) -> float:
        colours = project_colours(result[index][shrink(region[index], RIM)])
        return colour_distance(colours, wanted)

    return by_frame(region, distance)


def _half_sphere(count: int) -> Float[np.ndarray, "directions 3"]:
    """Directions spread evenly over half a sphere (Fibonacci's spiral)."""
    height = (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    spread = np.stack([height, radius * np.cos(turn), radius * np.sin(turn)], axis=1)
    return spread.astype(np.float32)


_DIRECTIONS = _half_sphere(NUM_DIRECTIONS)


def _asked(inputs: VideoInputs) -> Projections:
    return picture_colours(inputs.garment)


def _distance(inputs: VideoInputs) -> VideoNumber:
    asked = inputs.once_per_item(_asked)
    found = garment_colour_distance(inputs.prediction, inputs.garment_region, asked)
    return VideoNumber.of_frames(found)


GARMENT_COLOUR = Metric(
    key="garment_colour",
    label="garment colours",
    is_higher_better=False,
    definition="sliced Wasserstein distance in CIELAB (Bonneel et al. 2015) between the garment's "
    "picture and the worn garment's region; Delta E",
    compute=_distance,
    no_value=NOT_PAINTED,
)
