"""The queue: one job at a time, shared fairly between people.

Jobs of one person run in order of arrival; between people, whoever was served least recently is
next, so that ten jobs of one person do not delay the single job of another. A separate thread does
the work; a job stops at its next progress report after it was cancelled.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.console import counted
from configs.errors import UserError
from inference.errors import RequestError, not_found
from inference.progress import Cancelled, Progress, Status
from inference.web.settings import AppLimits
from inference.web.uploads import Upload

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
ACTIVE = (WAITING, RUNNING)
_JOIN_S = 20.0  # for the running job to notice that the server stops
_FAULT = "Something went wrong on the server; your file is not the cause. See the server's log."
_NO_MEMORY = "This server has too little memory for this video. Try a shorter or smaller one."

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TryOnRequest:
    """What a person asked for: a preview of the conditions, or a garment on a previewed person."""

    video: Upload
    category: str
    person: int | None = None  # number; None: the main one
    every_frame: bool = False  # preview all frames; False: some, quickly
    garment: Upload | None = None  # None: a preview only
    preview: "QueuedJob | None" = None  # the preview that is to be painted
    seed: int = 0
    is_labelled: bool = False  # a visible label in every frame


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a finished job leaves in its folder."""

    files: dict[str, Path]  # name in the browser -> file
    facts: dict[str, Any]  # for the page


@dataclass(kw_only=True, eq=False)
class QueuedJob:
    """One request and its state."""

    id: str  # the store's item
    owner: str
    request: TryOnRequest
    state: str = WAITING
    status: Status | None = None
    error: str | None = None
    started_at: float | None = None
    used_at: float = 0.0  # when it ended, or was last painted from
    result: JobResult = field(default_factory=lambda: JobResult(files={}, facts={}))
    is_cancelled: bool = False  # requested; the state follows

    @property
    def kind(self) -> str:
        """``look`` for a preview, ``dress`` for a result; the page reads these words."""
        return "look" if self.request.garment is None else "dress"

    @property
    def number(self) -> str:
        """The start of the id: enough to find the job in the log, too little to request it."""
        return self.id[:8]

    @property
    def is_active(self) -> bool:
        """Waiting or running."""
        return self.state in ACTIVE

    def needs(self, thing: "Upload | QueuedJob") -> bool:
        """Whether an upload or a preview must be kept for this job."""
        request = self.request
        return self.is_active and thing in (request.video, request.garment, request.preview)


Work = Callable[[QueuedJob, Progress], JobResult]


