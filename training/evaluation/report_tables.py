"""Tables of an evaluation: scores with intervals, published numbers, every video, rows to paste."""

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from configs.console import counted
from datasets import webpage
from training.evaluation.metrics_file import heading, value_text
from training.evaluation.published import VVT_PAIRED, PublishedRow

SOURCE_COPIED = "source copied"
"""Paired, it is the ground truth: never marked as the best."""
ABSENT = "–"
LONGEST_GAP = 16
"""Longest reason, in letters, that fits into a cell; longer ones appear only below the table."""
PUBLISHED_KEYS = ("ssim", "lpips", "vfid_i3d", "vfid_resnext")
PUBLISHED_HEADER = (
    "method", "SSIM ↑", "LPIPS ↓", "VFID-I3D ↓", "VFID-ResNeXt ↓, old scale",
    "VFID-ResNeXt ↓, this scale",
)  # fmt: skip


def score_table(metrics: dict[str, Any], content: dict[str, Any]) -> str:
    """The table of one pairing: a row per metric, a column per method, the best in bold.

    Metrics that could not be measured come last, with the reason.
    """
    rows = content["rows"]
    header: list[str] = ["metric"]
    for row in rows:
        name = escape(row["method"])
        header.append(webpage.Html(f"<i>{name}</i>" if row["is_baseline"] else name))
    lines: list[list[object]] = []
    for metric in sorted(metrics["metrics"], key=lambda metric: not _is_measured(metric, content)):
        scores = [row["scores"][metric["key"]] for row in rows]
        best = _best(metric, rows)
        cells = [
            _score_cell(score, content["num_videos"], is_best=score.get("value") == best)
            for score in scores
        ]
        lines.append([_column(metric), *cells])
    return webpage.table(header, lines)


def gaps(metrics: dict[str, Any]) -> str:
    """What could not be measured, why, what to do, and other cautions; empty if none."""
    found: dict[str, dict[str, list[str]]] = {}  # reason -> metric -> pairings
    notes: list[str] = []
    for pairing, content in metrics["pairings"].items():
        for metric in metrics["metrics"]:
            for reason in {row["scores"][metric["key"]].get("gap") for row in content["rows"]}:
                if reason is not None:
                    pairings = found.setdefault(reason, {}).setdefault(metric["label"], [])
                    pairings.append(pairing)
        missing = content.get("missing") or []
        if missing:
            named = ", ".join(escape(f"{item['id']} ({item['reason']})") for item in missing)
            notes.append(
                f"<b>{len(missing)} {pairing} items of the benchmark</b> could not be prepared and "
                f"are missing from every mean: {named}"
            )
    for reason, labels in found.items():
        groups: dict[str, list[str]] = {}
        for label, pairings in labels.items():
            where = "" if len(pairings) == len(metrics["pairings"]) else f" ({pairings[0]})"
            groups.setdefault(where, []).append(label)
        named = ", ".join(f"{', '.join(names)}{where}" for where, names in groups.items())
        notes.append(f"<b>{escape(named)}</b>: {_code(reason)}")
    for name, record in metrics["weights"].items():
        if record.get("published") == "no":
            notes.append(
                f"<b>weights {escape(name)}</b>: not the published file; numbers computed with it "
                "cannot be compared with others"
            )
    items = "".join(f"<li>{note}</li>" for note in notes)
    return f'<ul class="gaps">{items}</ul>' if notes else ""


def definitions(metrics: dict[str, Any]) -> str:
    """The definition of each metric, collapsed."""
    inner = "".join(
        f"<dt>{escape(heading(metric))}</dt><dd>{escape(metric['definition'])}</dd>"
        for metric in metrics["metrics"]
        if metric.get("definition")
    )
    return f"<details><summary>What the metrics mean</summary><dl>{inner}</dl></details>"


def published_table(metrics: dict[str, Any]) -> str:
    """Our paired rows on VVT above published ones; one column per scale of ResNeXt."""
    num_videos = metrics["pairings"]["paired"]["num_videos"]
    ours, theirs = _beside_published(
        metrics, lambda score: _score_cell(score, num_videos, is_best=False)
    )
    rows = [
        *([webpage.Html(f"<b>{escape(str(row[0]))}</b>"), *row[1:], metrics["protocol"]["name"]]
          for row in ours),
        *([*row, "as\u00a0published"] for row in theirs),
    ]  # fmt: skip
    note = (
        '<p class="note">VVT test videos, paired, 256x192, as printed in the papers. VFID-ResNeXt '
        "exists on two scales, in separate columns. LPIPS differs by backbone, SSIM by resolution "
        "and implementation: a published number is only a rough guide unless the protocol is the "
        "same.</p>"
    )
    return webpage.table([*PUBLISHED_HEADER, "protocol"], rows) + note


def _beside_published(
    metrics: dict[str, Any], cell: Callable[[dict[str, Any]], object]
) -> tuple[list[list[object]], list[list[object]]]:
    """Our paired rows and published ones, by ``PUBLISHED_HEADER``; empty cells for no number."""
    ours: list[list[object]] = []
    for row in metrics["pairings"]["paired"]["rows"]:
        if not row["is_baseline"]:
            shown = [cell(row["scores"][key]) for key in PUBLISHED_KEYS]
            ours.append([row["method"], *shown[:3], "", shown[3]])
    return ours, [[entry.method, *_published_cells(entry)] for entry in VVT_PAIRED]


