"""Worker processes on this machine: one job at a time each, limited in time and memory.

A worker that crashes, hangs or is killed costs its own job alone; a new one takes its place.
Workers are spawned, never forked: models and decoders do not survive a fork.
"""

import logging
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.errors import UserError

logger = logging.getLogger(__name__)

Job = TypeVar("Job")
Result = TypeVar("Result")
POLL_S = 0.5
GIB = 1 << 30
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What happened to a job that gave no result."""

    code: str  # worker_failed, timed_out or out_of_memory
    detail: str


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Said by a worker when it knows how long its job may take from now on."""

    seconds: float


@dataclass(kw_only=True)
class _Worker(Generic[Job]):
    process: Any
    pipe: Connection
    job: Job | None = None
    deadline_s: float = float("inf")


def run_jobs(
    jobs: Sequence[Job],
    build: Callable[[], Callable[[Job, Callable[[Limit], None]], Result]],
    num_workers: int,
    first_limit_s: float,
    max_memory_gb: float | None = None,
) -> Iterator[tuple[Job, Result | Failure]]:
    """Do all jobs, yielding each with its result as it is done (in any order).

    Args:
        jobs: picklable descriptions of work.
        build: called once in each worker, picklable; returns the function that does a job. That
            function is given the job and a way to set its time limit.
        num_workers: processes at the same time.
        first_limit_s: seconds a job has before it set a limit; the first job of a worker also
            pays for building.
        max_memory_gb: GiB of memory at which a worker is killed, looked at every half second
            (Linux, or where psutil is installed; elsewhere there is no limit, and the log says
            so). None: no limit.

    Raises:
        UserError: a worker reported one: the run cannot go on.
    """
    waiting = list(reversed(jobs))
    if max_memory_gb is not None and waiting and resident_bytes(os.getpid()) is None:
        logger.warning("no memory limit: neither /proc nor psutil tells how much a worker holds")
        max_memory_gb = None
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker[Job]] = []
    try:
        while waiting or any(worker.job is not None for worker in workers):
            while waiting and len(workers) < num_workers:
                workers.append(_start(context, build))
            for worker in workers:
                if worker.job is None and waiting:
                    worker.job = waiting.pop()
                    worker.deadline_s = time.monotonic() + first_limit_s
                    worker.pipe.send(worker.job)
            busy = [worker for worker in workers if worker.job is not None]
            ready = wait([worker.pipe for worker in busy], timeout=POLL_S)
            for worker in busy:
                outcome = _listen(worker, worker.pipe in ready)
                outcome = _weigh(worker, max_memory_gb) if outcome is None else outcome
                if outcome is None:
                    continue
                job = worker.job
                assert job is not None
                worker.job = None
                if isinstance(outcome, Failure):
                    _stop(worker)
                    workers.remove(worker)
                yield job, outcome
    finally:
        for worker in workers:
            _stop(worker)


def _listen(worker: _Worker[Any], is_ready: bool) -> Any:
    """A result, a Failure, or None while the worker is at work."""
    if not is_ready:
        if time.monotonic() < worker.deadline_s:
            return None
        return Failure(code="timed_out", detail="it took longer than its time limit")
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join(timeout=5)
        return Failure(code="worker_failed", detail=f"exit code {worker.process.exitcode}")
    if kind == "limit":
        worker.deadline_s = time.monotonic() + content.seconds
        return None
    if kind == "user_error":
        raise UserError(content)
    if kind == "failed":
        return Failure(code="worker_failed", detail=content)
    return content


def _weigh(worker: _Worker[Any], max_memory_gb: float | None) -> Failure | None:
    """A Failure if the worker holds too much memory."""
    held = None if max_memory_gb is None else resident_bytes(worker.process.pid)
    if held is None or max_memory_gb is None or held <= max_memory_gb * GIB:
        return None
    detail = f"it held {held / GIB:.2f} GiB of memory; its limit is {max_memory_gb:g}"
    return Failure(code="out_of_memory", detail=detail)


def resident_bytes(pid: int) -> int | None:
    """Memory of a process that lies in RAM; None if it is gone or the system does not tell."""
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
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # one process a core, one thread each
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


def _work(pipe: Connection, build: Callable[[], Any]) -> None:
    """The loop of one worker process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
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
