"""Whether someone wears another garment in the second half of a clip than in the first.

The garment's colours, sampled a few times a second, are compared before and after every possible
moment of change: a change is found if the two sides differ by more than either varies by turning or
bending. Light that changes over the whole picture (exposure, white balance) is taken out first: by
the factor for each channel that everything but the garment shows. A hard cut ends a scene anyway;
this finds changes hidden by hands, a whip pan or a morph.
"""

import numpy as np

from curation.stages.colours import apart, lab_histogram, lab_of

SAMPLE_S = 0.4
SIDE = 3
"""Samples for which a garment must be worn on either side: 1.2 s."""
WINDOW = 6
"""Samples compared on either side: those further away are another pose."""
LIKE, UNLIKE = 0.1, 0.9
"""Quantiles of differences: nearly all pairs must differ between sides, and agree within."""
MIN_AREA = 0.004
"""Share of the frame; smaller areas do not show the garment's colours reliably."""
STEP = 4
"""Every fourth pixel in both directions tells the light."""
EXPOSED = (8, 247)
"""Values that are neither crushed nor clipped."""
MIN_EXPOSED = 50  # pixels
MOST_LIGHT = 2.0
"""Times; more is another scene."""


def outfit_change(frames: np.ndarray, garment: np.ndarray, fps: float) -> float | None:
    """How much more the two sides of a moment differ than either within itself, at the maximum.

    Args:
        frames: (t, height, width, 3) uint8 RGB.
        garment: (t, height, width) bool.
        fps: of the clip.

    Returns:
        Share of the garment's colours, -1..1; None: the garment is visible too briefly.
    """
    chosen = [
        index
        for index in range(0, len(frames), max(1, round(SAMPLE_S * fps)))
        if garment[index].mean() >= MIN_AREA
    ]
    if len(chosen) < 2 * SIDE:
        return None
    middle = chosen[len(chosen) // 2]
    histograms = []
    for index in chosen:
        light = light_between(frames[index], frames[middle], garment[index] | garment[middle])
        worn = frames[index][garment[index]] * light
        shown = np.clip(worn + 0.5, 0, 255).astype(np.uint8)
        histograms.append(lab_histogram(lab_of(shown[None])[0]))
    differences = np.array([[apart(one, other) for other in histograms] for one in histograms])
    moments = range(SIDE, len(histograms) - SIDE + 1)
    return max(_excess(differences, moment) for moment in moments)


def light_between(frame: np.ndarray, other: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Factors (3,) that give ``frame`` the light of ``other``, by most pixels not ``left_out``.

    A channel that is crushed or clipped nearly everywhere is left as it is.
    """
    is_rest = ~left_out[::STEP, ::STEP]
    ours, theirs = (each[::STEP, ::STEP][is_rest].astype(np.float64) for each in (frame, other))
    factors = np.ones(3)
    low, high = EXPOSED
    for channel in range(3):
        one, two = ours[:, channel], theirs[:, channel]
        is_exposed = (np.minimum(one, two) > low) & (np.maximum(one, two) < high)
        if is_exposed.sum() >= MIN_EXPOSED:
            factors[channel] = np.median(two[is_exposed] / one[is_exposed])
    return np.clip(factors, 1 / MOST_LIGHT, MOST_LIGHT)


def _excess(differences: np.ndarray, moment: int) -> float:
    before, after = slice(max(moment - WINDOW, 0), moment), slice(moment, moment + WINDOW)
    within = max(_within(differences[side, side]) for side in (before, after))
    return float(np.quantile(differences[before, after], LIKE)) - within


def _within(differences: np.ndarray) -> float:
    """Upper quantile of the (n, n) differences within one side."""
    pairs = differences[np.triu_indices(len(differences), 1)]
    return float(np.quantile(pairs, UNLIKE))
