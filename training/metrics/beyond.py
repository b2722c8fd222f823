"""The numbers that the usual ones leave out, as records: does it flicker, leak, keep, fit, jump?

Each is defined in its own file of pure functions; here they meet the engine.
"""

import numpy as np

from training.metrics.flicker import (
    Motion,
    flicker_excess,
    source_motion,
    temporal_error,
    warped_change,
)
from training.metrics.garment_colour import Projections, garment_colour_distance, picture_colours
from training.metrics.garment_pattern import Pattern, garment_pattern_distance, picture_pattern
from training.metrics.identity import change_outside
from training.metrics.leak import Palette, garment_palette, old_garment_left
from training.metrics.metric import Metric, VideoInputs, VideoNumber
from training.metrics.seams import seam_score
from training.metrics.standard import NOT_PAINTED, number_of_frames


def _painted(inputs: VideoInputs) -> np.ndarray:
    return inputs.mask > 127


def _motions(inputs: VideoInputs) -> list[Motion]:
    return source_motion(inputs.source)


def _real_change(inputs: VideoInputs) -> np.ndarray:
    reference = inputs.source if inputs.truth is None else inputs.truth
    return warped_change(reference, _painted(inputs), inputs.once_per_item(_motions))


def _flicker(inputs: VideoInputs) -> VideoNumber:
    motions, real = inputs.once_per_item(_motions), inputs.once_per_item(_real_change)
    return number_of_frames(flicker_excess(inputs.prediction, _painted(inputs), motions, real))


def _temporal(inputs: VideoInputs) -> VideoNumber:
    assert inputs.truth is not None
    return number_of_frames(temporal_error(inputs.prediction, inputs.truth, _painted(inputs)))


def _identity(inputs: VideoInputs) -> VideoNumber:
    return number_of_frames(change_outside(inputs.prediction, inputs.source, _painted(inputs)))


def _asked_colours(inputs: VideoInputs) -> Projections:
    return picture_colours(inputs.garment)


def _asked_pattern(inputs: VideoInputs) -> Pattern:
    return picture_pattern(inputs.garment)


def _asked_palette(inputs: VideoInputs) -> Palette:
    return garment_palette(inputs.garment)


def _garment_colour(inputs: VideoInputs) -> VideoNumber:
    asked = inputs.once_per_item(_asked_colours)
    return number_of_frames(
        garment_colour_distance(inputs.prediction, inputs.garment_region, asked)
    )


def _garment_pattern(inputs: VideoInputs) -> VideoNumber:
    asked = inputs.once_per_item(_asked_pattern)
    return number_of_frames(
        garment_pattern_distance(inputs.prediction, inputs.garment_region, asked)
    )


def _leak(inputs: VideoInputs) -> VideoNumber:
    if inputs.pairing == "paired":  # the old garment is the asked one
        return VideoNumber(value=None)
    asked = inputs.once_per_item(_asked_palette)
    return number_of_frames(
        old_garment_left(inputs.prediction, inputs.source, inputs.garment_region, asked)
    )


def _seam(inputs: VideoInputs) -> VideoNumber:
    if inputs.segment_borders is None:
        return VideoNumber(value=None)
    return number_of_frames(seam_score(inputs.prediction, _painted(inputs), inputs.segment_borders))


FLICKER = Metric(
    key="flicker",
    label="flicker",
    is_higher_better=False,
    definition="warping error in the mask (Lai et al. 2018) along the source's flow, over that of "
    "the truth, else of the source; 8-bit levels",
    compute=_flicker,
    no_value="no painted pixel can be followed from a frame to the next",
)
TEMPORAL = Metric(
    key="temporal_error",
    label="temporal error",
    is_higher_better=False,
    definition="mean |frame-to-frame difference - the truth's| in the mask (after dtSSD, Erofeev "
    "et al. 2015); 8-bit levels",
    compute=_temporal,
    needs_truth=True,
    no_value=NOT_PAINTED,
)
IDENTITY = Metric(
    key="outside_change",
    label="change outside mask",
    is_higher_better=False,
    definition="mean |result - source| outside the mask; 8-bit levels",
    compute=_identity,
    no_value="every frame is painted whole",
)
GARMENT_COLOUR = Metric(
    key="garment_colour",
    label="garment colours",
    is_higher_better=False,
    definition="sliced Wasserstein distance in CIELAB (Bonneel et al. 2015) between the garment's "
    "picture and the worn garment's region; Delta E",
    compute=_garment_colour,
    no_value=NOT_PAINTED,
)
GARMENT_PATTERN = Metric(
    key="garment_pattern",
    label="garment pattern",
    is_higher_better=False,
    definition="Bray-Curtis distance of gradient energy by scale and direction between the "
    "garment's picture and the worn garment's region; 0 to 1",
    compute=_garment_pattern,
    no_value=NOT_PAINTED,
)
LEAK = Metric(
    key="leak",
    label="old garment left",
    is_higher_better=False,
    definition="share of the worn garment's region nearer in CIELAB to the source's pixel than to "
    "any colour of the asked garment, where the two can be told apart; 0 to 1",
    compute=_leak,
    no_value="only unpaired, and where the garments' colours differ",
)
SEAM = Metric(
    key="seam",
    label="seam",
    is_higher_better=False,
    definition="change at the borders of the windows over the change elsewhere, in the mask; 1 = "
    "no seam",
    compute=_seam,
    no_value="borders of windows are not known, or there are none",
)
