"""``python -m curation.purge OUT SOURCE ...``: remove sources permanently, for a licence takedown.

Removes everything of a source: ledger rows, tracks, signals, samples, manifest and report entries.
Only the shards that contained it are rewritten, here and at the ``send`` URL. The sha256 of the
file is kept, so that curating the folder again skips it.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from configs.command import run_command
from configs.console import counted
from configs.errors import ConfigError
from curation.curated_folder import (
    PICTURES,
    Output,
    find_source,
    flag,
    open_output,
    output_argument,
)
from curation.ledger import Ledger, SourceRow
from curation.publish import Published, publish, stored_catalogue
from curation.shards.catalogue import CatalogueEntry
from curation.shards.upload import send
from datasets.locks import only_run
from datasets.storage import disk_errors_named

logger = logging.getLogger(__name__)

USAGE = "make curate-purge OUT=data/dance SRC=video [ARGS=copies=true]"


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.purge``."""
    root, names, settings = output_argument(argv, USAGE)
    if not names:
        raise ConfigError(f"no source is named; give its name, path or sha256; usage: {USAGE}")
    with (
        disk_errors_named(root),  # SQLite rewrites the whole ledger and needs room for it
        open_output(root) as output,
        only_run(root / "ledger.sqlite", root),
    ):
        purge(output, names, with_copies=flag(settings, "copies"))
        if output.config.send is not None:
            send(root, output.config.send)


def purge(output: Output, names: Sequence[str], *, with_copies: bool = False) -> None:
    """Remove sources, all of them or none; also those with copies of their clips, if asked.

    Leftovers of an already purged one are removed.

    Raises:
        DataError: a name matches no source or several; nothing was removed.
    """
    console, ledger = Console(), output.ledger
    sources = ledger.sources()
    gone = ledger.purged()
    chosen = {
        source.sha256: source
        for name in names
        if name not in gone
        for source in [find_source(name, ledger, sources)]
    }
    copies = _copies_of(set(chosen), output, sources)
    if with_copies:
        chosen |= {source.sha256: source for source in copies}
    elif copies:
        logger.warning(
            "copies in these sources are kept and may replace it: %s; copies=true removes them too",
            ", ".join(source.name for source in copies),
        )
    for source in chosen.values():
        ledger.purge(source.sha256)
        _forget_held_out(ledger, source.sha256)
        console.print(f"purged {source.name} ({source.sha256[:16]})", highlight=False)
    num_removed = remove_orphans(output.root, ledger)
    outcome = Published(num_sources=len(sources) - len(chosen), num_decoded=len(names))
    publish(output.config, ledger, outcome)
    console.print(
        f"{counted(num_removed, 'folder or file', 'folders and files')} removed, "
        f"{counted(outcome.num_written, 'shard')} rewritten; "
        f"{counted(outcome.num_kept, 'clip')} left",
        highlight=False,
    )


def _forget_held_out(ledger: Ledger, sha256: str) -> None:
    stored = ledger.recall("held_out")
    if stored is None:
        return
    mark = sha256[:16]
    held = [one for one in stored["held"] if not one["clip_id"].startswith(mark)]
    for one in held:
        if str(one["target"]).startswith(mark):
            one["target"] = None  # the next best is chosen when shards are packed
    left = {
        name: evidence
        for name, evidence in stored["left"].items()
        if not any(str(value).startswith(mark) for value in (name, *evidence.values()))
    }
    ledger.remember("held_out", {"held": held, "left": left})


def remove_orphans(root: Path, ledger: Ledger) -> int:
    """Remove tracks, signals and pictures that no ledger row names; returns how many."""
    folders, people = ledger.folders("folder"), ledger.folders("people")
    known = {source.sha256[:32] for source in ledger.sources()}
    removed = 0
    for place, named in (("clips", folders), ("people", people)):
        for path in sorted((root / place).glob("??/*")):
            if f"{path.parent.name}/{path.name}" not in named:
                shutil.rmtree(path)
                removed += 1
    for path in sorted((root / "signals").iterdir()):
        if path.name.partition("-")[0] not in known:
            path.unlink()
            removed += 1
    shown = {sha[:16] for sha in known}
    for path in sorted((root / PICTURES).glob("*.jpg")):
        if path.name.partition("_")[0] not in shown:
            path.unlink()
            removed += 1
    return removed


def _copies_of(chosen: set[str], output: Output, sources: Sequence[SourceRow]) -> list[SourceRow]:
    """Other sources with a clip in the same cluster of copies as a clip of ``chosen``."""
    clips = output.ledger.clips()
    entries = stored_catalogue(output.config, output.ledger, list(sources), clips)
    winners = {_winner(entry) for entry in entries if entry.source.sha256 in chosen}
    found = {
        entry.source.sha256: entry.source
        for entry in entries
        if _winner(entry) in winners and entry.source.sha256 not in chosen
    }
    return [found[sha] for sha in sorted(found)]


def _winner(entry: CatalogueEntry) -> str:
    return str(entry.clip.evidence.get("same_as") or entry.clip.clip_id)


if __name__ == "__main__":
    run_command(main)
