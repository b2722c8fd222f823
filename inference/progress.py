"""What a job is doing, how far it is and how long it still takes; and how it is stopped.

A callback is told at least once a batch of frames and once a sampling step. It may raise
``Cancelled``: the job ends there, and what is finished stays in its work folder.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

FINDING = "finding people"
CONDITIONS = "mask and DensePose"
ENCODING = "encoding"
PAINTING = "painting"
WRITING = "writing"
STAGES = (FINDING, CONDITIONS, ENCODING, PAINTING, WRITING)
"""In their order. A job may have only some of them."""

_SHARES = {FINDING: 0.1, CONDITIONS: 0.3, ENCODING: 0.05, PAINTING: 0.5, WRITING: 0.05}
"""Of the time, until this process has measured better."""
_TRUSTED_S = 0.5  # a rate is believed once this much time was measured


class Cancelled(Exception):  # noqa: N818 (a state, not an error)
    """Raised by a progress callback to stop the job that calls it."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One message to a callback."""

    stage: str  # of ``STAGES``
    done: int  # of this stage, in frames or frame evaluations
    total: int | None  # of this stage; None: not known yet
    fraction: float  # of the whole job, 0..1; never falls
    seconds_left: float | None  # of the whole job; None: not known yet


Progress = Callable[[Status], None]


class Rates:
    """Seconds a unit that each stage took, remembered from job to job."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def get(self, stage: str) -> float | None:
        """Seconds a unit, if the stage was ever measured."""
        return self._seconds.get(stage)

    def learn(self, stage: str, units: int, seconds: float) -> None:
        """Keep what a stage took."""
        if units > 0 and seconds > _TRUSTED_S:
            self._seconds[stage] = seconds / units


class Tracker:
    """Turns "so many of so many" within stages into the state of a whole job.

    Args:
        progress: who is told; None tells nobody.
        stages: that this job has, in order.
        rates: what stages took before.
        clock: seconds; another one for tests.
    """

    def __init__(
        self,
        progress: Progress | None,
        stages: tuple[str, ...] = STAGES,
        rates: Rates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._stages = progress, stages
        self._rates = rates or Rates()
        self._clock = clock
        self._units: dict[str, int] = {}
        self._stage = stages[0]
        self._started, self._first = clock(), 0
        self._fraction = 0.0

    def expect(self, units: Mapping[str, int]) -> None:
        """Say how much later stages have to do, as soon as it is known."""
        self._units.update(units)

    def start(self, stage: str, total: int | None = None, done: int = 0) -> None:
        """A stage begins; ``done`` of it lie finished from before."""
        self._stage, self._started, self._first = stage, self._clock(), done
        if total is not None:
            self._units[stage] = total
        self.tell(done, total)

    def tell(self, done: int, total: int | None = None) -> None:
        """So much of the stage is done."""
        total = self._units.get(self._stage) if total is None else total
        elapsed = self._clock() - self._started
        self._rates.learn(self._stage, done - self._first, elapsed)
        share = 0.0 if not total else min(1.0, done / total)
        if self._progress is None:
            return
        self._fraction = max(self._fraction, self._whole(share))
        self._progress(
            Status(
                stage=self._stage, done=done, total=total, fraction=self._fraction,
                seconds_left=self._left(done, total),
            )
        )  # fmt: skip

    def _whole(self, share: float) -> float:
        """Fraction of the job when ``share`` of the present stage is done."""
        weights = [self._weight(stage) for stage in self._stages]
        now = self._stages.index(self._stage)
        return min(1.0, (sum(weights[:now]) + share * weights[now]) / sum(weights))

    def _weight(self, stage: str) -> float:
        """Expected share of the time; by measured rates where all are known."""
        seconds = {s: self._seconds(s) for s in self._stages}
        known = [value for value in seconds.values() if value is not None]
        if len(known) == len(self._stages) and sum(known) > 0:
            return seconds[stage] or 0.0
        return _SHARES[stage]

    def _seconds(self, stage: str) -> float | None:
        rate, units = self._rates.get(stage), self._units.get(stage)
        return None if rate is None or units is None else rate * units

    def _left(self, done: int, total: int | None) -> float | None:
        rate = self._rates.get(self._stage)
        if total is None or rate is None:
            return None
        left = rate * max(0, total - done)
        for stage in self._stages[self._stages.index(self._stage) + 1 :]:
            seconds = self._seconds(stage)
            if seconds is None and stage in (ENCODING, WRITING):
                continue  # little beside the rest
            if seconds is None:
                return None
            left += seconds
        return left
