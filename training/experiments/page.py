"""The page of an ablation: table, plot, and videos of every variant next to the ground truth."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from datasets import webpage
from datasets.storage import write_file
from inference.conditions.garment import read_image
from inference.video.source import open_video
from training.evaluation.results import read_result
from training.experiments.plots import plot_intervals
from training.experiments.tables import TITLES, clips_of, decisions, known_columns, table_rows

CLIPS_SHOWN = 6
_WIDTH = 192  # pixels of a video on the page


def write_page(
    path: Path,
    question: str,
    results: Mapping[str, list[dict[str, Any]]],
    reference: str,
    texts: Mapping[str, str],
) -> Path:
    """Write one self-contained HTML file.

    Args:
        path: of the page.
        question: the ablation's question.
        results: from ``tables.read_results``.
        reference: the variant that the others are compared with.
        texts: description of each variant.
    """
    sections = [
        webpage.section("Numbers", _numbers(results, reference, texts)),
        webpage.section("Decided or not", _decided(results, reference)),
        webpage.section("Films", _films(results, reference)),
    ]
    lead = escape(question)
    write_file(path, webpage.page("An ablation on rendered dancers", lead, sections).encode())
    return path


def _numbers(
    results: Mapping[str, list[dict[str, Any]]], reference: str, texts: Mapping[str, str]
) -> str:
    rows = [[row[0].strip("*"), *row[1:]] for row in table_rows(results, reference, texts)]
    header = ["", "seeds", *(TITLES[column] for column in known_columns(results[reference]))]
    plot = webpage.figure_image(plot_intervals(results, reference), "means with their intervals")
    note = (
        '<p class="note">Means over held-out clips with 95% intervals. Dashed: the agnostic input '
        "(gray) and the mask filled with the garment's mean colour (brown).</p>"
    )
    return webpage.table(header, rows) + plot + note


def _decided(results: Mapping[str, list[dict[str, Any]]], reference: str) -> str:
    lines = [
        escape(line.removeprefix("- ").replace("*", "")) for line in decisions(results, reference)
    ]
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _films(results: Mapping[str, list[dict[str, Any]]], reference: str) -> str:
    """Clips of the reference, chosen evenly from the best to the worst structure."""
    first = results[reference][0]
    values = clips_of([first])["ssim"]
    ordered = sorted(values, key=lambda clip: -values[clip])
    places = np.linspace(0, len(ordered) - 1, min(CLIPS_SHOWN, len(ordered))).round().astype(int)
    raw = Path(first["settings"]["bench"]) / "raw"
    if not raw.is_dir():
        return f'<p class="note">The test videos are no longer under {escape(str(raw))}.</p>'
    parts = []
    for clip in (ordered[place] for place in dict.fromkeys(places.tolist())):
        sidecar = json.loads((raw / f"{clip}.json").read_text(encoding="utf-8"))
        films = [
            ("source", read_result(raw / f"{clip}.mp4")),
            *_painted(results, clip),
            ("ground truth", read_result(raw / sidecar["truth"])),
        ]
        fps = open_video(raw / f"{clip}.mp4").fps
        cells = [webpage.captioned(webpage.video_player(f, fps), name) for name, f in films]
        picture = webpage.jpeg_image(read_image(raw / sidecar["target_garment"])[0], "garment")
        cells.insert(1, webpage.captioned(picture, "garment"))
        heading = f"<h3>{escape(clip)}: masked SSIM of {escape(reference)} {values[clip]:.2f}</h3>"
        parts.append(heading + webpage.synchronised(cells, cell_px=_WIDTH))
    return "".join(parts)


def _painted(
    results: Mapping[str, Sequence[Mapping[str, Any]]], clip: str
) -> list[tuple[str, np.ndarray]]:
    """Each variant's video of its first seed; skipped if the file is gone."""
    films: list[tuple[str, np.ndarray]] = []
    for name, found in results.items():
        file = Path(found[0].get("films", {}).get(clip, ""))
        if file.is_file():
            films.append((name, read_result(file)))
    return films