def video_table(metrics: dict[str, Any], content: dict[str, Any], shown: Sequence[str]) -> str:
    """Every video of the method, sortable by any column; ids in ``shown`` open the player."""
    videos = content["rows"][0]["videos"]
    keys = [
        metric["key"]
        for metric in metrics["metrics"]
        if any(video["values"].get(metric["key"]) is not None for video in videos)
    ]
    labels = {metric["key"]: _column(metric) for metric in metrics["metrics"]}
    rows: list[list[object]] = []
    for video in videos:
        values = [video["values"].get(key) for key in keys]
        cells = [ABSENT if value is None else float(value) for value in values]
        rows.append([_opener(video["id"], shown), video["num_frames"], *cells])
    return webpage.table(
        ["video", "frames", *[labels[key] for key in keys]], rows, is_sortable=True
    )


def paste_blocks(metrics: dict[str, Any]) -> str:
    """The scores as Markdown and LaTeX, each with a copy button."""
    blocks: list[str] = []
    for title, compose in (("Markdown", markdown_table), ("LaTeX", latex_rows)):
        tables = [_paste_rows(metrics, pairing) for pairing in metrics["pairings"]]
        if stands_beside_published(metrics):
            tables.append(_published_rows(metrics))
        text = "\n\n".join(compose(*table) for table in tables)
        blocks.append(
            f'<div class="paste"><div class="head"><b>{title}</b><button type="button">Copy'
            f"</button></div><pre>{escape(text)}</pre></div>"
        )
    return "".join(blocks)


def stands_beside_published(metrics: dict[str, Any]) -> bool:
    """Whether there are published numbers of this benchmark."""
    return metrics["benchmark"] == "vvt" and "paired" in metrics["pairings"]


def markdown_table(setting: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table below a line that describes the numbers."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join([f"{setting}\n", *[f"| {' | '.join(line)} |" for line in lines]])


def latex_rows(setting: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of a LaTeX tabular, with their description and header as comments."""
    signs = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "Δ": r"$\Delta$", ABSENT: "--"}

    def plain(text: str) -> str:
        text = re.sub(r"([_%&#$])", r"\\\1", text)
        return re.sub("|".join(signs), lambda found: signs[found[0]], text)

    body = [" & ".join(map(plain, row)) + r" \\" for row in rows]
    return "\n".join([f"% {setting}", "% " + " & ".join(map(plain, header)) + r" \\", *body])


def _paste_rows(metrics: dict[str, Any], pairing: str) -> tuple[str, list[str], list[list[str]]]:
    """A description of the numbers, the columns that have a value, and a row per method."""
    content = metrics["pairings"][pairing]
    columns = [metric for metric in metrics["metrics"] if _is_measured(metric, content)]
    rows = [
        [row["method"], *[value_text(row["scores"][metric["key"]], ABSENT) for metric in columns]]
        for row in content["rows"]
    ]
    return _setting(metrics, pairing), ["method", *map(heading, columns)], rows


def _published_rows(metrics: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """The table with published numbers, as plain text."""
    ours, theirs = _beside_published(metrics, lambda score: value_text(score, ABSENT))
    rows = [[str(cell) or ABSENT for cell in row] for row in (*ours, *theirs)]
    setting = f"{_setting(metrics, 'paired')}; the other rows as published"
    return setting, list(PUBLISHED_HEADER), rows


def _setting(metrics: dict[str, Any], pairing: str) -> str:
    content, size = metrics["pairings"][pairing], metrics["resolution"]
    return (
        f"{metrics['benchmark']}, {pairing}: {counted(content['num_videos'], 'video')}, "
        f"{counted(content['num_clips'], 'clip')}, {size['height']}x{size['width']}, protocol "
        f"{metrics['protocol']['name']}"
    )


def _column(metric: dict[str, Any]) -> str:
    """The heading, with its arrow kept on the line of the last word."""
    return heading(metric).replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")


def _is_measured(metric: dict[str, Any], content: dict[str, Any]) -> bool:
    return any("value" in row["scores"][metric["key"]] for row in content["rows"])


def _opener(identity: str, shown: Sequence[str]) -> object:
    name = next((name for name in shown if name.partition("/")[2] == identity), None)
    if name is None:
        return identity
    return webpage.Html(
        f'<button type="button" class="link" data-open="{escape(name, quote=True)}">'
        f"{escape(identity)}</button>"
    )


def _score_cell(score: dict[str, Any], num_videos: int, *, is_best: bool) -> object:
    """Value, 95 % interval, and the number of videos if some have no value."""
    if "value" not in score:
        why = escape(score["gap"], quote=True)
        short = escape(score["gap"].partition(":")[0])
        short = short if len(short) <= LONGEST_GAP else ABSENT
        return webpage.Html(f'<small class="note" title="{why}">{short}</small>')
    value = value_text(score)
    shown = f"<b>{value}</b>" if is_best else value
    if score.get("interval"):
        low, high = score["interval"]
        shown += f'<br><small class="note" style="white-space:nowrap">{low:.3g}–{high:.3g}</small>'
    if score.get("num_videos", num_videos) != num_videos:
        every = counted(num_videos, "video")
        shown += f'<br><small class="note">{score["num_videos"]} of {every}</small>'
    return webpage.Html(shown)


def _best(metric: dict[str, Any], rows: Sequence[dict[str, Any]]) -> float | None:
    values = [
        row["scores"][metric["key"]]["value"]
        for row in rows
        if "value" in row["scores"][metric["key"]] and row["method"] != SOURCE_COPIED
    ]
    if not values:
        return None
    return max(values) if metric["is_higher_better"] else min(values)


def _published_cells(entry: PublishedRow) -> list[str]:
    frames = [f"{number:.3f}" for number in (entry.ssim, entry.lpips, entry.vfid_i3d)]
    scales = [
        "" if number is None else f"{number:.4g}"
        for number in (entry.vfid_resnext_old, entry.vfid_resnext)
    ]
    return [*frames, *scales]


def _code(text: str) -> str:
    """Escaped, with text between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
