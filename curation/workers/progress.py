"""Progress of a run: videos and bytes done, rate, time left, and counts by verdict."""

import time
from collections import Counter
from collections.abc import Sequence

from curation.ledger import ClipRow, SourceRow

KEPT = "kept"
MAX_CODES = 4
"""Reasons listed; the others are summed up."""


class VerdictCounts:
    """Verdicts on the videos so far; time is estimated by bytes, not by files."""

    def __init__(self, total_bytes: int) -> None:
        self.num_done = 0
        self.verdicts: Counter[str] = Counter()
        self._total, self._done = total_bytes, 0
        self._video_s = 0.0
        self._started = time.monotonic()

    def add(self, source: SourceRow, clips: Sequence[ClipRow], num_bytes: int) -> None:
        """Count one finished video."""
        self.num_done += 1
        self._done += num_bytes
        self._video_s += float(source.facts.get("duration_s") or 0.0)
        self.verdicts.update(KEPT if c.status == KEPT else str(c.code) for c in clips)
        if source.code is not None:
            self.verdicts[source.code] += 1

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the remaining bytes; None: nothing measured yet."""
        if not self._done:
            return None
        return (time.monotonic() - self._started) / self._done * (self._total - self._done)

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
