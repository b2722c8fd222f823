"""Whether somebody wears another garment in the second half of a clip than in the first.

Colours of the garment at a few moments a second are compared across every possible moment of
change: it is one where the two sides differ by more than either differs in itself, by turning,
bending or the light. A hard cut ends a scene anyway; this finds changes that hands, a whip or a
morph hide.
"""

import numpy as np

from curation.stages.colours import apart, lab_histogram, lab_of

SAMPLE_S = 0.4
SIDE = 3
"""Samples that a garment must be worn for on either side: 1.2 s."""
WINDOW = 6
"""Samples on either side that are compared: what lies further away is another pose."""
LIKE, UNLIKE = 0.1, 0.9
"""Quantiles of differences: the sides must differ in nearly all pairs, and agree in nearly all."""
MIN_AREA = 0.004
"""Of the frame; less says nothing of the garment's colours."""


def outfit_change(frames: np.ndarray, garment: np.ndarray, fps: float) -> float | None:
    """How much more the two sides of a moment differ than either in itself, at its most.

    Args:
        frames: (t, height, width, 3) uint8 RGB.
        garment: (t, height, width) bool.
        fps: of the clip.

    Returns:
        Share of the garment's colours, -1..1; None: the garment is seen too briefly to tell.
    """
    histograms = [
        lab_histogram(lab_of(frames[index])[garment[index]])
        for index in range(0, len(frames), max(1, round(SAMPLE_S * fps)))
        if garment[index].mean() >= MIN_AREA
    ]
    if len(histograms) < 2 * SIDE:
        return None
    differences = np.array([[apart(one, other) for other in histograms] for one in histograms])
    moments = range(SIDE, len(histograms) - SIDE + 1)
    return max(_excess(differences, moment) for moment in moments)


def _excess(differences: np.ndarray, moment: int) -> float:
    before, after = slice(max(moment - WINDOW, 0), moment), slice(moment, moment + WINDOW)
    within = max(_within(differences[side, side]) for side in (before, after))
    return float(np.quantile(differences[before, after], LIKE)) - within


def _within(differences: np.ndarray) -> float:
    """Of (n, n) of one side: what nearly all pairs stay below."""
    pairs = differences[np.triu_indices(len(differences), 1)]
    return float(np.quantile(pairs, UNLIKE))
