"""Progress of a run: videos and bytes done, rate, time left, and counts by verdict.

Shown by ``configs.console.Progress``.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from configs.console import Progress
from curation.ledger import ClipRow, SourceRow

KEPT = "kept"
MAX_CODES = 4
"""Reasons listed; the others are summed up."""
LINE_EVERY_S = 60.0
FIRST_LINES = 3  # after each of the first videos, so that a bad start is seen at once


class VerdictCounts:
    """Verdicts on the videos so far.

    Args:
        total_bytes: of all videos of the run: time is estimated by bytes, not by files.
        num_videos: number of videos.
        clock: monotonic seconds.
    """

    def __init__(
        self, total_bytes: int, num_videos: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.num_videos, self.num_done = num_videos, 0
        self.verdicts: Counter[str] = Counter()
        self._total, self._done = total_bytes, 0
        self._video_s = 0.0
        self._clock, self._started = clock, clock()

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
        return (self._clock() - self._started) / self._done * (self._total - self._done)

    def rate(self) -> str:
        """Videos per minute, and multiple of real time."""
        spent = max(self._clock() - self._started, 1e-3)
        return (
            f"{60 * self.num_done / spent:.1f} videos/min, {self._video_s / spent:.1f}x real time"
        )

    def counts(self) -> str:
        """Kept clips, then the commonest reasons."""
        rejected = [(c, n) for c, n in self.verdicts.most_common() if c != KEPT]
        parts = [f"{self.verdicts[KEPT]} kept"]
        parts += [f"{count} {code}" for code, count in rejected[:MAX_CODES]]
        if rejected[MAX_CODES:]:
            parts.append(f"{sum(count for _, count in rejected[MAX_CODES:])} others")
        return ", ".join(parts)


class ProgressLine:
    """Shows the counts while a run works."""

    def __init__(self, total_bytes: int, num_videos: int) -> None:
        self.counts = VerdictCounts(total_bytes, num_videos)
        self._shown = Progress(
            "curating", num_videos, unit="videos", every_s=LINE_EVERY_S, first_lines=FIRST_LINES
        )

    def __enter__(self) -> "ProgressLine":
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__()

    def count(self, source: SourceRow, clips: Sequence[ClipRow], num_bytes: int) -> None:
        """Count one finished video."""
        counts = self.counts
        counts.add(source, clips, num_bytes)
        note = f"{counts.rate()}: {counts.counts()}"
        self._shown.update(counts.num_done, note=note, seconds_left=counts.seconds_left)
