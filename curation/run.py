"""``python -m curation.run configs/curate.yaml src=DIR out=data/dance key=value ...``.

Raw videos below ``src`` become shards, a manifest and a report in ``out``. A rerun resumes
where it stopped: nothing is decoded twice. ``bench=vvt`` (or ``vivid_s``, ``eevee``) prepares a
benchmark.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from configs.command import run_command
from configs.console import Progress, counted
from configs.errors import ConfigError
from configs.loading import load_config, save_config, split_arguments
from curation.benchmark import FramesJob, benchmark_root, frames_row, prepare_jobs
from curation.benchmark import build_worker as build_bench_worker
from curation.clip_maker import fingerprint
from curation.forecast import (
    Costs,
    expected_work,
    forecast,
    known_or_new,
    ledger_copy,
    measured_costs,
    print_forecast,
)
from curation.image_pairs import pair_jobs
from curation.ledger import Ledger, SourceRow
from curation.pipeline import (
    ChoosePerception,
    SourceJob,
    SourceResult,
    build_measurer,
    build_worker,
    chosen_perception,
    infos_of,
    source_row,
)
from curation.publish import Published, print_outcome, publish
from curation.settings import CurateConfig
from curation.shards.upload import send
from curation.stages.clip_files import read_picture
from curation.video.decode import cpu_count
from curation.video.remote import fetch, is_remote
from curation.video.sources import Source, check_folder, find_sources
from curation.workers.attempts import facts_of_failure, is_to_try_again
from curation.workers.executor import FAILURES, Failure, Limit, Workers
from curation.workers.parts import begin_part, is_in_part, ledger_path, parse_part, take_over_parts
from curation.workers.progress import VerdictCounts
from datasets.benchmarks.origins import check_is_here
from datasets.locks import only_run
from datasets.storage import disk_errors_named, sweep

logger = logging.getLogger(__name__)

USAGE = 'make curate SRC=DIR [OUT=data/dance] [ARGS="key=value ..."]'
EXIT_STRICT = 1
LINE_EVERY_S = 60.0
FIRST_LINES = 3  # after each of the first videos, so that a bad start is seen at once
AnyJob = TypeVar("AnyJob", SourceJob, FramesJob)


def main(argv: list[str]) -> int:
    """Entry of ``python -m curation.run``."""
    config = read_arguments(argv)
    if config.dry_run:
        print_dry_run(config)
        return 0
    outcome = curate(config) if config.benchmark is None else prepare_benchmark(config)
    if config.send is not None and config.job_part is None:
        send(Path(config.out), config.send)
    return EXIT_STRICT if config.strict and outcome.reasons else 0


def read_arguments(argv: list[str]) -> CurateConfig:
    """The settings; the folder with videos, or of the benchmark, is given, and exists.

    Raises:
        ConfigError: a setting is refused, there is no ``src``, or no such benchmark.
        DataError: ``src``, or the benchmark's folder, is no folder.
    """
    words = ["dry_run=true" if word == "--dry-run" else word for word in argv]
    config = load_config(CurateConfig, *split_arguments(words, USAGE))
    if config.benchmark is None:
        _given_source(config)
    else:
        check_is_here(config.benchmark, benchmark_root(config))
    return config


def _given_source(config: CurateConfig) -> str:
    """``config.src``; a folder on this machine exists and is not ``out``."""
    if config.src is None:
        raise ConfigError(f"src=DIR is missing: the folder with raw videos; usage: {USAGE}")
    if not is_remote(config.src):
        check_folder(Path(config.src), Path(config.out))
    return config.src


def curate(config: CurateConfig, choose: ChoosePerception = chosen_perception) -> Published:
    """Curate the folder ``config.src`` into ``config.out``, or one part of it.

    Raises:
        ConfigError: no ``src``.
        DataError: ``src`` is missing or empty, the ledger is foreign, models are missing.
    """
    given = _given_source(config)
    out, part = Path(config.out), None if config.job_part is None else parse_part(config.job_part)
    is_wanted = None if part is None else functools.partial(is_in_part, part=part)
    src = fetch(given, Path(config.cache), is_wanted) if is_remote(given) else Path(given)
    check_folder(src, out)
    if config.sources.layout != "videos":
        return curate_pairs(config, src, choose)
    path = ledger_path(out, part)
    with disk_errors_named(out), only_run(path, path.parent), Ledger(path) as ledger:
        if part is None:
            take_over_parts(ledger, out)
        else:
            begin_part(ledger, out)
        found = find_sources(src, ledger.hash_of, is_wanted, config.sources)
        sources = _not_purged(found, ledger)
        perception = choose(config)
        ledger.remember("models", infos_of(perception))
        jobs = _source_jobs(sources, ledger, fingerprint(config.deciding(), infos_of(perception)))
        build = functools.partial(build_worker, config, choose)
        build_first = functools.partial(build_measurer, config, choose)
        outcome = work_off(jobs, build, source_row, config, ledger, build_first)
        ledger.update_names(source_row(job) for job in jobs)
        if part is None:
            publish(config, ledger, outcome)
            print_outcome(outcome, out)
        else:
            _print_part(config.job_part, outcome)
    return outcome


def print_dry_run(config: CurateConfig, choose: ChoosePerception = chosen_perception) -> None:
    """What ``curate`` would do, and how long it would take; nothing is written.

    Raises:
        ConfigError, DataError: as ``curate``.
    """
    given = _given_source(config)
    part = None if config.job_part is None else parse_part(config.job_part)
    is_wanted = None if part is None else functools.partial(is_in_part, part=part)
    with ledger_copy(Path(config.out)) as ledger:
        src, hash_of = Path(given), known_or_new(ledger)
        sources = _not_purged(find_sources(src, hash_of, is_wanted, config.sources), ledger)
        perception = choose(config)
        jobs = _source_jobs(sources, ledger, fingerprint(config.deciding(), infos_of(perception)))
        pairs = [(job.source, job.fingerprint) for job in jobs]
        infos = infos_of(perception)
        expected, costs = forecast(config, ledger, pairs, infos, perception.detector)
        print_forecast(expected, costs, config, Console())


def curate_pairs(
    config: CurateConfig, src: Path, choose: ChoosePerception = chosen_perception
) -> Published:
    """Photographs with products (``sources.layout``) as samples of one frame.

    Raises:
        ConfigError: ``job_part`` is given; photographs are not worked off in parts.
    """
    if config.job_part is not None:
        raise ConfigError(
            f"job_part is {config.job_part!r}; sources.layout={config.sources.layout} has none"
        )
    infos = infos_of(choose(config))
    deciding = functools.partial(
        fingerprint, infos, config.stage_settings(), asdict(config.canonical)
    )
    path = ledger_path(Path(config.out), None)
    with disk_errors_named(path.parent), only_run(path, path.parent), Ledger(path) as ledger:
        jobs = pair_jobs(src, config.sources, deciding)
        gone = ledger.purged()
        jobs = [job for job in jobs if job.sha256 not in gone]
        build = functools.partial(build_bench_worker, config)
        outcome = work_off(jobs, build, frames_row, config, ledger)
        ledger.update_names(frames_row(job) for job in jobs)
        publish(config, ledger, outcome)
        print_outcome(outcome, Path(config.out))
    return outcome


def prepare_benchmark(config: CurateConfig) -> Published:
    """Make the tracks of ``config.bench`` once; its shards lie in its own folder."""
    config, jobs = prepare_jobs(config)
    path = ledger_path(Path(config.out), None)
    with disk_errors_named(path.parent), only_run(path, path.parent), Ledger(path) as ledger:
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
    build_first: Callable[[], Callable[[AnyJob, Callable[[Limit], None]], object]] | None = None,
) -> Published:
    """Do what the ledger does not hold yet, with these settings and models."""
    out = Path(config.out)
    for folder in ("clips", "signals", "people"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        sweep(out / folder)
    save_config(replace(config, job_part=None), out / "config.yaml")
    outcome = Published(num_sources=len(jobs))
    failed = ledger.failed(FAILURES)
    again = {sha for sha, row in failed.items() if is_to_try_again(row, config.limits)}
    missing = [
        job
        for job in jobs
        if job.sha256 in again or ledger.fingerprint_of(job.sha256) != job.fingerprint
    ]
    work_s = _expected_work(missing, config, ledger)
    workers = min(config.workers or cpu_count(), max(len(missing), 1))
    counts = VerdictCounts(list(work_s.values()), workers)
    with Progress(
        "curating", len(missing), unit="videos", every_s=LINE_EVERY_S, first_lines=FIRST_LINES
    ) as shown:
        for job, result in _executed(missing, build, build_first, config):
            if isinstance(result, Failure):
                logger.warning("%s: %s (%s)", job.name, result.code, result.detail)
                facts = facts_of_failure(failed.get(job.sha256), config.limits)
                evidence = {"detail": result.detail, "attempts": facts["attempts"]}
                row = failed_row(job, code=result.code, evidence=evidence)
                row = replace(row, facts={**row.facts, **facts})
                result = SourceResult(row=row, clips=[], was_decoded=True)
            ledger.record(result.row, result.clips)
            outcome.num_decoded += result.was_decoded
            counts.add(result.row, result.clips, work_s[job.sha256], result.was_decoded)
            left_s = counts.seconds_left
            shown.update(counts.num_done, note=counts.in_words(), seconds_left=left_s)
    logger.info(
        "decoded %d sources; %d of %d were done before",
        outcome.num_decoded,
        len(jobs) - len(missing),
        len(jobs),
    )
    return outcome


def _executed(
    jobs: Sequence[AnyJob],
    build: Callable[[], Callable[[AnyJob, Callable[[Limit], None]], SourceResult]],
    build_first: Callable[[], Callable[[AnyJob, Callable[[Limit], None]], object]] | None,
    config: CurateConfig,
) -> Iterator[tuple[AnyJob, SourceResult | Failure]]:
    """Jobs with their results, by the executor of the settings."""
    limits = config.limits
    if config.executor == "ray":
        from curation.workers.ray_executor import run_on_ray

        yield from run_on_ray(jobs, build, build_first, config.workers, config.ray, limits)
        return
    workers = min(config.workers or cpu_count(), max(len(jobs), 1))
    with Workers(build, workers, limits.base_s, limits.max_memory_gb) as pool:
        yield from pool.run(jobs)


def _expected_work(
    jobs: Sequence[AnyJob], config: CurateConfig, ledger: Ledger
) -> dict[str, float]:
    """sha256 -> the seconds that a job is expected to take on one worker."""
    costs = measured_costs(ledger.sources(), ledger.clips(), config) if jobs else Costs()
    videos = [job.source for job in jobs if isinstance(job, SourceJob)]
    expected = dict(
        zip((v.sha256 for v in videos), expected_work(videos, config, costs), strict=True)
    )
    frames = (job for job in jobs if isinstance(job, FramesJob))
    return expected | {job.sha256: costs.clip_s(job.num_frames) for job in frames}


def _print_part(part: str | None, outcome: Published) -> None:
    Console().print(
        f"part {part}: {counted(outcome.num_sources, 'video')} done; when every part is done, run "
        "the same command without job_part= to pack",
        soft_wrap=True,
    )


if __name__ == "__main__":
    run_command(main)
