"""``python -m curation.refilter OUT key=value ...``: other thresholds, asked of what is stored.

No video is opened and no model is run. Ledger, manifest and shards follow the new verdicts; only
shards that a clip leaves or enters are written anew. A clip that passes now and has no tracks is
let go as ``to_be_made`` until `make curate` made them. ``dry_run=true`` only says what would be.
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
from configs.errors import ConfigError, DataError
from curation.judging import Judge
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.settings import CurateConfig
from curation.video.decode import cpu_count
from curation.workers.lock import only_run
from datasets.storage import disk_errors_named

if TYPE_CHECKING:
    from rich.console import Console

USAGE = "python -m curation.refilter OUT key=value ... [dry_run=true]"
DRY = {"--dry-run": True, "dry_run=true": True, "dry_run=1": True,
       "dry_run=false": False, "dry_run=0": False}  # fmt: skip
JUDGED_BY = ("probe", "selection", "canonical", "duplicates", "held_out", "bench", "shards")
"""What decides about what is stored, next to the sections of the stages."""
MIN_SOURCES = 400
"""From so many on, sources are judged in one process a core."""
PART = 100
"""Sources that are read and judged at a time; processes take one part after the other."""
MAX_NAMED = 8


@dataclass(kw_only=True)
class Changes:
    """What a refilter found."""

    num_clips: int = 0
    num_to_make: int = 0
    to_make: list[str] = field(default_factory=list)  # names of the videos
    turned: Counter[tuple[str, str]] = field(default_factory=Counter)  # before, after -> clips

    def add(self, other: "Changes") -> None:
        """Take over what was found in other sources."""
        self.num_clips += other.num_clips
        self.num_to_make += other.num_to_make
        self.to_make += other.to_make
        self.turned += other.turned


Rows = list[tuple[SourceRow, list[ClipRow] | None]]
"""What ``Ledger.judge_again`` takes."""


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.refilter``."""
    if not argv or "=" in argv[0] or argv[0] in {"-h", "--help"}:
        raise ConfigError(f"the folder of a `make curate` is missing; usage: {USAGE}")
    # here, since this file is what every worker process begins with
    from rich.console import Console

    from configs.loading import load_config, save_config
    from curation.curated_folder import open_output

    root, (words, is_dry) = Path(argv[0]), _without_dry_run(argv[1:])
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(disk_errors_named(root))
        output = stack.enter_context(open_output(root))
        if not is_dry:
            stack.enter_context(only_run(root / "ledger.sqlite"))
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
    """The settings among words, and whether nothing is to be written.

    Raises:
        ConfigError: another word about it: better stop than write what was only to be tried.
    """
    settings, is_dry = [], False
    for word in words:
        if not word.startswith(("dry_run=", "--")):
            settings.append(word)
        elif word.lower() in DRY:
            is_dry = DRY[word.lower()]
        else:
            raise ConfigError(f"{word!r} is not known; dry_run=true and dry_run=false are accepted")
    return settings, is_dry


def refilter(
    before: CurateConfig, config: CurateConfig, ledger: Ledger, *, is_dry: bool = False
) -> Changes:
    """Judge every clip by ``config`` and write the verdicts into the ledger.

    Args:
        before: settings of the last run.
        config: the new ones.
        ledger: of the folder.
        is_dry: leave the ledger as it is.

    Raises:
        ConfigError: a setting was changed that judges nothing that is stored.
        DataError: the folder does not say which models looked at it.
    """
    _check_settings(before, config)
    infos = ledger.recall("models")
    if infos is None:
        raise DataError(
            f"{config.out} was written by an older version, which did not store its models beside "
            "its verdicts; run `make curate` on it once"
        )
    changes, rows = Changes(), []
    work = partial(_judge_some, config, infos, is_dry)
    for some, judged in _judge_all(work, ledger.digests(), config.workers):
        changes.add(some)
        rows += judged
    if not is_dry:
        ledger.judge_again(rows)
    return changes


def _judge_all(
    work: Callable[[str, str], tuple[Changes, Rows]], digests: Sequence[str], workers: int
) -> list[tuple[Changes, Rows]]:
    """Sources by sha256, part by part, in as many processes as that is worth."""
    workers = min(workers or cpu_count(), cpu_count())
    if len(digests) < MIN_SOURCES or workers == 1:
        return [work(digests[0], digests[-1])] if digests else []
    parts = [digests[start : start + PART] for start in range(0, len(digests), PART)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, [part[0] for part in parts], [part[-1] for part in parts]))


def _judge_some(
    config: CurateConfig,
    infos: dict[str, Any],
    is_dry: bool,
    first: str,
    last: str,
) -> tuple[Changes, Rows]:
    """The sources from one sha256 to another; no rows where nobody writes them."""
    judge, changes, rows = Judge(config, infos), Changes(), []
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


def _check_settings(before: CurateConfig, config: CurateConfig) -> None:
    if before.benchmark is not None or before.sources.layout != "videos":
        what = before.benchmark or before.sources.layout
        raise ConfigError(f"{config.out} holds {what}; thresholds are asked of videos only")
    if config.benchmark is not None:
        raise ConfigError(f"bench is {config.bench!r}; how many clips to hold out is accepted here")
    deciding = (*JUDGED_BY, *config.stage_settings())
    free = {*deciding, "workers", "out", "send", "cache"}
    for name in (each.name for each in fields(config) if each.name not in free):
        old, new = getattr(before, name), getattr(config, name)
        if old != new:
            told = f"{old!r} there and {new!r} here" if isinstance(new, str | bool) else "changed"
            raise ConfigError(
                f"{name} is {told}, and nothing that is stored is judged by it; apply it with "
                f"`make curate`. Refilter takes keys of {', '.join(deciding)}"
            )


def _print(
    changes: Changes, config: CurateConfig, console: "Console", seconds: float, *, is_dry: bool
) -> None:
    from rich.table import Table

    table = Table(title="Would turn" if is_dry else "Turned", title_justify="left")
    for title in ("from", "to"):
        table.add_column(title)
    table.add_column("clips", justify="right")
    for (old, new), count in changes.turned.most_common():
        table.add_row(old, new, str(count))
    if table.row_count:
        console.print(table)
    dry = "; nothing was written" if is_dry else ""
    console.print(
        f"{changes.num_clips} clips judged again in {seconds:.1f} s, no video opened{dry}",
        highlight=False,
    )
    if changes.to_make:
        names = changes.to_make
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        console.print(
            f"{changes.num_to_make} clips pass and have no tracks; {len(names)} videos wait for "
            f"`make curate CONFIG={Path(config.out) / 'config.yaml'} SRC={config.src} "
            f"OUT={config.out}`: {', '.join(names[:MAX_NAMED])}{more}",
            highlight=False,
            soft_wrap=True,
        )  # fmt: skip


if __name__ == "__main__":
    run_command(main)
