"""Many videos: jobs from a CSV or from Python, one after the other, each done once.

A CSV has a header and one job per line. ``video`` and ``garment`` are required; relative paths
start at the CSV's folder::

    video,garment,out,category,person,seed,label
    anna.mp4,shirt.jpg,,upper,,0,
    group.mp4,dance.mp4@3.2,group-2.mp4,overall,2,1,AI-generated

An interrupted list resumes where it was; a job whose files or settings changed is done again.
"""

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, UserError
from datasets.labels import CATEGORIES
from datasets.storage import settings_sha256, sha256_if_file, sweep, write_file
from inference.conditions.given import GivenConditions
from inference.conditions.worn_garment import GarmentSource
from inference.pipeline import TryOnPipeline
from inference.progress import Status
from inference.tryon_config import TryOnConfig
from inference.video.work_folder import WorkFolder

COLUMNS = (
    "video", "garment", "out", "category", "person", "seed", "label", "garment_kind", "mask",
    "densepose",
)  # fmt: skip
LEDGER = "jobs.json"


@dataclass(frozen=True, kw_only=True)
class TryOnJob:
    """One video and garment; the fields are the pipeline's arguments."""

    video: Path
    garment: str
    out: Path
    category: str = "upper"
    person: int | None = None
    seed: int = 0
    label: str = ""
    garment_kind: str = "auto"
    paste_back: bool = True
    given: GivenConditions | None = None


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
        return f"{self.job.out.name}: {self.report.get('num_frames', '?')} frames, {took}"


def read_jobs(path: Path, folder: Path, defaults: TryOnConfig) -> list[TryOnJob]:
    """The jobs of a CSV.

    Args:
        path: the CSV.
        folder: for results whose line has no ``out``.
        defaults: for columns that are missing or empty.

    Raises:
        ConfigError: no such file, an unknown column, an invalid value, or two jobs with one out.
    """
    if not path.is_file():
        raise ConfigError(f"jobs={path} does not exist; give a CSV with columns video,garment")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"jobs={path} cannot be read as a CSV: {error}") from error
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or not {"video", "garment"} <= set(header):
        raise ConfigError(
            f"jobs={path} has the columns {', '.join(header) or '(none)'}; video and garment are "
            f"required, {', '.join(COLUMNS[2:])} are accepted"
        )
    jobs: list[TryOnJob] = []
    taken: dict[Path, int] = {}
    for line, row in rows:
        job = _read_row({key: (row[key] or "").strip() for key in header}, path, line, folder,
                        defaults)  # fmt: skip
        if job.out in taken:
            raise ConfigError(
                f"{path}, line {line}: {job.out} is also the result of line {taken[job.out]}; "
                "give one of them another out"
            )
        taken[job.out] = line
        jobs.append(job)
    if not jobs:
        raise ConfigError(f"jobs={path} has a header and no job; add one job per line")
    return jobs


def run_jobs(
    pipeline: TryOnPipeline,
    jobs: Sequence[TryOnJob],
    folder: Path,
    progress: Callable[[int, TryOnJob, Status], None] | None = None,
) -> Iterator[JobOutcome]:
    """Do the jobs in order; a user's error in one of them does not stop the others.

    Args:
        pipeline: does all of them.
        jobs: what to do.
        folder: for the record of finished jobs and for unfinished work; conditions are made once
            for all jobs that share them.
        progress: called with the job's index, the job and its status; may raise ``Cancelled``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    ledger_path = folder / LEDGER
    ledger = _read_ledger(ledger_path)
    for number, job in enumerate(jobs):
        name = str(job.out.absolute())
        start = time.monotonic()
        try:
            request = _request(pipeline, job)
            entry = ledger.get(name)
            if entry is not None and entry["request"] == request and job.out.is_file():
                yield JobOutcome(
                    job=job, was_done=True, seconds=entry["seconds"], report=entry["report"]
                )
                continue
            work = WorkFolder(_work_path(folder, job))
            result = pipeline(
                job.video, job.garment, job.category, person=job.person,
                garment_kind=job.garment_kind, given=job.given, seed=job.seed,
                paste_back=job.paste_back, label=job.label, out=job.out, work=work,
                progress=None if progress is None else partial(progress, number, job),
            )  # fmt: skip
        except UserError as error:
            yield JobOutcome(job=job, error=error, seconds=time.monotonic() - start)
            continue
        seconds = time.monotonic() - start
        ledger[name] = {"request": request, "report": result.report, "seconds": seconds}
        write_file(ledger_path, json.dumps(ledger, indent=1).encode())
        if not any(_work_path(folder, other) == work.path for other in jobs[number + 1 :]):
            work.remove()
        yield JobOutcome(job=job, seconds=seconds, report=result.report)


def _read_row(
    row: dict[str, str], path: Path, line: int, folder: Path, defaults: TryOnConfig
) -> TryOnJob:
    where = f"{path}, line {line}"
    for name in ("video", "garment"):
        if not row[name]:
            raise ConfigError(f"{where}: {name} is empty")
    values: dict[str, Any] = {
        name: row.get(name) or getattr(defaults, name) for name in COLUMNS[3:]
    }
    if values["category"] not in CATEGORIES:
        raise ConfigError(
            f"{where}: category={values['category']!r}; one of {', '.join(CATEGORIES)} is expected"
        )
    for name, least in (("person", 1), ("seed", 0)):
        if isinstance(values[name], str):
            if not values[name].isdecimal() or int(values[name]) < least:
                raise ConfigError(
                    f"{where}: {name}={values[name]!r}; a whole number from {least} is expected"
                )
            values[name] = int(values[name])
    base = path.parent
    video, garment = base / row["video"], str(base / row["garment"])
    out = folder / (row.get("out") or f"{video.stem}--{Path(row['garment']).stem}.mp4")
    mask, densepose = values.pop("mask"), values.pop("densepose")
    if (mask is None) != (densepose is None):
        raise ConfigError(f"{where}: give mask and densepose together, or neither")
    given = None
    if mask is not None and densepose is not None:
        given = GivenConditions(
            mask=base / mask, densepose=base / densepose,
            densepose_format=defaults.densepose_format,
        )  # fmt: skip
    return TryOnJob(
        video=video, garment=garment, out=out, given=given, paste_back=defaults.paste_back, **values
    )


def _request(pipeline: TryOnPipeline, job: TryOnJob) -> dict[str, Any]:
    """Everything that a result depends on, as it reads back from JSON."""
    garment = GarmentSource.read(job.garment)
    files = [job.video, garment.path]
    if job.given is not None:
        files += [job.given.mask, job.given.densepose]
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
    shared = [str(job.video), job.category, job.person, repr(job.given)]
    return folder / ".work" / settings_sha256(shared)[:16]


def _read_ledger(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))
