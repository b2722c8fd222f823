"""Results of an ablation -> one Markdown table, and what its intervals decide.

Seeds of one variant are averaged clip by clip; intervals come from resampling clips. Beside each
variant stands its difference from the reference, paired by clip: that decides more than two
intervals beside each other.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.experiments.judging import COLUMNS, ClipScore
from training.metrics.intervals import bootstrap_interval

TITLES = {
    "delta_e": "Delta E", "close_colour": "right colour", "right_class": "right class",
    "ssim": "masked SSIM", "last_ssim": "last quarter's", "seam": "seam",
}  # fmt: skip
SMALLER_IS_BETTER = ("delta_e", "seam")

Clips = dict[str, dict[str, float]]
"""column -> clip -> value, averaged over seeds; without clips that have none."""


def read_results(paths: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Variant -> its JSONs, one a seed, in the order of the paths.

    What else lies in their folder, of other seeds or settings, is not of this table.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        found[content["variant"]].append(content)
    return dict(found)


def clips_of(results: Sequence[Mapping[str, Any]], method: str = "painted") -> Clips:
    """Each column's values by clip, averaged over the results' seeds."""
    values: dict[str, dict[str, list[float]]] = {c: defaultdict(list) for c in COLUMNS}
    for result in results:
        for score in result["methods"][method]["scores"]:
            for column, value in ClipScore(**score).columns.items():
                if value is not None:
                    values[column][score["clip"]].append(value)
    return {c: {clip: float(np.mean(v)) for clip, v in rows.items()} for c, rows in values.items()}


def table(
    results: Mapping[str, list[dict[str, Any]]],
    reference: str,
    texts: Mapping[str, str] | None = None,
) -> str:
    """The table of an ablation.

    Args:
        results: of ``read_results``.
        reference: the variant that the others are compared with.
        texts: what each variant is, in words.
    """
    first = results[reference]
    lines = [
        f"| | seeds | {' | '.join(TITLES[c] for c in COLUMNS)} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    rows = {name: (str(len(found)), clips_of(found)) for name, found in results.items()}
    for method in ("agnostic", "mean colour", "truth"):
        rows[f"*{method}*"] = ("", clips_of(first[:1], method))
    rows = {reference: rows.pop(reference), **rows}
    for name, (seeds, clips) in rows.items():
        cells = [cell_of(list(clips[column].values())) for column in COLUMNS]
        text = (texts or {}).get(name)
        shown = f"{name}: {text}" if text else name
        lines.append(f"| {shown} | {seeds} | {' | '.join(cells)} |")
    lines += ["", *decisions(results, reference), "", _origin(first[0])]
    return "\n".join(lines) + "\n"


def decisions(results: Mapping[str, list[dict[str, Any]]], reference: str) -> list[str]:
    """For each other variant, and for what needs no network: does the difference exclude zero?"""
    base = clips_of(results[reference])
    others = {name: clips_of(found) for name, found in results.items() if name != reference}
    for method in ("agnostic", "mean colour"):
        others[f"*{method}*"] = clips_of(results[reference][:1], method)
    lines: list[str] = []
    for name, other in others.items():
        parts: list[str] = []
        for column in COLUMNS:
            common = sorted(base[column].keys() & other[column].keys())
            differences = [base[column][clip] - other[column][clip] for clip in common]
            parts.append(f"{TITLES[column]} {_verdict(column, differences)}")
        lines.append(f"- {reference} against {name}: {'; '.join(parts)}.")
    return lines


def _verdict(column: str, differences: list[float]) -> str:
    if not differences:
        return "known of no clip"
    mean, interval = float(np.mean(differences)), bootstrap_interval(differences)
    if interval is None:
        return f"{mean:+.3f} (one clip decides nothing)"
    shown = f"{mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"
    if interval[0] <= 0 <= interval[1]:
        return f"{shown}, undecided"
    is_better = (mean < 0) == (column in SMALLER_IS_BETTER)
    return f"{shown}, {'better' if is_better else 'worse'}"


def cell_of(values: Sequence[float]) -> str:
    """Mean and interval, for people."""
    if not values:
        return "unknown"
    interval = bootstrap_interval(values)
    shown = "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
    return f"{np.mean(values):.2f}{shown}"


def _origin(result: Mapping[str, Any]) -> str:
    accuracy = result["classifier"]
    return (
        f"{result['methods']['painted']['clips']} held-out clips; the classifier is right on "
        f"{accuracy['by_clip']:.0%} of {accuracy['test_clips']} true ones; commit "
        f"{result['code']['commit'][:12]}, {result['device']}, {result['threads']} threads."
    )


def insert_table(page: Path, what: str, text: str) -> None:
    """Put a table between its two marks in a page.

    Raises:
        ValueError: there is no such page, or it has no such marks.
    """
    content = page.read_text(encoding="utf-8") if page.is_file() else ""
    start, end = f"<!-- {what} -->", f"<!-- end {what} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(content):
        raise ValueError(f"{page} has no place for the table: {start} ... {end}")
    page.write_text(pattern.sub(lambda _: f"{start}\n{text}{end}", content), encoding="utf-8")
