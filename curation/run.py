"""``python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ...``.

Raw videos below ``src`` become shards, a manifest and a report in ``out``. Run again, it goes on
where it was: nothing is decoded twice. ``bench=vvt`` prepares a benchmark instead.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError
from configs.loading import load_config, save_config, split_arguments
from curation.catalogue import build_catalogue, packed_clips
from curation.executor import Failure, Limit, run_jobs
from curation.ledger import ClipRow, Ledger
from curation.manifest import manifest_rows, write_manifest
from curation.perception.select import choose_perception
from curation.pipeline import (
    Curator,
    SourceJob,
    SourceResult,
    fingerprint_of_run,
    source_row,
)
from curation.report import write_report
from curation.settings import CurateConfig
from curation.shards import pack_shards
from curation.sources import Source, find_sources
from curation.storage import sweep
from curation.video import cpu_count

logger = logging.getLogger(__name__)

USAGE = "python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ..."
EXIT_STRICT = 1


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
    if config.bench is not None:
        from curation.benchmark import prepare_benchmark

        outcome = prepare_benchmark(config)
    else:
        outcome = curate(config)
    return EXIT_STRICT if config.strict and outcome.reasons else 0


def curate(config: CurateConfig) -> Outcome:
    """Curate the folder ``config.src`` into ``config.out``.

    Raises:
        ConfigError: no ``src``.
        DataError: ``src`` is missing or empty, the ledger is foreign, models are missing.
    """
    if config.src is None:
        raise ConfigError(f"src=DIR is missing: the folder with raw videos; usage: {USAGE}")
    out = Path(config.out)
    with Ledger(out / "ledger.sqlite") as ledger:
        sources = find_sources(Path(config.src), ledger.hash_of)
        return curate_sources(sources, config, ledger)


def curate_sources(sources: list[Source], config: CurateConfig, ledger: Ledger) -> Outcome:
    """Do what is missing for these sources, then pack and report everything in the ledger."""
    out = Path(config.out)
    for folder in ("clips", "signals"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        sweep(out / folder)
    save_config(config, out / "config.yaml")
    perception = choose_perception(config.perception, config.weights)
    jobs = _jobs(sources, config, ledger, fingerprint_of_run(config, perception))
    outcome = Outcome(num_sources=len(sources))
    if jobs:
        _work_off(jobs, config, ledger, outcome)
    ledger.update_names(sources)
    logger.info(
        "decoded %d sources; %d of %d were done before",
        outcome.num_decoded,
        len(sources) - len(jobs),
        len(sources),
    )
    _finish(config, ledger, outcome)
    return outcome


def _jobs(
    sources: list[Source], config: CurateConfig, ledger: Ledger, run_fingerprint: str
) -> list[SourceJob]:
    """Sources that were never curated, or not with these settings and models."""
    known: dict[str, dict[str, ClipRow]] = {}
    for clip in ledger.clips():
        request = clip.record.get("request")
        if request:
            known.setdefault(clip.source_sha256, {})[request] = clip
    jobs = [
        SourceJob(
            source=source,
            fingerprint=f"{run_fingerprint}-{source.companions_sha256 or ''}-"
            f"{source.sidecar.split == 'bench'}",
            known=known.get(source.sha256, {}),
        )
        for source in sources
    ]
    return [job for job in jobs if ledger.fingerprint_of(job.source.sha256) != job.fingerprint]


def _work_off(
    jobs: list[SourceJob], config: CurateConfig, ledger: Ledger, outcome: Outcome
) -> None:
    workers = min(config.workers or cpu_count(), len(jobs))
    kept = rejected = 0
    console = Console(stderr=True)
    columns = (
        TextColumn("curating"), BarColumn(), MofNCompleteColumn(), TextColumn("videos"),
        TimeRemainingColumn(), TextColumn("[green]{task.fields[kept]} kept"),
        TextColumn("[red]{task.fields[rejected]} rejected"),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(jobs), kept=0, rejected=0)
        build = functools.partial(build_worker, config)
        for done, (job, result) in enumerate(
            run_jobs(jobs, build, workers, config.limits.base_s), start=1
        ):
            if isinstance(result, Failure):
                logger.warning("%s: %s (%s)", job.source.name, result.code, result.detail)
                row = source_row(job, code=result.code, evidence={"detail": result.detail})
                result = SourceResult(row=row, clips=[], was_decoded=True)
            ledger.record(result.row, result.clips)
            outcome.num_decoded += result.was_decoded
            kept += sum(clip.status == "kept" for clip in result.clips)
            rejected += sum(clip.status != "kept" for clip in result.clips)
            rejected += result.row.code is not None
            progress.update(task, advance=1, kept=kept, rejected=rejected)
            if not console.is_terminal and (done % 10 == 0 or done == len(jobs)):
                logger.info("%d/%d videos, %d kept, %d rejected", done, len(jobs), kept, rejected)


def build_worker(
    config: CurateConfig,
) -> Callable[[SourceJob, Callable[[Limit], None]], SourceResult]:
    """What a worker process does with a job; called once in each."""
    return Curator(config, choose_perception(config.perception, config.weights)).curate


def _finish(config: CurateConfig, ledger: Ledger, outcome: Outcome) -> None:
    """Shards, manifest and report from the ledger; what is up to date is left alone."""
    out = Path(config.out)
    sources = ledger.sources()
    entries = build_catalogue(sources, ledger.clips(), config.duplicates, config.shards)
    shard_of, num_written = pack_shards(
        packed_clips(entries, out / "clips"), out / "shards", config.shards
    )
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
