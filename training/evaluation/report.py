"""report.html of an evaluation: tables, published numbers, videos side by side, plots.

One self-contained file. Its style and script are report.css, report.js and report.html in this
folder; datasets/webpage.py holds what all reports share.
"""

from html import escape
from pathlib import Path
from typing import Any

from datasets import webpage
from training.evaluation.report_player import Case, LoadCase, choose_cases, player, ranked_by
from training.evaluation.report_tables import (
    definitions,
    gaps,
    paste_blocks,
    published_table,
    score_table,
    stands_beside_published,
    video_table,
)

__all__ = ["Case", "LoadCase", "write_report"]


def write_report(path: Path, metrics: dict[str, Any], load_case: LoadCase, num_shown: int) -> None:
    """Write the page with ``num_shown`` best and worst cases per pairing."""
    chosen = choose_cases(metrics, num_shown)
    names = {
        pairing: [c.name for c in chosen if c.pairing == pairing] for pairing in metrics["pairings"]
    }
    sections = [
        webpage.section(f"Scores, {pairing}", _scores(metrics, content))
        for pairing, content in metrics["pairings"].items()
    ]
    if missing := gaps(metrics):
        sections.append(webpage.section("Gaps and cautions", missing))
    if stands_beside_published(metrics):
        sections.append(webpage.section("Next to published numbers", published_table(metrics)))
    if chosen:
        words = (
            f'<p class="note">Ranked by {escape(ranked_by(metrics))}. Frames may be shown smaller '
            "and compressed here; the numbers are computed on the original frames.</p>"
        )
        body = words + player(metrics, chosen, load_case)
        sections.append(webpage.section("Best and worst, side by side", body))
    sections += [
        webpage.section(f"Every video, {pairing}", video_table(metrics, content, names[pairing]))
        for pairing, content in metrics["pairings"].items()
    ]
    sections.append(webpage.section("Rows to paste", paste_blocks(metrics)))
    sections.append(webpage.section("How it was measured", _settings(metrics)))
    style, script = (
        path_of.read_text(encoding="utf-8")
        for path_of in (Path(__file__).with_suffix(".css"), Path(__file__).with_suffix(".js"))
    )
    title = f"Evaluation: {metrics['name']} on {metrics['benchmark']}{_subset(metrics)}"
    page = webpage.page(title, _lead(metrics), sections, style=style, script=script)
    path.write_text(page, encoding="utf-8")


def _lead(metrics: dict[str, Any]) -> str:
    size = metrics["resolution"]
    return (
        f"{escape(metrics['name'])} on the benchmark {escape(metrics['benchmark'])}"
        f"{_subset(metrics)}, frames of "
        f"{size['height']}x{size['width']} (height x width), protocol "
        f"<b>{escape(metrics['protocol']['name'])}</b>. Numbers compare only within one protocol "
        "and resolution."
    )


def _subset(metrics: dict[str, Any]) -> str:
    subset = metrics.get("subset")
    return "" if subset is None else f", subset {escape(subset)}"


def _scores(metrics: dict[str, Any], content: dict[str, Any]) -> str:
    facts = (
        f"<p>{_counts(content)} of {metrics['protocol']['clip_frames']} frames. "
        f"Truth: {escape(content['truth'])}.</p>"
    )
    legend = (
        '<p class="note">Columns in italics are trivial baselines. Paired, the copied source is '
        "the ground truth: it marks the end of each scale. Small figures: 95 % interval.</p>"
    )
    return facts + score_table(metrics, content) + legend + definitions(metrics)


def _settings(metrics: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    size = metrics["resolution"]
    rows.append(["resolution", f"{size['height']}x{size['width']} (height x width)"])
    for pairing, content in metrics["pairings"].items():
        rows.append([pairing, _counts(content)])
        for maker in content.get("conditions_made_by", []):
            rows.append([f"{pairing}: masks and DensePose by", _breaking(_models(maker))])
    for key, value in metrics["protocol"].items():
        rows.append([f"protocol: {key}", value])
    for name, record in metrics["weights"].items():
        shown = record.get("absent") or (
            f"{record['file']}, sha256 {record['sha256']}, as published: {record['published']}"
        )
        rows.append([f"weights: {name}", _breaking(shown)])
    for key, value in metrics["made_by"].items():
        rows.append([f"results: {key}", _breaking(str(value))])
    for part, seconds in metrics.get("seconds", {}).items():
        rows.append([f"time: {part}", f"{seconds:.1f} s"])
    for package, number in metrics["versions"].items():
        rows.append([package, number])
    return webpage.table(["setting", "value"], rows)


def _counts(content: dict[str, Any]) -> str:
    kinds = ("videos", "frames", "clips")
    counted = {kind: content[f"num_{kind}"] for kind in kinds}
    return ", ".join(f"{n} {kind[:-1] if n == 1 else kind}" for kind, n in counted.items())


def _models(maker: dict[str, Any]) -> str:
    """The models that made the conditions, and for how many items."""
    models = maker["models"]
    if isinstance(models, dict):
        models = ", ".join(
            f"{role} {info.get('name', info)}" if isinstance(info, dict) else f"{role} {info}"
            for role, info in models.items()
        )
    return f"{models} ({maker['num_items']} items)"


def _breaking(text: str) -> webpage.Html:
    """Text whose long words (hashes, paths) may wrap on a phone."""
    return webpage.Html(f'<span class="hash">{escape(text)}</span>')
