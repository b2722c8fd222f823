"""``python -m curation.refilter OUT key=value ...``: apply other thresholds to what is stored.

Opens no video and runs no model. Ledger, manifest and shards follow the new verdicts; only shards
that a clip leaves or enters are rewritten. A clip that passes now but has no tracks is rejected as
``to_be_made`` until `make curate` has made them. ``dry_run=true`` only prints what would change.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.command import run_command
from configs.console import counted
from configs.errors import ConfigError, DataError
from configs.front_door import as_called
from curation.judging import Judge
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.settings import CurateConfig
from curation.video.decode import cpu_count
from datasets.locks import only_run
from datasets.storage import disk_errors_named

if TYPE_CHECKING:
    from rich.console import Console

USAGE = 'make curate-refilter OUT=data/dance [dry_run=1] ARGS="key=value ..."'
DRY = {"--dry-run": True, "dry_run=true": True, "dry_run=1": True,
       "dry_run=false": False, "dry_run=0": False}  # fmt: skip
JUDGED_BY = (
    "probe", "selection", "canonical", "duplicates", "takes", "held_out", "bench", "shards",
)  # fmt: skip
"""Settings that are applied to stored values, besides the sections of the stages."""
MIN_SOURCES = 400
"""From this many sources on, one process per core judges them."""
PART = 100
"""Sources read and judged at a time; processes take one batch after the other."""
MAX_NAMED = 8


@dataclass(kw_only=True)
class Changes:
    """What a refilter changed."""

    num_clips: int = 0
    num_to_make: int = 0
    to_make: list[str] = field(default_factory=list)  # names of the videos
    turned: Counter[tuple[str, str]] = field(default_factory=Counter)  # before, after -> clips

    def add(self, other: "Changes") -> None:
        """Add the changes of other sources."""
        self.num_clips += other.num_clips
        self.num_to_make += other.num_to_make
        self.to_make += other.to_make
        self.turned += other.turned


Rows = list[tuple[SourceRow, list[ClipRow] | None]]
"""Argument of ``Ledger.judge_again``."""


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.refilter``."""
    if not argv or "=" in argv[0] or argv[0] in {"-h", "--help"}:
        raise ConfigError(f"the folder of a `make curate` is missing; usage: {USAGE}")
    # imported here because every worker process imports this file
    from rich.console import Console

    from configs.loading import load_config, save_config
    from curation.curated_folder import open_output

    root, (words, is_dry) = Path(argv[0]), _without_dry_run(argv[1:])
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(disk_errors_named(root))
        output = stack.enter_context(open_output(root))
        if not is_dry:
            stack.enter_context(only_run(root / "ledger.sqlite", root))
        config = replace(load_config(CurateConfig, root / "config.yaml", words), out=str(root))
        changes = refilter(output.config, config, output.ledger, is_dry=is_dry)
        _print(changes, config, Console(), time.monotonic() - started, is_dry=is_dry)
        if not is_dry:
            from curation.publish import Published, print_outcome, publish
            from curation.shards.upload import send

            save_config(config, root / "config.yaml")
            outcome = Published(num_sources=len(output.ledger.digests()))
            publish(config, output.ledger, outcome)
            print_outcome(outcome, root)
            if config.send is not None:
                send(root, config.send)


def _without_dry_run(words: Sequence[str]) -> tuple[list[str], bool]:
    """Split the settings from ``dry_run``.

    Raises:
        ConfigError: another spelling of dry_run; stopping is safer than writing by mistake.
    """
    settings, is_dry = [], False
    for word in words:
        if not word.startswith(("dry_run=", "--")):
            settings.append(word)
        elif word.lower() in DRY:
            is_dry = DRY[word.lower()]
        else:
            raise ConfigError(f"{word!r} is not accepted; give dry_run=true or dry_run=false")
    return settings, is_dry