class JobQueue:
    """All jobs of the app.

    Args:
        work: does one job; called in a thread. Its progress callback raises ``Cancelled`` to stop.
        limits: how many jobs may wait.
        on_end: called with a job that has ended in any way.
    """

    def __init__(self, work: Work, limits: AppLimits, on_end: Callable[[QueuedJob], None]) -> None:
        self._work, self._limits, self._on_end = work, limits, on_end
        self._jobs: dict[str, QueuedJob] = {}
        self._served: dict[str, int] = {}  # owner -> number of their last turn
        self._turn = 0
        self._pace: dict[str, float] = {}  # kind -> seconds per video frame of its last job
        self._changed = threading.Condition(threading.RLock())
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="try-on", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel everything and wait for the running job to end."""
        with self._changed:
            self._is_closed = True
            for job in self._jobs.values():
                self._cancel(job)
            self._changed.notify_all()
        self._thread.join(_JOIN_S)

    def submit(self, job: QueuedJob) -> None:
        """Put a job at the end of its owner's line.

        Raises:
            RequestError: too many are waiting.
        """
        with self._changed:
            active = [other for other in self._jobs.values() if other.is_active]
            mine = sum(other.owner == job.owner for other in active)
            if mine >= self._limits.jobs_per_person:
                raise RequestError(
                    f"You have {counted(mine, 'job')} waiting or running; wait for one or cancel "
                    "one.",
                    429,
                )
            if len(active) >= self._limits.jobs:
                raise RequestError("Too many jobs are waiting; try again later.", 503)
            self._jobs[job.id] = job
            self._changed.notify_all()

    def get(self, job_id: str, owner: str) -> QueuedJob:
        """A job of this person.

        Raises:
            RequestError: it does not exist or belongs to someone else.
        """
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise not_found()
        return job

    def of(self, owner: str) -> list[QueuedJob]:
        """A person's jobs, oldest first."""
        with self._changed:
            return [job for job in self._jobs.values() if job.owner == owner]

    def needs(self, thing: Upload | QueuedJob) -> bool:
        """Whether a waiting or running job uses this file or preview."""
        with self._changed:
            return any(job.needs(thing) for job in self._jobs.values())

    def cancel(self, job: QueuedJob) -> None:
        """End a job: at once if it waits, at its next progress report if it runs."""
        with self._changed:
            self._cancel(job)

    def remove(self, job: QueuedJob) -> bool:
        """Forget an ended job that nothing needs; the caller deletes its files."""
        with self._changed:
            is_removed = not job.is_active and not self.needs(job)
            if is_removed:
                self._jobs.pop(job.id, None)
        return is_removed

    def take_expired(self) -> list[QueuedJob]:
        """Forget the jobs whose last use is longer ago than ``keep_minutes``, and return them."""
        oldest = time.time() - 60 * self._limits.keep_minutes
        with self._changed:
            expired = [
                job for job in self._jobs.values()
                if not job.is_active and job.used_at < oldest and not self.needs(job)
            ]  # fmt: skip
            for job in expired:
                del self._jobs[job.id]
        return expired

    def line(self) -> list[QueuedJob]:
        """The running job, then the waiting ones in the order in which they will run."""
        with self._changed:
            running = [job for job in self._jobs.values() if job.state == RUNNING]
            return running + list(self._order())

    def ahead(self, job: QueuedJob) -> tuple[int, float | None]:
        """How many jobs come before a waiting one, and the seconds they take (None: unknown)."""
        with self._changed:
            line = self.line()
            before = line[: line.index(job)] if job in line else []
            seconds = [self.seconds_left(other) for other in before]
        known = [value for value in seconds if value is not None]
        return len(before), sum(known) if len(known) == len(seconds) else None

    def seconds_left(self, job: QueuedJob) -> float | None:
        """Of a waiting (its whole time) or running job, estimated from the last job of its kind."""
        if job.status is not None and job.status.seconds_left is not None:
            return job.status.seconds_left
        pace = self._pace.get(job.kind)
        if pace is None:
            return None
        passed = 0.0 if job.started_at is None else time.time() - job.started_at
        return max(1.0, pace * (job.request.video.facts.num_frames or 1) - passed)

    def _cancel(self, job: QueuedJob) -> None:
        job.is_cancelled = True
        if job.state == WAITING:
            self._end(job, CANCELLED)

    def _order(self) -> Iterator[QueuedJob]:
        """Waiting jobs, the next one first: the rule of ``_take``, applied some turns ahead."""
        waiting = [job for job in self._jobs.values() if job.state == WAITING]
        served, turn = dict(self._served), self._turn
        while waiting:
            job = min(waiting, key=lambda job: served.get(job.owner, -1))
            turn += 1
            served[job.owner] = turn
            waiting.remove(job)
            yield job

    def _run(self) -> None:
        while (job := self._take()) is not None:
            with self._boundary(job):
                self._do(job)

    def _take(self) -> QueuedJob | None:
        """The next job, as soon as there is one; None when the queue is closed."""
        with self._changed:
            while not self._is_closed:
                job = next(self._order(), None)
                if job is not None:
                    self._turn += 1
                    self._served[job.owner] = self._turn
                    job.state, job.started_at = RUNNING, time.time()
                    return job
                self._changed.wait()
        return None

    def _do(self, job: QueuedJob) -> None:
        result = self._work(job, lambda status: self._report(job, status))
        with self._changed:
            if job.is_cancelled:
                raise Cancelled
            job.result = result
            frames = max(1, job.request.video.facts.num_frames or 1)
            self._pace[job.kind] = (time.time() - (job.started_at or 0)) / frames
            self._end(job, DONE)

    @contextmanager
    def _boundary(self, job: QueuedJob) -> Iterator[None]:
        """Whatever goes wrong in a job ends that job only."""
        try:
            yield
        except Cancelled:
            self._end(job, CANCELLED)
        except UserError as error:
            self._end(job, FAILED, getattr(error, "plain", str(error)))
        except MemoryError:
            _logger.exception("job %s: out of memory", job.number)
            self._end(job, FAILED, _NO_MEMORY)
        except Exception as error:
            _logger.exception("job %s failed", job.number)
            is_memory = "out of memory" in str(error)  # torch's error on a GPU; torch not imported
            self._end(job, FAILED, _NO_MEMORY if is_memory else _FAULT)

    def _report(self, job: QueuedJob, status: Status) -> None:
        if job.is_cancelled:
            raise Cancelled
        job.status = status

    def _end(self, job: QueuedJob, state: str, error: str | None = None) -> None:
        with self._changed:
            job.state, job.error, job.used_at = state, error, time.time()
            job.status = None
            owners = {other.owner for other in self._jobs.values()}
            self._served = {who: turn for who, turn in self._served.items() if who in owners}
        self._on_end(job)
