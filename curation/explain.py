"""``python -m curation.explain OUT CLIP_OR_SOURCE``: why a clip was kept or rejected.

Names the setting that decided (of a kept clip: that nearly did), a picture of it, the command that
would turn the verdict, and what of the scene is in no clip; then every stored signal with its
threshold, grouped by verdict. Opens no video. "nearly" marks values that a threshold 10% higher or
lower would decide differently.
"""

from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError
from configs.front_door import as_called
from curation.checks import Checker, arbiter_checks, rejecting
from curation.clip import Check
from curation.curated_folder import PICTURES, Output, find_rows, open_output, output_argument
from curation.explaining.cut_off import cut_off
from curation.explaining.turning import ABOUT_PEOPLE, Turn, Turner, deciding
from curation.first_pass.signals import Signals, read_signals
from curation.judging import TO_BE_MADE
from curation.ledger import ClipRow, SourceRow
from curation.publish import stored_catalogue
from curation.report.pictures import people_strip, preview_strip, track_strip
from curation.selection.scenes import overlays_in, people_in
from curation.shards.catalogue import CatalogueEntry
from datasets.storage import write_file
from datasets.webpage import encode_jpeg

USAGE = "make curate-explain OUT=data/dance CLIP=clip_id|video"
MIN_WIDTH = 150


def main(argv: list[str]) -> None:
    """Entry of ``python -m curation.explain``."""
    root, names, settings = output_argument(argv, USAGE)
    if len(names) != 1 or settings:
        raise ConfigError(
            f"give one clip_id, or one source by its name, path or sha256; usage: {USAGE}"
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
    of_file = checker.source_checks(source)
    if signals is not None:
        of_file += arbiter_checks(signals, output.config.selection)
    turner = Turner(output, source, clips, signals)
    _print_source(console, output, turner, source, of_file)
    if signals is None and source.code is None:
        console.print("its signals file is missing: only the ledger's values are shown")
    kept = [clip for clip in clips if clip.status == "kept"]
    siblings = [clip for clip in clips if clip.source_sha256 == source.sha256]
    for clip in chosen:
        entry = by_clip[clip.clip_id]
        checks = checker.clip_checks(entry, signals, kept)
        _print_verdict(console, entry, checks)
        turn = turner.turn_clip(entry, checks)
        _print_decision(console, output, checks, None if entry.is_kept else entry.clip.code, turn)
        say = partial(console.print, highlight=False, soft_wrap=True)
        picture = _write_picture(output, entry.clip, signals)
        say(f"  picture     {escape(picture)}")
        if signals is not None:
            for part in cut_off(clip, siblings, signals, output.config):
                span = f"{part.span[0]:.3f}-{part.span[1]:.3f} s"
                say(f"  cut off     {span} of the scene: {part.why} ({part.key})")
        _print_checks(console, checks)
    if of_file and chosen:
        console.print("\nThe file:")
    _print_checks(console, of_file)


def _signals_of(output: Output, source: SourceRow) -> Signals | None:
    name = source.facts.get("signals")
    path = output.root / "signals" / str(name)
    return read_signals(path) if name and path.is_file() else None


def _print_source(
    console: Console, output: Output, turner: Turner, source: SourceRow, checks: list[Check]
) -> None:
    console.print(f"[bold]{escape(source.name)}[/bold]  sha256 {source.sha256[:16]}")
    licence = source.sidecar.get("licence") or "unknown"
    console.print(f"licence {escape(licence)}, {source.num_bytes} bytes", highlight=False)
    if source.code is not None:
        console.print(
            f"[red]rejected: {source.code}[/red] ({rejecting(checks, source.code).meaning})"
        )
        _print_decision(console, output, checks, source.code, turner.turn_source(checks))


def _print_verdict(console: Console, entry: CatalogueEntry, checks: list[Check]) -> None:
    clip = entry.clip
    span = f"{clip.record['start_s']:.3f}-{clip.record['end_s']:.3f} s"
    if entry.is_kept:
        verdict = f"[green]kept[/green], split {entry.split}"
    else:
        verdict = f"[red]rejected: {clip.code}[/red] ({rejecting(checks, clip.code).meaning})"
    console.print(f"\n[bold]{clip.clip_id}[/bold]  {span}: {verdict}", highlight=False)


def _print_decision(
    console: Console, output: Output, checks: list[Check], code: str | None, turn: Turn | None
) -> None:
    """The setting that decided, and the command that would turn the verdict."""
    say = partial(console.print, highlight=False, soft_wrap=True)
    found = deciding(checks, code)
    if turn is not None:  # of several, the one that was found to turn it
        key = turn.settings[0].partition("=")[0]
        found = [check for check in found if check.key == key] or found
    word = "decided by " if code is not None else "nearest    "
    for check in found[:1]:
        what = f"{check.signal} is {_text(check.value)}"
        if check.signal in ABOUT_PEOPLE["two_people"] and code is not None:
            what += f"; another person counts from {check.threshold:g} on"
        else:
            what += f", and must be {check.rule} {check.threshold:g}"
        say(f"  {word} [bold]{check.key}[/bold]: {escape(what)}")
    if turn is None:
        told = "no setting that make curate-refilter accepts turns this verdict"
        say(f"  to turn it  {as_called(told)}")
        return
    becomes = f"rejected: {turn.becomes}"
    if turn.becomes == TO_BE_MADE:
        becomes = "it passes; make curate then makes its tracks"
    elif turn.becomes == "kept":
        becomes = "kept"
    say(f"  to turn it  {escape(as_called(turn.command(output.root)))}  ({as_called(becomes)})")


def _write_picture(output: Output, clip: ClipRow, signals: Signals | None) -> str:
    """Path of a picture of what decided; in words, why there is none."""
    span = (float(clip.record["start_s"]), float(clip.record["end_s"]))
    folder = output.root / "clips" / str(clip.folder)
    strip = None
    if clip.folder is not None and folder.is_dir() and clip.code not in ABOUT_PEOPLE:
        strip = track_strip(folder)
    elif signals is not None:
        selection = output.config.selection
        if signals.samples is not None:
            people = people_in(signals, span, selection.people, selection.quality)
            over = overlays_in(signals, span, people, selection.quality, selection.overlays)
            strip = people_strip(signals, span, people, over)
        strip = preview_strip(signals, span) if strip is None else strip
    if strip is None:
        return "none: no preview of this stretch is stored"
    path = output.root / PICTURES / f"{clip.clip_id}.jpg"
    write_file(path, encode_jpeg(strip))
    return str(path)


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
