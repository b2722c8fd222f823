"""report.html of an evaluation: tables, published numbers beside them, cases in motion, plots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8

from datasets import webpage
from datasets.benchmarks import BenchmarkItem
from training.metrics.published import VVT_PAIRED

SHOWN_HEIGHT = 256
ACCENT, MUTED = "#2f6fed", "#8a8f98"


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One item with a method's result, to be looked at."""

    item: BenchmarkItem
    pairing: str
    result: UInt8[np.ndarray, "t h w 3"]


LoadCase = Callable[[str, str], Case]


def write_report(path: Path, metrics: dict[str, Any], load_case: LoadCase, num_shown: int) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        metrics: what metrics.json holds.
        load_case: gives the item and the result of (id, pairing).
        num_shown: how many best and how many worst cases are shown of each pairing.
    """
    sections: list[str] = []
    for pairing, content in metrics["pairings"].items():
        sections.append(webpage.section(f"Scores, {pairing}", _scores(metrics, content)))
    if metrics["benchmark"] == "vvt" and "paired" in metrics["pairings"]:
        sections.append(webpage.section("Beside published numbers", _published(metrics)))
    for pairing, content in metrics["pairings"].items():
        body = _cases(content, pairing, load_case, num_shown)
        sections.append(webpage.section(f"Best and worst, {pairing}", body))
    for pairing, content in metrics["pairings"].items():
        if content["has_truth"]:
            sections.append(webpage.section(f"SSIM over time, {pairing}", _over_time(content)))
        sections.append(webpage.section(f"Every video, {pairing}", _videos(metrics, content)))
    sections.append(webpage.section("How it was measured", _settings(metrics)))
    size = metrics["resolution"]
    lead = (
        f"{escape(metrics['name'])} on the benchmark {escape(metrics['benchmark'])}, frames of "
        f"{size['height']}x{size['width']} (height x width), protocol "
        f"<b>{escape(metrics['protocol']['name'])}</b>. Numbers compare only within one protocol "
        "and resolution."
    )
    title = f"Evaluation: {metrics['name']} on {metrics['benchmark']}"
    path.write_text(webpage.page(title, lead, sections), encoding="utf-8")


def score_table(metrics: dict[str, Any], content: dict[str, Any]) -> str:
    """The table of one pairing: methods down, metrics across, the best of each column bold."""
    header = ["method"] + [
        f"{metric['label']} {'↑' if metric['is_higher_better'] else '↓'}"
        for metric in metrics["metrics"]
    ]
    best = {metric["key"]: _best(metric, content["rows"]) for metric in metrics["metrics"]}
    rows: list[list[object]] = []
    for row in content["rows"]:
        name = escape(row["method"])
        cells: list[object] = [webpage.Html(f"<i>{name}</i>" if row["is_baseline"] else name)]
        for metric in metrics["metrics"]:
            score = row["scores"][metric["key"]]
            cells.append(_score_cell(score, is_best=score.get("value") == best[metric["key"]]))
        rows.append(cells)
    return webpage.table(header, rows)


def _scores(metrics: dict[str, Any], content: dict[str, Any]) -> str:
    facts = (
        f"<p>{content['num_videos']} videos, {content['num_frames']} frames, "
        f"{content['num_clips']} clips of {metrics['protocol']['clip_frames']} frames. "
        f"Truth: {escape(content['truth'])}.</p>"
    )
    gaps: dict[str, list[str]] = {}
    for metric in metrics["metrics"]:
        reasons = {row["scores"][metric["key"]].get("gap") for row in content["rows"]} - {None}
        for reason in sorted(reasons):
            gaps.setdefault(reason, []).append(metric["label"])
    notes = "".join(
        f"<li>{escape(', '.join(labels))}: {escape(reason)}</li>" for reason, labels in gaps.items()
    )
    legend = (
        '<p class="note">Rows in italics are trivial baselines. Paired, the copied source is the '
        "truth itself: it shows the end of each scale. Small figures: 95 % interval (bootstrap "
        "over videos; jackknife for VFID; blocks for KVD). ΔE: distance of the garment's mean "
        "colour from the wanted one; 1 is just visible, 40 another colour.</p>"
    )
    return facts + score_table(metrics, content) + legend + (f"<ul>{notes}</ul>" if notes else "")


def _score_cell(score: dict[str, Any], *, is_best: bool) -> object:
    if "value" not in score:
        why = escape(score["gap"], quote=True)
        short = escape(score["gap"].partition(":")[0])
        return webpage.Html(f'<small class="note" title="{why}">{short}</small>')
    value = f"{score['value']:.4g}"
    shown = f"<b>{value}</b>" if is_best else value
    if score.get("interval"):
        low, high = score["interval"]
        shown += f'<br><small class="note" style="white-space:nowrap">{low:.3g}–{high:.3g}</small>'
    return webpage.Html(shown)


def _best(metric: dict[str, Any], rows: Sequence[dict[str, Any]]) -> float | None:
    values = [
        row["scores"][metric["key"]]["value"]
        for row in rows
        if "value" in row["scores"][metric["key"]] and row["method"] != "source copied"
    ]
    if not values:
        return None
    return max(values) if metric["is_higher_better"] else min(values)


def _published(metrics: dict[str, Any]) -> str:
    header = [
        "method", "SSIM ↑", "LPIPS ↓", "VFID-I3D ↓", "VFID-ResNeXt ↓ (old scale)",
        "VFID-ResNeXt ↓ (this scale)", "protocol",
    ]  # fmt: skip
    rows: list[list[object]] = []
    for row in metrics["pairings"]["paired"]["rows"]:
        if row["is_baseline"]:
            continue
        cells = [row["scores"][key] for key in ("ssim", "lpips", "vfid_i3d", "vfid_resnext")]
        shown = [_score_cell(cell, is_best=False) for cell in cells]
        name = webpage.Html(f"<b>{escape(row['method'])}</b>")
        rows.append([name, *shown[:3], "", shown[3], metrics["protocol"]["name"]])
    for entry in VVT_PAIRED:
        frames = [f"{number:.3f}" for number in (entry.ssim, entry.lpips, entry.vfid_i3d)]
        old, new = (
            "" if number is None else f"{number:.4g}"
            for number in (entry.vfid_resnext_old, entry.vfid_resnext)
        )
        rows.append([entry.method, *frames, old, new, "as published"])
    note = (
        '<p class="note">VVT test videos, paired, as the papers print them. VFID-ResNeXt exists on '
        "two scales that never share a column. LPIPS differs by backbone, SSIM by resolution and "
        "implementation: a published number is a neighbour, not a rival, unless the protocol is "
        "the same.</p>"
    )
    return webpage.table(header, rows) + note


def _cases(content: dict[str, Any], pairing: str, load_case: LoadCase, num_shown: int) -> str:
    rows = content["rows"][0]["videos"]
    key, is_higher_better = ("ssim_masked", True)
    if any(row["values"].get(key) is None for row in rows):
        key, is_higher_better = ("colour_delta_e", False)
    known = [row for row in rows if row["values"].get(key) is not None]
    ranked = sorted(known, key=lambda row: row["values"][key], reverse=is_higher_better)
    best = ranked[:num_shown]
    worst = [row for row in reversed(ranked) if row not in best][:num_shown]
    parts: list[str] = []
    for title, chosen in (("Best", best), ("Worst", worst)):
        for row in chosen:
            case = load_case(row["id"], pairing)
            name = "SSIM in the mask" if key == "ssim_masked" else "ΔE of the garment"
            heading = f"{title}: {escape(row['id'])}, {name} {row['values'][key]:.3f}"
            parts.append(f"<h3>{heading}</h3>" + _side_by_side(case))
    return "".join(parts)


def _side_by_side(case: Case) -> str:
    item, truth = case.item, case.item.truth(case.pairing)
    videos = [("source", item.video), ("result", case.result)]
    if truth is not None and case.pairing == "unpaired":
        videos.append(("truth", truth))
    figures = [
        webpage.captioned(webpage.video_player(_smaller(frames), item.fps), caption)
        for caption, frames in videos
    ]
    garment = _smaller(item.garment(case.pairing)[None])[0]
    figures.insert(1, webpage.captioned(webpage.jpeg_image(garment, "garment"), "garment"))
    return webpage.synchronised(figures)


def _smaller(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Frames thinned by a whole factor to about SHOWN_HEIGHT rows, with even sides."""
    step = max(1, round(frames.shape[1] / SHOWN_HEIGHT))
    frames = frames[:, ::step, ::step]
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def _over_time(content: dict[str, Any]) -> str:
    figure, axis = plt.subplots(figsize=(7.5, 2.8))
    for index, video in enumerate(content["rows"][0]["videos"]):
        label = "each video" if index == 0 else None
        axis.plot(video["frames"]["ssim"], color=ACCENT, alpha=0.45, linewidth=1, label=label)
    agnostic = next((row for row in content["rows"] if row["method"] == "agnostic"), None)
    if agnostic is not None:
        curves = [video["frames"]["ssim"] for video in agnostic["videos"]]
        longest = max(len(curve) for curve in curves)
        padded = np.full((len(curves), longest), np.nan)
        for line, curve in zip(padded, curves, strict=True):
            line[: len(curve)] = curve
        axis.plot(np.nanmean(padded, axis=0), color=MUTED, linestyle="--", label="agnostic, mean")
    axis.set_xlabel("frame")
    axis.set_ylabel("SSIM")
    axis.grid(visible=True, alpha=0.2)
    axis.legend(fontsize=8, frameon=False)
    image = webpage.figure_image(figure, "SSIM of every frame")
    plt.close(figure)
    return image


def _videos(metrics: dict[str, Any], content: dict[str, Any]) -> str:
    labels = {metric["key"]: metric["label"] for metric in metrics["metrics"]}
    videos = content["rows"][0]["videos"]
    keys = [key for key in labels if any(v["values"].get(key) is not None for v in videos)]
    rows = [
        [
            video["id"],
            video["num_frames"],
            *["–" if video["values"][key] is None else video["values"][key] for key in keys],
        ]
        for video in videos
    ]
    return webpage.table(
        ["video", "frames", *[labels[key] for key in keys]], rows, is_sortable=True
    )


def _settings(metrics: dict[str, Any]) -> str:
    rows: list[list[object]] = []
    for key, value in metrics["protocol"].items():
        rows.append([f"protocol: {key}", value])
    for name, record in metrics["weights"].items():
        shown = record.get("absent") or f"{record['file']}, sha256 {record['sha256']}"
        rows.append([f"weights: {name}", shown])
    for key, value in metrics["made_by"].items():
        rows.append([f"results: {key}", str(value)])
    for package, number in metrics["versions"].items():
        rows.append([package, number])
    return webpage.table(["setting", "value"], rows)
