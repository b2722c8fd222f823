"""``python -m curation.purge OUT SOURCE ...``: take sources out for good, for a licence takedown.

Everything of a source goes: ledger, tracks, measurements, samples, manifest, report. Only the
shards that held it are written anew, here and where ``send`` sends them. The hash of its bytes
stays, so that the same file is left out when its folder is curated again.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from configs.command import run_command
from configs.errors import ConfigError
from curation.curated_folder import Output, find_source, flag, open_output, output_argument
from curation.ledger import Ledger, SourceRow
from curation.publish import Published, publish, stored_catalogue
from curation.shards.catalogue import CatalogueEntry
from curation.shards.upload import send
from curation.workers.lock import only_run
from datasets.storage import disk_errors_named

logger = logging.getLogger(__name__)

USAGE = "python -m curation.purge OUT SOURCE ... [copies=true]"


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.purge``."""
    root, names, settings = output_argument(argv, USAGE)
    if not names:
        raise ConfigError(f"no source is named, by name, path or sha256; usage: {USAGE}")
    with (
        disk_errors_named(root),  # SQLite rewrites the whole ledger and needs room for it
        open_output(root) as output,
        only_run(root / "ledger.sqlite"),
    ):
        purge(output, names, with_copies=flag(settings, ("copies",))["copies"])
        if output.config.send is not None:
            send(root, output.config.send)


def purge(output: Output, names: Sequence[str], *, with_copies: bool = False) -> None:
    """Take sources out, all of them or none.

    Args:
        output: the curated folder.
        names: of sources; a name that is known as purged is cleaned up after again.
        with_copies: take out, too, the sources whose clips show the same as theirs.

    Raises:
        DataError: a name is no source, or may mean several; nothing was taken out.
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
            "these show the same, stay, and may take its place: %s; copies=true takes them, too",
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
        f"{num_removed} folders and files removed, {outcome.num_written} shards written anew; "
        f"{outcome.num_kept} clips are left",
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
            one["target"] = None  # the next best is found when shards are packed
    left = {
        name: evidence
        for name, evidence in stored["left"].items()
        if not any(str(value).startswith(mark) for value in (name, *evidence.values()))
    }
    ledger.remember("held_out", {"held": held, "left": left})


def remove_orphans(root: Path, ledger: Ledger) -> int:
    """Remove tracks and measurements that no row of the ledger names; how many."""
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
    return removed


def _copies_of(chosen: set[str], output: Output, sources: Sequence[SourceRow]) -> list[SourceRow]:
    """Other sources with a clip in a cluster of copies that one of ``chosen`` has a clip in."""
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
