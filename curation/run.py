"""``python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ...``.

Raw videos below ``src`` become shards, a manifest and a report in ``out``. Run again, it goes on
where it was: nothing is decoded twice. ``bench=vvt`` or ``bench=vivid_s`` prepares a benchmark.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError
from configs.loading import load_config, save_config, split_arguments
from curation.benchmark import FramesJob, frames_row, prepare_jobs
from curation.benchmark import build_worker as build_bench_worker
from curation.catalogue import build_catalogue, packed_clips
from curation.executor import Failure, Limit, run_jobs
from curation.ledger import Ledger, SourceRow
from curation.manifest import manifest_rows, write_manifest
from curation.members import read_picture
from curation.perception.select import choose_perception
from curation.pipeline import (
    Curator,
    SourceJob,
    SourceResult,
    fingerprint_of_run,
    source_row,
)
from curation.rejected import write_rejected
from curation.report import write_report
from curation.settings import CurateConfig
from curation.shards import pack_shards
from curation.sources import Source, check_folder, find_sources
from curation.storage import sweep
from curation.video import cpu_count

logger = logging.getLogger(__name__)

USAGE = "python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ..."
EXIT_STRICT = 1
AnyJob = TypeVar("AnyJob", SourceJob, FramesJob)


@dataclass(kw_only=True)
class Outcome:
    """What a run did, for its last lines."""

    num_sources: int
    num_decoded: int = 0
    num_kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def main(argv: list[str]) -> int:
    """Entry of ``python -m curation.run``."""
    config = load_config(CurateConfig, *split_arguments(argv, USAGE))
    outcome = curate(config) if config.bench is None else prepare_benchmark(config)
    return EXIT_STRICT if config.strict and outcome.reasons else 0


def curate(config: CurateConfig) -> Outcome:
    """Curate the folder ``config.src`` into ``config.out``.

    Raises:
        ConfigError: no ``src``.
        DataError: ``src`` is missing or empty, the ledger is foreign, models are missing.
    """
    if config.src is None:
        raise ConfigError(f"src=DIR is missing: the folder with raw videos; usage: {USAGE}")
    check_folder(Path(config.src))
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        sources = find_sources(Path(config.src), ledger.hash_of)
        perception = choose_perception(config.perception, config.weights)
        jobs = _source_jobs(sources, ledger, fingerprint_of_run(config, perception))
        build = functools.partial(build_worker, config)
        outcome = work_off(jobs, build, source_row, config, ledger)
        ledger.update_names(sources)
        finish(config, ledger, outcome)
    return outcome


def prepare_benchmark(config: CurateConfig) -> Outcome:
    """Make the tracks of ``config.bench`` once; its shards lie in its own folder."""
    config, jobs = prepare_jobs(config)
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        build = functools.partial(build_bench_worker, config)
        outcome = work_off(jobs, build, frames_row, config, ledger)
        finish(config, ledger, outcome, {job.sha256 for job in jobs})
    return outcome


def _source_jobs(sources: list[Source], ledger: Ledger, run_fingerprint: str) -> list[SourceJob]:
    for source in sources:
        if source.sidecar.split == "bench" and source.target_path is not None:
            read_picture(source.target_path)  # better now than after an hour's work
    return [
        SourceJob(
            source=source,
            sha256=source.sha256,
            name=source.name,
            fingerprint=f"{run_fingerprint}-{source.companions_sha256 or ''}-"
            f"{source.sidecar.split == 'bench'}",
            known=ledger.made_of(source.sha256),
        )
        for source in sources
    ]


def work_off(
    jobs: Sequence[AnyJob],
    build: Callable[[], Callable[[AnyJob, Callable[[Limit], None]], SourceResult]],
    failed_row: Callable[..., SourceRow],
    config: CurateConfig,
    ledger: Ledger,
) -> Outcome:
    """Do what the ledger does not hold yet, with these settings and models."""
    out = Path(config.out)
    for folder in ("clips", "signals"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        sweep(out / folder)
    save_config(config, out / "config.yaml")
    outcome = Outcome(num_sources=len(jobs))
    missing = [job for job in jobs if ledger.fingerprint_of(job.sha256) != job.fingerprint]
    workers = min(config.workers or cpu_count(), max(len(missing), 1))
    with _Counter(len(missing)) as counter:
        limits = config.limits
        for job, result in run_jobs(missing, build, workers, limits.base_s, limits.max_memory_gb):
            if isinstance(result, Failure):
                logger.warning("%s: %s (%s)", job.name, result.code, result.detail)
                row = failed_row(job, code=result.code, evidence={"detail": result.detail})
                result = SourceResult(row=row, clips=[], was_decoded=True)
            ledger.record(result.row, result.clips)
            outcome.num_decoded += result.was_decoded
            counter.count(result)
    logger.info(
        "decoded %d sources; %d of %d were done before",
        outcome.num_decoded,
        len(jobs) - len(missing),
        len(jobs),
    )
    return outcome


class _Counter:
    """The progress bar; lines of log where there is no terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._kept, self._rejected = total, 0, 0, 0
        console = Console(stderr=True)
        self._is_shown = console.is_terminal
        columns = (
            TextColumn("curating"), BarColumn(), MofNCompleteColumn(), TextColumn("videos"),
            TimeRemainingColumn(), TextColumn("[green]{task.fields[kept]} kept"),
            TextColumn("[red]{task.fields[rejected]} rejected"),
        )  # fmt: skip
        self._bar = Progress(*columns, console=console, disable=not self._is_shown or not total)
        self._task = self._bar.add_task("", total=total, kept=0, rejected=0)

    def __enter__(self) -> "_Counter":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def count(self, result: SourceResult) -> None:
        """One more source is done."""
        self._done += 1
        self._kept += sum(clip.status == "kept" for clip in result.clips)
        self._rejected += sum(clip.status != "kept" for clip in result.clips)
        self._rejected += result.row.code is not None
        self._bar.update(self._task, advance=1, kept=self._kept, rejected=self._rejected)
        if not self._is_shown and (self._done % 10 == 0 or self._done == self._total):
            logger.info(
                "%d/%d videos, %d kept, %d rejected",
                self._done, self._total, self._kept, self._rejected,
            )  # fmt: skip


