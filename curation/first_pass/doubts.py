"""Which frames the arbiter of cuts is asked about.

Asking about a frame costs ten times the first pass, so only large, gradual changes are asked about:
there the rules miss dissolves between moving shots. The choice depends on the signals alone, not on
a user's thresholds, so that any threshold can be applied to the answers later.
"""

import numpy as np

from curation.first_pass.signals import Signals, thumb_changes

WITHIN_S = 1.0
MIN_CHANGE = 20.0
"""Gray levels between thumbnails ``WITHIN_S`` apart; every dissolve of real takes reached 30."""
MAX_STEP = 0.5
"""A change with a larger share than this between two frames is left to the rules."""


def find_doubts(signals: Signals) -> np.ndarray:
    """Frames the arbiter should be asked about, (n,) bool."""
    is_doubtful = np.zeros(signals.num_frames, dtype=bool)
    if signals.frame_s <= 0:
        return is_doubtful
    lag = max(6, round(WITHIN_S / signals.frame_s))
    changes, steps = thumb_changes(signals.thumbs, lag), thumb_changes(signals.thumbs, 1)
    for start in np.flatnonzero(changes >= MIN_CHANGE):
        if steps[start : start + lag].max() <= MAX_STEP * changes[start]:
            is_doubtful[start : start + lag + 1] = True
    return is_doubtful
