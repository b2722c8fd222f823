"""``python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ...``.

Raw videos below ``src`` become shards, a manifest and a report in ``out``. Run again, it goes on
where it was: nothing is decoded twice. ``bench=vvt`` or ``bench=vivid_s`` prepares a benchmark.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from configs.command import run_command
from configs.errors import ConfigError
from configs.loading import load_config, save_config, split_arguments
from curation.benchmark import FramesJob, frames_row, prepare_jobs
from curation.benchmark import build_worker as build_bench_worker
from curation.executor import Failure, Limit, run_jobs
from curation.ledger import Ledger, SourceRow
from curation.members import read_picture
from curation.perception.select import choose_perception
from curation.pipeline import (
    Curator,
    SourceJob,
    SourceResult,
    fingerprint_of_run,
    source_row,
)
from curation.publish import Outcome, print_outcome, publish
from curation.settings import CurateConfig
from curation.sources import Source, check_folder, find_sources
from curation.storage import sweep
from curation.video import cpu_count

logger = logging.getLogger(__name__)

USAGE = "python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ..."
EXIT_STRICT = 1
AnyJob = TypeVar("AnyJob", SourceJob, FramesJob)


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
        sources = _not_purged(find_sources(Path(config.src), ledger.hash_of), ledger)
        perception = choose_perception(config.perception, config.weights)
        jobs = _source_jobs(sources, ledger, fingerprint_of_run(config, perception))
        build = functools.partial(build_worker, config)
        outcome = work_off(jobs, build, source_row, config, ledger)
        ledger.update_names(sources)
        publish(config, ledger, outcome)
        print_outcome(outcome, Path(config.out))
    return outcome


def prepare_benchmark(config: CurateConfig) -> Outcome:
    """Make the tracks of ``config.bench`` once; its shards lie in its own folder."""
    config, jobs = prepare_jobs(config)
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        build = functools.partial(build_bench_worker, config)
        outcome = work_off(jobs, build, frames_row, config, ledger)
        publish(config, ledger, outcome, {job.sha256 for job in jobs})
        print_outcome(outcome, Path(config.out))
    return outcome


def _not_purged(sources: list[Source], ledger: Ledger) -> list[Source]:
    gone = ledger.purged()
    left_out = [source.name for source in sources if source.sha256 in gone]
    if left_out:
        logger.warning("left out, since they were purged: %s", ", ".join(left_out))
    return [source for source in sources if source.sha256 not in gone]


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


if __name__ == "__main__":
    run_command(main)
