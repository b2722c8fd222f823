"""The page that ``make demo`` ends with: what went in, what was learned, what came out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datasets import webpage
from datasets.densepose import paste_iuv, render_densepose
from datasets.shards import IndexedSample, index_split
from datasets.tracks import read_frames, read_labels

STAGES = {
    "pretrain": "Pre-training (bare trunk)",
    "stage1": "Stage 1 (garment extractor)",
    "stage2": "Stage 2 (ID ControlNet)",
    "stage3": "Stage 3 (video)",
}
REASONS_SHOWN = 12
CLIPS_SHOWN = 3


def write_page(
    path: Path, *, data: Path, runs: Path, times: Sequence[tuple[str, str, float]]
) -> Path:
    """Write the demo's page.

    Args:
        path: the HTML file.
        data: the demo's data folder, with ``dance`` and ``bench`` below it.
        runs: the folder of run folders.
        times: (title, command, seconds) of each step.
    """
    manifest = pq.read_table(data / "dance" / "manifest.parquet").to_pylist()
    minutes = sum(seconds for _, _, seconds in times) / 60
    num_kept = sum(row["status"] == "kept" for row in manifest)
    lead = (
        "Dancers were rendered, curated like any raw video by the embedded perception, and four tiny "
        "networks were trained on them, one after the other, with no weights and no network. The "
        "picture quality is that of minutes on a small CPU; the way is the one a full-size run takes."
    )
    headline = webpage.cards(
        [
            (f"{minutes:.1f} min", "from nothing to this page"),
            (f"{num_kept} of {len(manifest)}", "candidate clips kept by curation"),
            (f"{_total_steps(runs)}", "optimizer steps in four runs"),
        ]
    )
    evaluation = runs / "eval" / "synthetic-demo"
    sections = [
        webpage.section("In short", headline),
        webpage.section("Try-on of dancers that were never seen", _results(data, evaluation)),
        webpage.section("Scores", _scores(evaluation)),
        webpage.section("What curation kept and why", _funnel(manifest)),
        webpage.section("What a training sample holds", _tracks(data / "dance")),
        webpage.section("Learning", _losses(runs)),
        webpage.section("The steps", _steps(times)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(webpage.page("VITON-DiT, the whole way in small", lead, sections), "utf-8")
    return path


def _funnel(manifest: list[dict[str, Any]]) -> str:
    reasons = Counter(row["reason"] for row in manifest if row["status"] == "rejected")
    examples = {
        row["reason"]: row["source"] for row in reversed(manifest) if row["status"] == "rejected"
    }
    rows = [
        [reason, count, examples[reason]] for reason, count in reasons.most_common(REASONS_SHOWN)
    ]
    sources = len({row["source_sha256"] for row in manifest})
    kept = sum(row["status"] == "kept" for row in manifest)
    text = (
        f"<p>{sources} raw videos gave {len(manifest)} candidate clips; {kept} were kept, each with "
        "exactly one person in view. Some videos were rendered to be refused: two dancers, an empty "
        "room, a torn file. The full report, with every reason and its numbers, lies beside the "
        "shards: <code>data/demo/dance/report.html</code>.</p>"
    )
    return text + webpage.table(["reason", "clips", "for example"], rows)


def _tracks(root: Path) -> str:
    rows = [_track_row(sample) for sample in index_split(root, "train")[:CLIPS_SHOWN]]
    names = "video, DensePose (approximated), parse labels, agnostic, garment parsed from the clip"
    return f'<p class="note">Left to right: {names}.</p>' + "".join(rows)


def _track_row(sample: IndexedSample) -> str:
    files = sample.read().files
    fps = float(sample.record["fps"])
    video = read_frames(files["mp4"])
    height, width = video.shape[1:3]
    boxes = np.load(_bytes_file(files["box.npy"]))
    surface = render_densepose(paste_iuv(read_frames(files["iuv.mp4"]), boxes, height, width))
    parse = _coloured(read_labels(files["parse.mp4"]))
    agnostic = read_frames(files["agnostic.mp4"])
    players = [
        webpage.captioned(webpage.video_player(_smaller(frames), fps), caption)
        for frames, caption in (
            (video, "video"),
            (surface, "DensePose"),
            (parse, "parse"),
            (agnostic, "agnostic"),
        )
    ]
    garment = cv2.imdecode(np.frombuffer(files["garment.png"], np.uint8), cv2.IMREAD_COLOR_RGB)
    players.append(webpage.captioned(webpage.jpeg_image(garment), "garment"))
    return webpage.synchronised(players)


def _losses(runs: Path) -> str:
    figure, axes = plt.subplots(1, len(STAGES), figsize=(3.6 * len(STAGES), 2.8), squeeze=False)
    for axis, (stage, title) in zip(axes[0], STAGES.items(), strict=True):
        steps, values = read_scalar(runs / f"demo-{stage}", "loss/train")
        axis.plot(steps, values, color="#2f6fed", alpha=0.25, linewidth=0.8)
        axis.plot(steps, _smoothed(values), color="#2f6fed", linewidth=1.8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(visible=True, alpha=0.2)
        if values:
            low, high = np.percentile(values, [1, 99])
            axis.set_ylim(0.95 * low, 1.05 * high)
    axes[0, 0].set_ylabel("loss")
    figure.tight_layout()
    image = webpage.figure_image(figure, "training loss of the four runs")
    plt.close(figure)
    return image


def read_scalar(run: Path, tag: str) -> tuple[list[int], list[float]]:
    """One scalar of a run's TensorBoard files over its steps, across resumes; empty when absent."""
    values: dict[int, float] = {}
    for file in sorted(run.rglob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        if tag in events.Tags()["scalars"]:
            values.update({event.step: event.value for event in events.Scalars(tag)})
    steps = sorted(values)
    return steps, [values[step] for step in steps]


def _total_steps(runs: Path) -> int:
    ends = (read_scalar(runs / f"demo-{stage}", "loss/train")[0] for stage in STAGES)
    return sum(steps[-1] + 1 for steps in ends if steps)


def _steps(times: Sequence[tuple[str, str, float]]) -> str:
    rows = [
        [title, f"{seconds / 60:.1f} min", webpage.Html(f"<code>{command}</code>")]
        for title, command, seconds in times
    ]
    return webpage.table(["step", "time", "command"], rows)


def _smoothed(values: list[float], share: float = 0.08) -> np.ndarray:
    """A centred moving mean whose window shrinks at both ends."""
    if not values:
        return np.zeros(0)
    radius = max(1, int(share * len(values) / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - radius, 0), np.minimum(index + radius + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
