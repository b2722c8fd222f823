"""Results of an ablation -> one Markdown table, and what its intervals show.

Seeds of one variant are averaged clip by clip; intervals are bootstrapped over clips. Each variant
also has its difference from the reference, paired by clip, which is more sensitive than comparing
two intervals.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import ConfigError
from datasets.storage import write_file
from training.checkpoints.provenance import short_commit
from training.evaluation.intervals import bootstrap_interval
from training.experiments.judging import COLUMNS, ClipScore, shown_mean

TITLES = {
    "delta_e": "Delta E", "close_colour": "right colour", "right_class": "right class",
    "ssim": "masked SSIM", "last_ssim": "last quarter's", "seam": "seam",
    "occluded_delta_e": "Delta E behind things", "occluded_ssim": "masked SSIM behind things",
}  # fmt: skip
SMALLER_IS_BETTER = ("delta_e", "occluded_delta_e")
NO_SEAM = 1.0  # best value of a seam: as much change as elsewhere
_DIGITS = 3
_COMPARED = {"seam": "seam's distance from 1"}

Clips = dict[str, dict[str, float]]
"""column -> clip -> value, averaged over seeds; clips without a value are left out."""


def read_results(paths: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Variant -> its results, one per seed, in the order of the paths.

    Other files in the folder, of other seeds or settings, are ignored.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        found[content["variant"]].append(content)
    return dict(found)


def clips_of(
    results: Sequence[Mapping[str, Any]], method: str = "painted", *, seam_error: bool = False
) -> Clips:
    """Each column's values by clip, averaged over seeds.

    Args:
        results: of one variant.
        method: one of ``judge.METHODS``.
        seam_error: replace each seam by its distance from 1, which can be compared.
    """
    values: dict[str, dict[str, list[float]]] = {c: defaultdict(list) for c in COLUMNS}
    for result in results:
        for score in result["methods"][method]["scores"]:
            for column, value in ClipScore(**score).columns.items():
                if value is not None:
                    value = abs(value - NO_SEAM) if seam_error and column == "seam" else value
                    values[column][score["clip"]].append(value)
    return {c: {clip: float(np.mean(v)) for clip, v in rows.items()} for c, rows in values.items()}


def known_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of ``COLUMNS`` that have a value in some clip of a variant."""
    clips = clips_of(found)
    return [column for column in COLUMNS if clips[column]]


def table(
    results: Mapping[str, list[dict[str, Any]]],
    reference: str,
    texts: Mapping[str, str] | None = None,
) -> str:
    """The table of an ablation as Markdown.

    Args:
        results: from ``read_results``.
        reference: the variant that the others are compared with.
        texts: description of each variant.
    """
    columns = [TITLES[column] for column in known_columns(results[reference])]
    lines = [f"| | seeds | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in table_rows(results, reference, texts or {})]
    lines += ["", *decisions(results, reference), "", _origin(list(results.values()))]
    return "\n".join(lines) + "\n"


def table_rows(
    results: Mapping[str, list[dict[str, Any]]], reference: str, texts: Mapping[str, str]
) -> list[list[str]]:
    """Rows of name, number of seeds and a cell for each of ``known_columns``.

    The reference comes first; methods without a network come last, their names in asterisks.
    """
    first = results[reference]
    columns = known_columns(first)
    rows: dict[str, tuple[list[str], Clips]] = {}
    for name in (reference, *results):
        found = results[name]
        shown = f"{name}: {texts[name]}" if texts.get(name) else name
        rows[name] = ([shown, str(len(found))], clips_of(found))
    for method in (*_without_network(first), "truth"):
        rows[f"*{method}*"] = ([f"*{method}*", ""], clips_of(first[:1], method))
    return [
        [*labels, *(cell_of(list(clips[column].values())) for column in columns)]
        for labels, clips in rows.values()
    ]


def _without_network(results: list[dict[str, Any]]) -> list[str]:
    """Methods that need no network, as far as the judge of these results had them."""
    known = ("agnostic", "mean colour", "pasted")
    return [method for method in known if method in results[0]["methods"]]


def decisions(results: Mapping[str, list[dict[str, Any]]], reference: str) -> list[str]:
    """Whether the differences of other variants, and of methods without a network, exclude zero."""
    first = results[reference]
    base = clips_of(first, seam_error=True)
    others = {
        name: clips_of(found, seam_error=True)
        for name, found in results.items()
        if name != reference
    }
    for method in _without_network(first):
        others[f"*{method}*"] = clips_of(first[:1], method, seam_error=True)
    lines: list[str] = []
    for name, other in others.items():
        parts: list[str] = []
        for column in known_columns(first):
            common = sorted(base[column].keys() & other[column].keys())
            differences = [base[column][clip] - other[column][clip] for clip in common]
            parts.append(f"{_COMPARED.get(column, TITLES[column])} {_verdict(column, differences)}")
        lines.append(f"- {reference} against {name}: {'; '.join(parts)}.")
    return lines


def _verdict(column: str, differences: list[float]) -> str:
    if not differences:
        return "known of no clip"
    mean, interval = float(np.mean(differences)), bootstrap_interval(differences)
    if interval is None:
        return f"{mean:+.3f} (one clip decides nothing)"
    low, high = interval
    is_decided = not low <= 0 <= high
    digits = _digits(min(abs(low), abs(high))) if is_decided else _DIGITS
    shown = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    if not is_decided:
        return f"{shown}, undecided"
    smaller_is_better = column == "seam" or column in SMALLER_IS_BETTER
    return f"{shown}, {'better' if (mean < 0) == smaller_is_better else 'worse'}"


def _digits(bound: float) -> int:
    """Enough digits to show that a bound is not zero."""
    return next((n for n in range(_DIGITS, 9) if round(bound, n) > 0), 9)


def cell_of(values: Sequence[float]) -> str:
    """Mean and interval as text."""
    return shown_mean(float(np.mean(values)) if values else None, bootstrap_interval(values))


def _origin(found: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Provenance of a table's results; classifier and clips are those of the first."""
    results = [result for seeds in found for result in seeds]
    first = results[0]
    accuracy = first["classifier"]
    commits = list(dict.fromkeys(short_commit(result["code"]["commit"]) for result in results))
    devices = list(dict.fromkeys(str(result["device"]) for result in results))
    threads = list(dict.fromkeys(str(result["threads"]) for result in results))
    changed = " (+: with uncommitted changes)" if any(c.endswith("+") for c in commits) else ""
    return (
        f"{first['methods']['painted']['clips']} held-out clips; the classifier is right on "
        f"{accuracy['by_clip']:.0%} of {accuracy['test_clips']} true ones; "
        f"{'commits' if len(commits) > 1 else 'commit'} {', '.join(commits)}{changed}; "
        f"{', '.join(devices)}; {', '.join(threads)} {'thread' if threads == ['1'] else 'threads'}."
    )


def find_place(page: Path, what: str) -> tuple[str, str, str]:
    """Split a page at a table's two marks: before, between and after.

    Raises:
        ConfigError: there is no such page, or it has no such marks.
    """
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    start, end = f"<!-- {what} -->", f"<!-- end {what} -->"
    before, first, rest = content.partition(start)
    between, last, after = rest.partition(end)
    if not first or not last:
        raise ConfigError(f"{page} has no place for the table: {start} ... {end}")
    return before + start, between, end + after


def insert_table(page: Path, what: str, text: str) -> None:
    """Write a table between its two marks in a page.

    Raises:
        ConfigError: see ``find_place``.
    """
    before, _, after = find_place(page, what)
    write_file(page, f"{before}\n{text}{after}".encode())
