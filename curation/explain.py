"""``python -m curation.explain OUT CLIP_OR_SOURCE``: why a clip was kept or rejected.

Lists every stored signal with its threshold, grouped by verdict; opens no video. "nearly" marks
values that a threshold 10% higher or lower would decide differently.
"""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError
from curation.checks import Checker, arbiter_checks, rejecting
from curation.clip import Check
from curation.curated_folder import Output, find_rows, open_output, output_argument
from curation.first_pass.signals import Signals, read_signals
from curation.ledger import SourceRow
from curation.publish import stored_catalogue
from curation.shards.catalogue import CatalogueEntry

USAGE = "python -m curation.explain OUT CLIP_OR_SOURCE"
MIN_WIDTH = 150


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.explain``."""
    root, names, settings = output_argument(argv, USAGE)
    if len(names) != 1 or settings:
        raise ConfigError(
            "give one clip_id, or one source by its name, path or sha256; usage: "
            "make curate-explain OUT=data/dance CLIP=clip_id|video, or "
            "viton-dit curate-explain clip_id|video --out data/dance"
        )
    with open_output(root) as output:
        explain(output, names[0], Console())


def explain(output: Output, name: str, console: Console) -> None:
    """Print every check that decided about the clip or source ``name``.

    Raises:
        DataError: no clip or source matches, or several do.
    """
    if not console.is_terminal:
        console.width = max(console.width, MIN_WIDTH)
    sources, clips = output.ledger.sources(), output.ledger.clips()
    source, chosen = find_rows(name, output.ledger, sources, clips)
    entries = stored_catalogue(output.config, output.ledger, sources, clips)
    by_clip = {entry.clip.clip_id: entry for entry in entries}
    signals = _signals_of(output, source)
    checker = Checker(output.config)
    checks = checker.source_checks(source)
    if signals is not None:
        checks += arbiter_checks(signals, output.config.selection)
    _print_source(console, source, checks)
    if signals is None and source.code is None:
        console.print("its signals file is missing: only the ledger's values are shown")
    kept = [clip for clip in clips if clip.status == "kept"]
    for clip in chosen:
        entry = by_clip[clip.clip_id]
        _print_clip(console, entry, checker.clip_checks(entry, signals, kept))


def _signals_of(output: Output, source: SourceRow) -> Signals | None:
    name = source.facts.get("signals")
    path = output.root / "signals" / str(name)
    return read_signals(path) if name and path.is_file() else None


def _print_source(console: Console, source: SourceRow, checks: list[Check]) -> None:
    console.print(f"[bold]{escape(source.name)}[/bold]  sha256 {source.sha256[:16]}")
    licence = source.sidecar.get("licence") or "unknown"
    console.print(f"licence {escape(licence)}, {source.num_bytes} bytes", highlight=False)
    if source.code is not None:
        console.print(
            f"[red]rejected: {source.code}[/red] ({rejecting(checks, source.code).meaning})"
        )
    _print_checks(console, checks)


def _print_clip(console: Console, entry: CatalogueEntry, checks: list[Check]) -> None:
    clip = entry.clip
    span = f"{clip.record['start_s']:.3f}-{clip.record['end_s']:.3f} s"
    if entry.is_kept:
        verdict = f"[green]kept[/green], split {entry.split}"
    else:
        verdict = f"[red]rejected: {clip.code}[/red] ({rejecting(checks, clip.code).meaning})"
    console.print(f"\n[bold]{clip.clip_id}[/bold]  {span}: {verdict}", highlight=False)
    _print_checks(console, checks)


def _print_checks(console: Console, checks: list[Check]) -> None:
    table = Table(show_edge=False)
    for title in ("verdict", "signal"):
        table.add_column(title)
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("limit", justify="right")
    table.add_column("")
    table.add_column("key", no_wrap=True)
    before = ""
    for check in checks:
        first = "" if check.verdict == before else check.verdict
        before = check.verdict
        limit = "" if check.rule is None else f"{check.rule} {check.threshold:g}"
        passed = {None: "", True: "[green]yes[/green]", False: "[red]NO[/red]"}[check.is_passed]
        passed += ", nearly" if check.is_near else ""
        table.add_row(
            escape(first), escape(check.signal), escape(_text(check.value)), limit, passed,
            check.key,
        )  # fmt: skip
    if checks:
        console.print(table)


def _text(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run_command(main)
