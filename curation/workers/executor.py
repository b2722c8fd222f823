"""Worker processes on this machine: one job at a time each, limited in time and memory.

A worker that crashes, hangs or is killed costs its own job alone; a new one takes its place.
Workers are spawned, never forked: models and decoders do not survive a fork.
"""

import logging
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.checks import check_range
from configs.errors import UserError

logger = logging.getLogger(__name__)

Job = TypeVar("Job")
Result = TypeVar("Result")
POLL_S = 0.5
GIB = 1 << 30
WORKING: Any = object()
"""Result of ``_listen`` while a worker is still running."""
FAILURES = {
    "timed_out": "it exceeded the time limit",
    "out_of_memory": "it exceeded the memory limit",
    "worker_failed": "its worker process crashed",
}
"""Codes of ``Failure``, which another run may not give, and their meanings."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
KEPT_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(GIB),
    "MALLOC_TRIM_THRESHOLD_": str(GIB),
    "MALLOC_TOP_PAD_": str(GIB // 16),
}
"""Bytes; glibc keeps freed arrays for the next ones: new pages take 5% of a worker's time. Other C
libraries ignore it."""


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """Limits on one source, beyond which its worker is killed."""

    base_s: float = 120.0  # loading models, hashing, opening
    per_second_s: float = 60.0  # for each second of video: 10x what the embedded models take
    per_second_densepose_cpu_s: float = 600.0  # the same with detectron2 on the CPU, 7 s a frame
    max_memory_gb: float | None = 8.0  # GiB in RAM; None: no limit
    max_attempts: int = 3  # runs that try a source that crashed or exceeded these limits

    def __post_init__(self) -> None:
        check_range(self, "max_memory_gb", above=0)
        check_range(self, "max_attempts", least=1)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job has no result."""

    code: str  # one of FAILURES
    detail: str


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Sent by a worker to set the time its job may take from now on."""

    seconds: float


@dataclass(kw_only=True)
class _Worker(Generic[Job]):
    process: Any
    pipe: Connection
    job: Job | None = None
    deadline_s: float = float("inf")


class Workers(Generic[Job, Result]):
    """Processes that are reused from job to job, so that models are loaded once.

    Args:
        build: called once in each worker, picklable; returns the function that does a job, called
            with the job and a way to set its time limit.
        num_workers: maximum number of processes, started when there is work for them.
        first_limit_s: seconds a job has before it sets a limit; a worker's first job also includes
            building.
        max_memory_gb: GiB of memory at which a worker is killed, checked every half second (Linux,
            or if psutil is installed; otherwise there is no limit, and the log says so). None: no
            limit.
    """

    def __init__(
        self,
        build: Callable[[], Callable[[Job, Callable[[Limit], None]], Result]],
        num_workers: int,
        first_limit_s: float,
        max_memory_gb: float | None = None,
    ) -> None:
        if max_memory_gb is not None and resident_bytes(os.getpid()) is None:
            logger.warning("no memory limit: neither /proc nor psutil is available")
            max_memory_gb = None
        self._build = build
        self._num_workers = num_workers
        self._first_limit_s = first_limit_s
        self._max_memory_gb = max_memory_gb
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[Job]] = []

    def __enter__(self) -> "Workers[Job, Result]":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            _stop(worker)
        self._workers.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Result | Failure]]:
        """Do all jobs, yielding each with its result when it is done (in any order).

        Raises:
            UserError: raised in a worker; the run cannot continue.
        """
        waiting = list(reversed(jobs))
        while waiting or any(worker.job is not None for worker in self._workers):
            self._hand_out(waiting)
            busy = [worker for worker in self._workers if worker.job is not None]
            ready = wait([worker.pipe for worker in busy], timeout=POLL_S)
            for worker in busy:
                outcome = _listen(worker, worker.pipe in ready)
                outcome = _weigh(worker, self._max_memory_gb) if outcome is WORKING else outcome
                if outcome is WORKING:
                    continue
                job = worker.job
                assert job is not None
                worker.job = None
                if isinstance(outcome, Failure):
                    _stop(worker)
                    self._workers.remove(worker)
                yield job, outcome

    def _hand_out(self, waiting: list[Job]) -> None:
        for worker in [w for w in self._workers if w.job is None and not w.process.is_alive()]:
            _stop(worker)  # killed from outside between two jobs
            self._workers.remove(worker)
        idle = [worker for worker in self._workers if worker.job is None]
        while waiting and (idle or len(self._workers) < self._num_workers):
            if not idle:
                idle = [_start(self._context, self._build)]
                self._workers += idle
            worker = idle.pop()
            worker.job = waiting.pop()
            worker.deadline_s = time.monotonic() + self._first_limit_s
            with suppress(BrokenPipeError):  # it has just died, which ``run`` notices
                worker.pipe.send(worker.job)


def _listen(worker: _Worker[Any], is_ready: bool) -> Any:
    """A result, a Failure, or WORKING."""
    if not is_ready:
        if time.monotonic() < worker.deadline_s:
            return WORKING
        return Failure(code="timed_out", detail="it took longer than its time limit")
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(timeout=5)
        return Failure(code="worker_failed", detail=f"exit code {worker.process.exitcode}")
    if kind == "limit":
        worker.deadline_s = time.monotonic() + content.seconds
        return WORKING
    if kind == "user_error":
        raise UserError(content)
    if kind == "failed":
        return Failure(code="worker_failed", detail=content)
    return content


def _weigh(worker: _Worker[Any], max_memory_gb: float | None) -> Any:
    """A Failure if the worker uses too much memory, else WORKING."""
    held = None if max_memory_gb is None else resident_bytes(worker.process.pid)
    if held is None or max_memory_gb is None or held <= max_memory_gb * GIB:
        return WORKING
    detail = f"it used {held / GIB:.2f} GiB of memory; the limit is {max_memory_gb:g}"
    return Failure(code="out_of_memory", detail=detail)


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None if it is gone or unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        pass
    try:
        import psutil  # pyright: ignore[reportMissingModuleSource]
    except ImportError:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def _start(context: Any, build: Callable[[], Any]) -> _Worker[Any]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, build), daemon=True)
    wanted = {**KEPT_MEMORY, **os.environ, **ONE_THREAD}  # one process per core, one thread each
    before = {name: os.environ.get(name) for name in (*KEPT_MEMORY, *ONE_THREAD)}
    os.environ.update({name: wanted[name] for name in before})
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    theirs.close()
    return _Worker(process=process, pipe=ours)


def _stop(worker: _Worker[Any]) -> None:
    worker.pipe.close()
    if worker.job is not None or worker.process.is_alive():
        worker.process.kill()
    worker.process.join()


def _end_with_parent() -> None:
    """Die with the main process, even on kill -9: nothing else would stop this one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(pipe: Connection, build: Callable[[], Any]) -> None:
    """The loop of one worker process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do: Any = None
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            do = build() if do is None else do
            pipe.send(("result", do(job, lambda limit: pipe.send(("limit", limit)))))
        except UserError as error:
            pipe.send(("user_error", str(error)))
        except KeyboardInterrupt:
            return
        except Exception as error:  # the boundary: one bad video must not stop the others
            logger.warning("%s", traceback.format_exc())
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(where.filename)}:{where.lineno}"
            pipe.send(("failed", f"{type(error).__name__}: {error} ({place})"))
