"""Whether someone wears another garment in the second half of a clip than in the first.

The garment's colours, sampled a few times a second, are compared before and after every possible
moment of change: a change is found if the two sides differ by more than either varies by turning,
bending or light. A hard cut ends a scene anyway; this finds changes hidden by hands, a whip pan or
a morph.
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


def outfit_change(frames: np.ndarray, garment: np.ndarray, fps: float) -> float | None:
    """How much more the two sides of a moment differ than either within itself, at the maximum.

    Args:
        frames: (t, height, width, 3) uint8 RGB.
        garment: (t, height, width) bool.
        fps: of the clip.

    Returns:
        Share of the garment's colours, -1..1; None: the garment is visible too briefly.
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
    """Upper quantile of the (n, n) differences within one side."""
    pairs = differences[np.triu_indices(len(differences), 1)]
    return float(np.quantile(pairs, UNLIKE))
