"""What a job is doing, how far it is, how long it will take; and how to stop it.

A callback is called at least once per batch of frames and once per sampling step. It may raise
``Cancelled``: the job ends there, and its finished work stays in the work folder.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

FINDING = "finding people"
CONDITIONS = "mask and DensePose"
ENCODING = "encoding"
PAINTING = "painting"
WRITING = "writing"
STAGES = (FINDING, CONDITIONS, ENCODING, PAINTING, WRITING)
"""In order. A job may have only some of them."""

_SHARES = {FINDING: 0.1, CONDITIONS: 0.3, ENCODING: 0.05, PAINTING: 0.5, WRITING: 0.05}
"""Of the time, until this process has measured the stages."""
_TRUSTED_S = 0.5  # a rate counts once this much time was measured
_PAINTING_A_FRAME = "painting a frame"  # seconds, for the time before painting's total is known


class Cancelled(Exception):  # noqa: N818 (a state, not an error)
    """Raised by a progress callback to stop the job that calls it."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """One message to a callback."""

    stage: str  # one of ``STAGES``
    done: int  # of this stage, in frames or frame evaluations
    total: int | None  # of this stage; None: not known yet
    fraction: float  # of the whole job, 0..1; never decreases
    seconds_left: float | None  # of the whole job; None: not known yet


Progress = Callable[[Status], None]


class Tracker:
    """Turns the progress of single stages into the progress of a whole job.

    Args:
        progress: receives a ``Status``; None: nothing is reported.
        stages: of this job, in order.
        rates: stage -> seconds per unit, measured by earlier jobs; updated.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self,
        progress: Progress | None,
        stages: tuple[str, ...] = STAGES,
        rates: dict[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._stages = progress, stages
        self._rates = {} if rates is None else rates
        self._clock = clock
        self._units: dict[str, int] = {}
        self._stage = stages[0]
        self._started, self._first = clock(), 0
        self._fraction = 0.0

    def start(self, stage: str, total: int | None = None, done: int = 0) -> None:
        """Begin a stage of which ``done`` units are finished from an earlier run."""
        self._stage, self._started, self._first = stage, self._clock(), done
        if total is not None:
            self._units[stage] = total
        self.report(done, total)

    def report(self, done: int, total: int | None = None) -> None:
        """Report that ``done`` units of the stage are finished."""
        total = self._units.get(self._stage) if total is None else total
        elapsed = self._clock() - self._started
        if done > self._first and elapsed > _TRUSTED_S:
            self._rates[self._stage] = rate = elapsed / (done - self._first)
            if self._stage == PAINTING and total and (frames := self._frames()):
                self._rates[_PAINTING_A_FRAME] = rate * total / frames
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
        """Fraction of the job when ``share`` of the current stage is done."""
        weights = [self._weight(stage) for stage in self._stages]
        now = self._stages.index(self._stage)
        return min(1.0, (sum(weights[:now]) + share * weights[now]) / sum(weights))

    def _weight(self, stage: str) -> float:
        """Expected share of the time, by measured rates if all are known."""
        seconds = {s: self._seconds(s) for s in self._stages}
        known = [value for value in seconds.values() if value is not None]
        if len(known) == len(self._stages) and sum(known) > 0:
            return seconds[stage] or 0.0
        return _SHARES[stage]

    def _seconds(self, stage: str) -> float | None:
        rate, units = self._rates.get(stage), self._units.get(stage)
        if units is None:  # all stages but painting count frames
            rate = self._rates.get(_PAINTING_A_FRAME) if stage == PAINTING else rate
            units = self._frames()
        return None if rate is None or units is None else rate * units

    def _frames(self) -> int | None:
        """Of the video, as the latest stage that counts frames has it."""
        counted = [s for s in self._stages if s != PAINTING and s in self._units]
        return self._units[counted[-1]] if counted else None

    def _left(self, done: int, total: int | None) -> float | None:
        rate = self._rates.get(self._stage)
        if total is None or rate is None:
            return None
        left = rate * max(0, total - done)
        for stage in self._stages[self._stages.index(self._stage) + 1 :]:
            seconds = self._seconds(stage)
            if seconds is None and stage in (ENCODING, WRITING):
                continue  # short compared with the rest
            if seconds is None:
                return None
            left += seconds
        return left