def build_worker(
    config: CurateConfig,
) -> Callable[[SourceJob, Callable[[Limit], None]], SourceResult]:
    """What a worker process does with a job; called once in each."""
    return Curator(config, choose_perception(config.perception, config.weights)).curate


def finish(
    config: CurateConfig, ledger: Ledger, outcome: Outcome, only: set[str] | None = None
) -> None:
    """Shards, manifest and report from the ledger; what is up to date is left alone.

    Args:
        config: of the run.
        ledger: what became of every source, of this run and of those before.
        outcome: gets the counts.
        only: sources by sha256: a benchmark is what its list says today. None: all.
    """
    out = Path(config.out)
    sources = [row for row in ledger.sources() if only is None or row.sha256 in only]
    clips = [row for row in ledger.clips() if only is None or row.source_sha256 in only]
    entries = build_catalogue(sources, clips, config.duplicates, config.shards)
    shard_of, num_written = pack_shards(
        packed_clips(entries, out / "clips"), out / "shards", config.shards
    )
    write_rejected(out / "shards", entries, sources)
    rows = manifest_rows(entries, sources, shard_of)
    write_manifest(out / "manifest.parquet", rows)
    outcome.num_kept = sum(row["status"] == "kept" for row in rows)
    outcome.reasons = Counter(row["reason"] for row in rows if row["status"] != "kept")
    if num_written or outcome.num_decoded or not (out / "report.html").is_file():
        write_report(out / "report.html", entries, sources, config)
    _print_outcome(outcome, out)


def _print_outcome(outcome: Outcome, out: Path) -> None:
    console = Console()
    if outcome.reasons:
        table = Table(title="Rejected", title_justify="left")
        table.add_column("reason")
        table.add_column("clips", justify="right")
        for reason, count in outcome.reasons.most_common():
            table.add_row(reason, str(count))
        console.print(table)
    total = sum(outcome.reasons.values())
    console.print(
        f"{outcome.num_sources} videos: {outcome.num_kept} clips kept, {total} rejected -> "
        f"{out / 'shards'}, {out / 'manifest.parquet'}, {out / 'report.html'}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main)