def refilter(
    before: CurateConfig, config: CurateConfig, ledger: Ledger, *, is_dry: bool = False
) -> Changes:
    """Judge every clip by ``config`` and write the verdicts to the ledger.

    Raises:
        ConfigError: a changed setting cannot be applied to stored values.
        DataError: the folder does not record its models.
    """
    check_settings(before, config)
    infos = ledger.recall("models")
    if infos is None:
        raise DataError(
            f"{config.out} was written by an older version, which did not store its models with "
            "its verdicts; run `make curate` on it once"
        )
    changes, rows = Changes(), []
    work = partial(_judge_some, before, config, infos, is_dry)
    for some, judged in _judge_all(work, ledger.digests(), config.workers):
        changes.add(some)
        rows += judged
    if not is_dry:
        ledger.judge_again(rows)
    return changes


def _judge_all(
    work: Callable[[str, str], tuple[Changes, Rows]], digests: Sequence[str], workers: int
) -> list[tuple[Changes, Rows]]:
    """Judge sources by sha256, batch by batch, in parallel if there are enough of them."""
    workers = min(workers or cpu_count(), cpu_count())
    if len(digests) < MIN_SOURCES or workers == 1:
        return [work(digests[0], digests[-1])] if digests else []
    parts = [digests[start : start + PART] for start in range(0, len(digests), PART)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, [part[0] for part in parts], [part[-1] for part in parts]))


def _judge_some(
    before: CurateConfig,
    config: CurateConfig,
    infos: dict[str, Any],
    is_dry: bool,
    first: str,
    last: str,
) -> tuple[Changes, Rows]:
    """Judge the sources from one sha256 to another; no rows if nothing is to be written."""
    judge, changes, rows = Judge(config, infos, before), Changes(), []
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        clips = ledger.clips_by_source(first, last)
        for source in ledger.sources(first, last):
            known = clips.get(source.sha256, [])
            result = judge.judge(source, known, partial(ledger.made_of, source.sha256))
            changes.num_clips += len(known)
            changes.turned += result.turned
            changes.num_to_make += result.num_to_make
            if result.is_open:
                changes.to_make.append(source.name)
            if not is_dry:
                rows.append((result.source, result.clips))
    return changes, rows


def check_settings(before: CurateConfig, config: CurateConfig) -> None:
    """Refuse settings that cannot be applied to stored values.

    Raises:
        ConfigError: the first of them.
    """
    if before.benchmark is not None or before.sources.layout != "videos":
        what = before.benchmark or before.sources.layout
        raise ConfigError(f"{config.out} holds {what}; only videos can be refiltered")
    if config.benchmark is not None:
        raise ConfigError(f"bench is {config.bench!r}; only a number of clips is accepted here")
    deciding = (*JUDGED_BY, *config.stage_settings())
    free = {*deciding, "workers", "out", "send", "cache"}
    for name in (each.name for each in fields(config) if each.name not in free):
        old, new = getattr(before, name), getattr(config, name)
        if old != new:
            change = f"{old!r} there and {new!r} here" if isinstance(new, str | bool) else "changed"
            raise ConfigError(
                f"{name} is {change}, and it cannot be applied to stored values; apply it with "
                f"`make curate`. Refilter accepts keys of {', '.join(deciding)}"
            )


def _print(
    changes: Changes, config: CurateConfig, console: "Console", seconds: float, *, is_dry: bool
) -> None:
    from rich.table import Table

    table = Table(title="Would change" if is_dry else "Changed", title_justify="left")
    for title in ("from", "to"):
        table.add_column(title)
    table.add_column("clips", justify="right")
    for (old, new), count in changes.turned.most_common():
        table.add_row(old, new, str(count))
    if table.row_count:
        console.print(table)
    else:
        console.print("No verdict turns." if is_dry else "No verdict turned.")
    dry = "; nothing was written" if is_dry else ""
    clips = counted(changes.num_clips, "clip")
    console.print(f"{clips} judged again in {seconds:.1f} s, no video opened{dry}", highlight=False)
    if changes.to_make:
        names = changes.to_make
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        told = (
            f"{counted(changes.num_to_make, 'clip passes', 'clips pass')} without tracks yet; "
            f"{counted(len(names), 'video waits', 'videos wait')} for "
            f"`make curate CONFIG={Path(config.out) / 'config.yaml'} SRC={config.src} "
            f"OUT={config.out}`: {', '.join(names[:MAX_NAMED])}{more}"
        )
        console.print(as_called(told), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(main)
