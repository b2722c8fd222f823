"""Rows of the benchmark: on the terminal, as JSON and as Markdown."""

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    Attributes:
        part: of the table; with ``name`` unique.
        name: what was run.
        seconds: ours, or the row's own; None where it could not run (see ``note``).
        spread: (slowest - fastest) / median.
        plain_seconds: the plain reading's, in the same run.
        ratio: plain over ours.
        target: the least ratio that is wanted.
        flops: useful operations of one run; recomputation is not counted.
        mfu: flops a second over the measured matrix-product rate.
        peak_gb: most memory on the device, 1e9 bytes.
        difference: largest difference of ours from plain, over the largest value.
        note: what the reader must know.
    """

    part: str
    name: str
    seconds: float | None = None
    spread: float | None = None
    plain_seconds: float | None = None
    ratio: float | None = None
    target: float | None = None
    flops: float | None = None
    mfu: float | None = None
    peak_gb: float | None = None
    difference: float | None = None
    note: str = ""


HEADS = (
    "part",
    "what",
    "s",
    "plain s",
    "plain/ours",
    "GFLOP/s",
    "MFU",
    "peak GB",
    "spread",
    "note",
)


def cells(row: Row) -> list[str]:
    """A row as text; empty where nothing was measured."""

    def number(value: float | None, form: str, unit: str = "") -> str:
        return "" if value is None else format(value, form) + unit

    ratio = number(row.ratio, ".2f", "x")
    if row.target is not None and row.ratio is not None:
        ratio += f" (want {row.target:g})"
    rate = row.flops / row.seconds / 1e9 if row.flops and row.seconds else None
    note = row.note
    if row.difference is not None:
        note = f"differs by {row.difference:.1e}" + (f"; {note}" if note else "")
    return [
        row.part, row.name, number(row.seconds, ".3g"), number(row.plain_seconds, ".3g"), ratio,
        number(rate, ".3g"), number(row.mfu, ".1%"), number(row.peak_gb, ".1f"),
        number(row.spread, ".0%"), note,
    ]  # fmt: skip


def head(result: dict[str, Any]) -> str:
    """Where, when, at what size."""
    machine, size = result["machine"], result["size"]
    return (
        f"Measured {result['date']} on {machine['device']}, {machine['threads']} threads, torch"
        f" {machine['torch']}, {result['dtype']}, {result.get('clock', 'wall')}"
        f" seconds{', QUICK RUN' if result['quick'] else ''}.\n"
        f"{size['name']}: dim {size['dim']}, depth {size['depth']}, {size['num_heads']} heads, MLP"
        f" {size['mlp_ratio']:g}, {size['frames']} frames of {size['height']} x {size['width']}"
        f" latents ({size['pixels'][0]} x {size['pixels'][1]} pixels), batch {size['batch']};"
        f" matrix product {result['matmul_flops_per_s'] / 1e9:.0f} GFLOP/s.\n"
    )


def lines_and_notes(result: dict[str, Any]) -> tuple[list[list[str]], str]:
    """The cells of all rows, their notes replaced by numbers, and the numbered notes."""
    lines: list[list[str]] = []
    notes: list[str] = []
    for row in result["rows"]:
        line = cells(Row(**row))
        if line[-1] and line[-1] not in notes:
            notes.append(line[-1])
        line[-1] = str(notes.index(line[-1]) + 1) if line[-1] else ""
        lines.append(line)
    return lines, "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))


def markdown(result: dict[str, Any]) -> str:
    """The whole result as a page."""
    lines, notes = lines_and_notes(result)
    table = [HEADS, ["---"] * len(HEADS), *lines]
    text = "".join("| " + " | ".join(line) + " |\n" for line in table)
    return f"{head(result)}\n{text}\n{notes}"


def show(result: dict[str, Any]) -> None:
    """On a terminal: by rich where it is installed. Into a file or a pipe: as Markdown."""
    try:
        console = importlib.import_module("rich.console").Console()
        table = importlib.import_module("rich.table").Table(*HEADS)
    except ImportError:
        console = table = None
    if console is None or table is None or not console.is_terminal:
        print(markdown(result))
        return
    lines, notes = lines_and_notes(result)
    for line in lines:
        table.add_row(*line)
    console.print(head(result), highlight=False)
    console.print(table)
    console.print(notes, highlight=False)


def save(result: dict[str, Any], path: Path) -> None:
    """JSON at ``path``, Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(result), encoding="utf-8")


class Book:
    """Rows in their order, saved after each, so that a run that is cut short can go on.

    Args:
        result: the head of the result; its ``rows`` are kept where a run is resumed.
        path: the JSON.
    """

    def __init__(self, result: dict[str, Any], path: Path) -> None:
        self.result, self.path = result, path
        self._have = {(row["part"], row["name"]) for row in result["rows"]}

    def has(self, part: str, *names: str) -> bool:
        """Whether all of these rows are there already."""
        return all((part, name) in self._have for name in names)

    def add(self, row: Row) -> None:
        self.result["rows"] = [
            old for old in self.result["rows"] if (old["part"], old["name"]) != (row.part, row.name)
        ] + [asdict(row)]
        self._have.add((row.part, row.name))
        save(self.result, self.path)
        shown = [cell for cell in cells(row) if cell]
        print("  " + " | ".join(shown), flush=True)
