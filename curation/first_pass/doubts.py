"""What the arbiter of cuts is asked, and what became of it.

Asking a frame costs ten times the first pass, so only large, gradual changes are asked: there the
rules miss dissolves whose shots move. What is doubtful hangs on the signals alone, not on a user's
thresholds, so that any of them can be applied to the answers later.
"""

from dataclasses import dataclass

import numpy as np

from curation.first_pass.signals import Signals, runs_of, thumb_changes
from curation.selection.shots import ShotsConfig, is_transition

WITHIN_S = 1.0
MIN_CHANGE = 20.0
"""Gray levels between thumbnails ``WITHIN_S`` apart; all dissolves of real takes reached 30."""
MAX_STEP = 0.5
"""A change that jumps by more than this share of it between two frames is for the rules alone."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One stretch that was asked."""

    start_s: float
    end_s: float
    probability: float  # the largest in it
    is_transition: bool  # by today's threshold

    @property
    def in_words(self) -> str:
        """The number and the verdict."""
        return f"{self.probability:.2f}, {'a transition' if self.is_transition else 'none'}"


def find_doubts(signals: Signals) -> np.ndarray:
    """Which frames the arbiter should be asked of, (n,) bool."""
    is_doubtful = np.zeros(signals.num_frames, dtype=bool)
    if signals.frame_s <= 0:
        return is_doubtful
    lag = max(6, round(WITHIN_S / signals.frame_s))
    changes, steps = thumb_changes(signals.thumbs, lag), thumb_changes(signals.thumbs, 1)
    for start in np.flatnonzero(changes >= MIN_CHANGE):
        if steps[start : start + lag].max() <= MAX_STEP * changes[start]:
            is_doubtful[start : start + lag + 1] = True
    return is_doubtful


def answers_in(signals: Signals, config: ShotsConfig) -> list[Answer]:
    """What was asked of a source and what was said, in order of time."""
    said = signals.cut_probability
    if said is None:
        return []
    times = np.append(signals.times_s, signals.end_s)
    return [
        Answer(
            start_s=float(times[run.start]),
            end_s=float(times[run.stop]),
            probability=float(said[run].max()),
            is_transition=bool(is_transition(said[run], config).any()),
        )
        for run in runs_of(~np.isnan(said))
    ]
