"""Progress of a run: videos and work done, rate, time left, and counts by verdict."""

import time
from collections import Counter
from collections.abc import Sequence

from curation.ledger import ClipRow, SourceRow
from curation.step_times import seconds_by_step

KEPT = "kept"
MAX_CODES = 4
"""Reasons listed; the others are summed up."""
TRUST = 0.5
"""Of a typical video: how much of what was expected counts beside what was measured, so that one
video of which nothing was kept does not stand for all."""


class VerdictCounts:
    """Verdicts on the videos so far, and the time left.

    Every step's seconds are stored with what they made. Their sum over what was expected of the
    videos that are done is the pace; what is expected of all of them, at that pace and shared by
    the workers, is how long the run takes from its first video on.
    """

    def __init__(self, expected_s: Sequence[float], workers: int = 1) -> None:
        """``expected_s``: seconds on one worker that each video is expected to take."""
        self.num_done = 0
        self.verdicts: Counter[str] = Counter()
        self._total, self._workers = sum(expected_s), workers
        self._typical = TRUST * self._total / max(len(expected_s), 1)
        self._done, self._measured = 0.0, 0.0
        self._video_s = 0.0
        self._started = time.monotonic()
        self._ready: float | None = None

    def add(
        self,
        source: SourceRow,
        clips: Sequence[ClipRow],
        expected_s: float,
        was_decoded: bool = True,
    ) -> None:
        """Count one finished video; one that was not decoded took no time worth counting."""
        self.num_done += 1
        records = [source.facts, *(clip.record for clip in clips)]
        spent = sum(wall for _, wall in seconds_by_step(records).values()) if was_decoded else 0.0
        if spent:
            self._measured += spent
            self._done += expected_s
        else:
            self._total -= expected_s
        if self._ready is None:  # workers begin after their imports
            self._ready = max(time.monotonic() - spent, self._started)
        self._video_s += float(source.facts.get("duration_s") or 0.0)
        self.verdicts.update(KEPT if c.status == KEPT else str(c.code) for c in clips)
        if source.code is not None:
            self.verdicts[source.code] += 1

    @property
    def seconds_left(self) -> float | None:
        """None: nothing measured yet."""
        if self._ready is None or not self._measured:
            return None
        pace = (self._measured + self._typical) / max(self._done + self._typical, 1e-9)
        to_do = pace * max(self._total - self._done, 0.0)
        since = time.monotonic() - self._ready
        left = (self._measured + to_do) / self._workers - since  # of what is begun, a part is done
        return max(left, 0.5 * to_do / self._workers)

    def in_words(self) -> str:
        """Videos per minute, multiple of real time, kept clips, then the commonest reasons."""
        spent = max(time.monotonic() - self._started, 1e-3)
        rate = (
            f"{60 * self.num_done / spent:.1f} videos/min, {self._video_s / spent:.1f}x real time"
        )
        rejected = [(c, n) for c, n in self.verdicts.most_common() if c != KEPT]
        parts = [f"{self.verdicts[KEPT]} kept"]
        parts += [f"{count} {code}" for code, count in rejected[:MAX_CODES]]
        if rejected[MAX_CODES:]:
            parts.append(f"{sum(count for _, count in rejected[MAX_CODES:])} others")
        return f"{rate}: {', '.join(parts)}"
