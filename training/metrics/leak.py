"""Leak: how much of the old garment remains in an unpaired result.

A painted pixel on the old garment leaks if its colour is nearer, in CIELAB, to the source's pixel
at that position than to any colour of the target garment. Only distinguishable pixels count: those
whose colour in the source is at least 20 Delta E (CIE76) from all colours of the target garment;
two white garments cannot be distinguished. Leak = leaking pixels / distinguishable pixels: 0 =
nothing left, 1 = the unchanged source. The measure is ours. It compares colours per pixel: an old
pattern in the new colours is measured by the pattern distance. Eight rendered dancers in another
garment (the perfect result) have 0.00 to 0.014.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.garment_picture import garment_outline, shrink
from training.metrics.lab import pixels_to_lab
from training.metrics.metric import Metric, VideoInputs, VideoNumber

TELLING_DISTANCE = 20.0  # Delta E: twice another shade
CELL = 6.0  # Delta E: colours of the target garment are grouped in cubes of this side
LEAST_SHARE = 0.002  # of the garment: rarer colours are rims and noise of the picture
RIM = 0.03

Palette = Float[np.ndarray, "colours 3"]
"""CIELAB colours that a garment has."""


def garment_palette(picture: UInt8[np.ndarray, "h w 3"]) -> Palette:
    """The colours of the garment in its picture, each the mean of a small cube of CIELAB."""
    colours = pixels_to_lab(picture[shrink(garment_outline(picture), RIM)])
    _, cells, counts = np.unique(
        np.floor(colours / CELL).astype(np.int32), axis=0, return_inverse=True, return_counts=True
    )
    cells = cells.ravel()
    sums = [np.bincount(cells, weights=channel) for channel in colours.T]
    means = np.stack(sums, axis=1) / counts[:, None]
    often = counts >= LEAST_SHARE * len(colours)
    return (means[often] if often.any() else means).astype(np.float32)


def old_garment_left(
    result: UInt8[np.ndarray, "t h w 3"],
    source: UInt8[np.ndarray, "t h w 3"],
    old_garment: Bool[np.ndarray, "t h w"],
    asked: Palette,
) -> Float[np.ndarray, " t"]:
    """Share of each frame's distinguishable pixels that still show the source.

    Args:
        result: RGB frames in another garment than the source's.
        source: RGB frames.
        old_garment: True where the source wears its garment and the frame was painted.
        asked: ``garment_palette`` of the target garment.

    Returns:
        In [0, 1] per frame; NaN if no pixel is distinguishable.
    """
    values = np.full(len(result), np.nan)
    for index, area in enumerate(old_garment):
        before = pixels_to_lab(source[index][area])
        telling = _distance_to(asked, before) >= TELLING_DISTANCE
        if telling.any():
            now = pixels_to_lab(result[index][area][telling])
            to_source = np.linalg.norm(now - before[telling], axis=1)
            values[index] = (to_source < _distance_to(asked, now)).mean()
    return values


def _distance_to(palette: Palette, colours: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Distance of each colour to the palette's nearest one."""
    nearest = np.full(len(colours), np.inf, dtype=np.float32)
    for entry in palette:
        np.minimum(nearest, np.square(colours - entry).sum(axis=1), out=nearest)
    return np.sqrt(nearest)


def _asked(inputs: VideoInputs) -> Palette:
    return garment_palette(inputs.garment)


def _leak(inputs: VideoInputs) -> VideoNumber:
    if inputs.pairing == "paired":  # the old garment is the target
        return VideoNumber(value=None)
    asked = inputs.once_per_item(_asked)
    left = old_garment_left(inputs.prediction, inputs.source, inputs.garment_region, asked)
    return VideoNumber.of_frames(left)


LEAK = Metric(
    key="leak",
    label="old garment left",
    is_higher_better=False,
    definition="share of the worn garment's region nearer in CIELAB to the source's pixel than to "
    "any colour of the target garment, where the two differ; 0 to 1",
    compute=_leak,
    no_value="only unpaired, and where the garments' colours differ",
)
