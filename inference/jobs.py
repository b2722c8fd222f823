"""Many videos: jobs from a list or from Python, one after the other, each done once.

An interrupted list resumes where it was; a job whose files or settings changed is done again.
"""

import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from configs.errors import UserError
from datasets.locks import only_run
from datasets.storage import move_aside, settings_sha256, sha256_if_file, sweep, write_file
from inference.job_list import TryOnJob, inputs_of
from inference.out_path import only_writer
from inference.pipeline import TryOnPipeline
from inference.progress import Cancelled, Status
from inference.video.work_folder import WorkFolder

LEDGER = "jobs.json"
ERRORS = "errors.log"
_MOST_OF_A_MESSAGE = 300  # characters

_logger = logging.getLogger(__name__)


class JobFailed(UserError):  # noqa: N818 (named by what happened)
    """A job ended with an error that nobody foresaw; its traceback is in ``ERRORS``."""


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """What became of a job."""

    job: TryOnJob
    error: UserError | None = None  # why there is no result
    was_done: bool = False  # the result is from an earlier run
    seconds: float = 0.0  # how long it took
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One line for people."""
        if self.error is not None:
            return f"{self.job.out.name}: failed: {self.error}"
        took = "from an earlier run" if self.was_done else f"in {self.seconds:.0f} s"
        remarks = "".join(f"; garment: {what}" for what in self.report.get("garment_remarks", ()))
        return f"{self.job.out.name}: {self.report.get('num_frames', '?')} frames, {took}{remarks}"


def run_jobs(
    pipeline: TryOnPipeline,
    jobs: Sequence[TryOnJob],
    folder: Path,
    progress: Callable[[int, TryOnJob, Status], None] | None = None,
) -> Iterator[JobOutcome]:
    """Do the jobs in order; an error in one of them does not stop the others.

    Args:
        pipeline: does all of them.
        jobs: what to do.
        folder: for the record of finished jobs and for unfinished work; conditions are made once
            for all jobs that share them.
        progress: called with the job's index, the job and its status; may raise ``Cancelled``.

    Raises:
        DataError: another process does jobs in this folder.
    """
    with only_run(folder / LEDGER, folder):
        sweep(folder)
        ledger = _read_ledger(folder / LEDGER)
        for number, job in enumerate(jobs):
            report = None if progress is None else partial(progress, number, job)
            start = time.monotonic()
            outcome = _outcome(pipeline, job, folder, ledger, report)
            if outcome.error is not None:
                outcome = replace(outcome, seconds=time.monotonic() - start)
            work = _work_path(folder, job)
            is_shared = any(_work_path(folder, other) == work for other in jobs[number + 1 :])
            if outcome.error is None and not outcome.was_done and not is_shared:
                shutil.rmtree(work, ignore_errors=True)
            yield outcome


def _outcome(
    pipeline: TryOnPipeline,
    job: TryOnJob,
    folder: Path,
    ledger: dict[str, Any],
    report: Callable[[Status], None] | None,
) -> JobOutcome:
    """Do one job, or find that it is done; whatever goes wrong is the outcome."""
    try:
        with only_writer(job.out):
            return _done_before(pipeline, job, ledger) or _do(pipeline, job, folder, ledger, report)
    except UserError as error:
        return JobOutcome(job=job, error=error)
    except Cancelled:
        raise
    except Exception as error:
        with suppress(OSError), (folder / ERRORS).open("a", encoding="utf-8") as file:
            file.write(f"{job.out}\n{traceback.format_exc()}\n")
        what = f"{type(error).__name__}: {error}".strip()[:_MOST_OF_A_MESSAGE]
        sentence = f"unexpected {what}; the traceback is in {folder / ERRORS}"
        # without the error itself, whose frames hold tensors
        return JobOutcome(job=job, error=JobFailed(sentence))


def _done_before(
    pipeline: TryOnPipeline, job: TryOnJob, ledger: dict[str, Any]
) -> JobOutcome | None:
    entry = ledger.get(_name(job))
    if entry is None or not job.out.is_file() or entry["request"] != _request(pipeline, job):
        return None
    return JobOutcome(job=job, was_done=True, seconds=entry["seconds"], report=entry["report"])


def _do(
    pipeline: TryOnPipeline,
    job: TryOnJob,
    folder: Path,
    ledger: dict[str, Any],
    report: Callable[[Status], None] | None,
) -> JobOutcome:
    start = time.monotonic()
    request = _request(pipeline, job)
    result = pipeline(
        job.video, job.garment, job.category, person=job.person, garment_kind=job.garment_kind,
        margin=job.margin, given=job.given, seed=job.seed, paste_back=job.paste_back,
        label=job.label, out=job.out, work=WorkFolder(_work_path(folder, job)), progress=report,
    )  # fmt: skip
    seconds = time.monotonic() - start
    ledger[_name(job)] = {"request": request, "report": result.report, "seconds": seconds}
    write_file(folder / LEDGER, json.dumps(ledger, indent=1).encode())
    return JobOutcome(job=job, seconds=seconds, report=result.report)


def _name(job: TryOnJob) -> str:
    return str(job.out.absolute())


def _request(pipeline: TryOnPipeline, job: TryOnJob) -> dict[str, Any]:
    """Everything that a result depends on, as it reads back from JSON."""
    files = inputs_of(job.video, job.garment, job.given)
    plain = {f.name: getattr(job, f.name) for f in fields(job) if f.name not in ("out", "given")}
    request = {
        **plain,
        "video": str(job.video),
        "files": [sha256_if_file(path) for path in files],  # the pipeline names a missing one
        "system": pipeline.system_identity(),
        **pipeline.painter.settings,
        "perception": {role: info.name for role, info in pipeline.perception.infos().items()},
    }
    return json.loads(json.dumps(request))


def _work_path(folder: Path, job: TryOnJob) -> Path:
    """Jobs with the same conditions share a folder."""
    shared = [str(job.video), job.category, job.margin, job.person, repr(job.given)]
    return folder / ".work" / settings_sha256(shared)[:16]


def _read_ledger(path: Path) -> dict[str, Any]:
    """The finished jobs of earlier runs; a record that cannot be read is moved aside, and said."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
        if all({"request", "report", "seconds"} <= entry.keys() for entry in content.values()):
            return content
    except (ValueError, AttributeError, RecursionError):
        pass
    aside = move_aside(path)
    _logger.warning(
        "%s is no record of jobs; moved to %s, and every job is done again", path, aside
    )
    return {}
