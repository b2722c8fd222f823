"""Best and worst cases in one player: synchronised panes, and metrics over time below.

The panes of a case are side by side in one video, which the page draws pane by pane: they cannot
drift apart, and a phone shows the same frames in another layout.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from datasets import webpage
from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.tracks import encode_video

SHOWN_HEIGHT = 320
RANKED_BY = ("ssim_masked", "lpips_masked", "colour_delta_e")
"""Best and worst are ranked by the first of these metrics that every video has."""
COMPARED = "agnostic"
"""The baseline whose curve is drawn together with the method's."""
TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One item and a method's result, to be shown."""

    item: BenchmarkItem
    pairing: str
    result: UInt8[np.ndarray, "t h w 3"]


LoadCase = Callable[[str, str], Case]


@dataclass(frozen=True, kw_only=True)
class ChosenCase:
    """A row of the per-video table that is shown, and the reason."""

    pairing: str
    group: str  # "Worst, paired"
    ranked_by: str  # the metric's key
    video: dict[str, Any]
    score: str

    @property
    def name(self) -> str:
        """Unique on the page."""
        return f"{self.pairing}/{self.video['id']}"


def choose_cases(metrics: dict[str, Any], num_shown: int) -> list[ChosenCase]:
    """The worst and the best videos of each pairing, worst first."""
    chosen: list[ChosenCase] = []
    for pairing, content in metrics["pairings"].items():
        videos = content["rows"][0]["videos"]
        ranking = _ranking(metrics, videos)
        if ranking is None:
            continue
        key = ranking["key"]
        known = [video for video in videos if video["values"].get(key) is not None]
        known = sorted(
            known,
            key=lambda video, key=key: video["values"][key],
            reverse=ranking["is_higher_better"],
        )
        best = known[:num_shown]
        worst = [video for video in reversed(known) if video not in best][:num_shown]
        for word, group in (("Worst", worst), ("Best", best)):
            chosen += [
                ChosenCase(
                    pairing=pairing,
                    group=f"{word}, {pairing}",
                    ranked_by=key,
                    video=video,
                    score=f"{video['values'][key]:.3f}",
                )
                for video in group
            ]
    return chosen


def ranked_by(metrics: dict[str, Any]) -> str:
    """Labels of the metrics that ranked the cases, as text."""
    labels = {
        ranking["label"]
        for content in metrics["pairings"].values()
        if (ranking := _ranking(metrics, content["rows"][0]["videos"])) is not None
    }
    return " and ".join(sorted(labels, reverse=True))


def player(metrics: dict[str, Any], chosen: list[ChosenCase], load_case: LoadCase) -> str:
    """The player's HTML and its cases as JSON."""
    content = {
        "method": metrics["name"],
        "other": COMPARED,
        "metrics": [
            {"key": metric["key"], "label": metric["label"]} for metric in metrics["metrics"]
        ],
        "cases": [_case(metrics, one, load_case(one.video["id"], one.pairing)) for one in chosen],
    }
    data = json.dumps(content, allow_nan=False).replace("</", "<\\/")
    return (
        TEMPLATE.read_text(encoding="utf-8")
        + f'<script type="application/json" id="cases">{data}</script>'
    )


def _ranking(metrics: dict[str, Any], videos: list[dict[str, Any]]) -> dict[str, Any] | None:
    by_key = {metric["key"]: metric for metric in metrics["metrics"]}
    for is_known in (all, any):
        for key in RANKED_BY:
            if key in by_key and is_known(video["values"].get(key) is not None for video in videos):
                return by_key[key]
    return None


def _case(metrics: dict[str, Any], chosen: ChosenCase, case: Case) -> dict[str, Any]:
    item = case.item
    garment = _smaller(item.garment(case.pairing)[None])[0]
    panes = {"source": item.video, "result": case.result}
    truth = item.truth(case.pairing)
    if truth is not None and case.pairing == "unpaired":
        panes["truth"] = truth  # paired, the source is the truth
    wide = np.concatenate([_smaller(frames) for frames in panes.values()], axis=2)
    video = encode_video(wide, item.fps)
    height, width = wide.shape[1], wide.shape[2] // len(panes)
    rows = metrics["pairings"][chosen.pairing]["rows"]
    frames = {row["method"]: _frames_of(row, item.id) for row in rows}
    ours = frames[rows[0]["method"]]
    other = frames.get(COMPARED, {})
    return {
        "name": chosen.name,
        "id": item.id,
        "group": chosen.group,
        "score": chosen.score,
        "ranked_by": chosen.ranked_by,
        "fps": item.fps,
        "num_frames": len(item.video),
        "height": height,
        "width": width,
        "panes": ["source = truth", "result"] if case.pairing == "paired" else list(panes),
        "video": webpage.data_uri(video, "video/mp4"),
        "garment": webpage.data_uri(webpage.encode_jpeg(garment, quality=90), "image/jpeg"),
        "series": {
            key: {"ours": values, "other": other.get(key)}
            for key, values in ours.items()
            if any(value is not None for value in values)
        },
        "values": chosen.video["values"],
    }


def _frames_of(row: dict[str, Any], identity: str) -> dict[str, list[float | None]]:
    return next((video["frames"] for video in row["videos"] if video["id"] == identity), {})


def _smaller(frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t h2 w2 3"]:
    """Frames of at most SHOWN_HEIGHT rows, with sides that a video track allows."""
    height, width = frames.shape[1:3]
    scale = min(1.0, SHOWN_HEIGHT / height)
    size = (max(40, round(width * scale / 2) * 2), max(40, round(height * scale / 2) * 2))
    if size == (width, height):
        return frames
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])
