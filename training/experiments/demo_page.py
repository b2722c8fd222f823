"""The final page of ``make demo``: data, training curves, results."""

import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure

from configs.console import counted, duration_in_words
from configs.loading import load_config, read_plain
from datasets import webpage
from datasets.benchmarks.benchmark import Benchmark
from datasets.clips import decode_image
from datasets.densepose import paste_iuv, render_densepose
from datasets.labels import ParseLabel
from datasets.shards import IndexedSample, index_split
from datasets.storage import write_file
from datasets.tracks import read_frames, read_labels
from inference.checkpoint_choice import shipped_model
from inference.pipeline import TryOnPipeline
from inference.video.source import open_video
from training.config import TrainConfig
from training.evaluation.metrics_file import read_metrics
from training.evaluation.report_tables import score_table
from training.evaluation.results import read_result
from training.planning.fit_check import count_parameters
from training.report import read_scalars, smooth

STAGES = {
    "pretrain": "Pre-training (bare trunk)",
    "stage1": "Stage 1 (garment extractor)",
    "stage2": "Stage 2 (ID ControlNet)",
    "stage3": "Stage 3 (video)",
}
ACCENT = "#2f6fed"
REASONS_SHOWN = 12
CLIPS_SHOWN = 3
RESULTS_SHOWN = 4
SHOWN_HEIGHT = 256
SECONDS_SHOWN = 8.0  # of a user's clip
LABEL_COLOURS = np.array(
    [[24, 28, 36], [244, 194, 164], [110, 72, 46], [47, 111, 237], [76, 175, 120], [150, 90, 200],
     [232, 168, 130], [205, 140, 105], [255, 214, 150], [120, 130, 150], [200, 200, 90],
     [235, 235, 235]], np.uint8
)  # fmt: skip
"""One colour per parse label, in the order of ``datasets.labels.ParseLabel``."""
assert len(LABEL_COLOURS) == len(ParseLabel)


def write_page(
    path: Path,
    *,
    data: Path,
    runs: Mapping[str, Path],
    evaluation: Path,
    times: Sequence[tuple[str, str, float]],
    real: tuple[Path, Path, Path] | None = None,
) -> Path:
    """Write the demo's page.

    Args:
        path: the HTML file.
        data: the demo's data folder, containing ``dance`` and ``bench``.
        runs: the run folder of each of ``STAGES``.
        evaluation: the folder of scores and results.
        times: (title, command, seconds) of each step.
        real: a video of the user's, the garment, and that video dressed in it.
    """
    manifest = pq.read_table(data / "dance" / "manifest.parquet").to_pylist()
    stages = {title: runs[stage] for stage, title in STAGES.items()}
    seconds = sum(spent for _, _, spent in times)
    num_kept = sum(row["status"] == "kept" for row in manifest)
    system = load_config(TrainConfig, runs["stage3"] / "config.yaml")
    lead = (
        "Dancers were rendered, curated like any raw video by the embedded perception, and a "
        f"system of {count_parameters(system)[0] / 1e6:.1f} million parameters was trained on them "
        f"in four runs on {_machine()}, all from nothing but the codec, which ships. The picture "
        "quality is that of minutes of training; a full-size run follows the same steps."
    )
    headline = webpage.cards(
        [
            (duration_in_words(seconds), "from start to this page"),
            (f"{num_kept} of {len(manifest)}", "candidate clips kept by curation"),
            (f"{_total_steps(stages)}", "optimizer steps in four runs"),
        ]
    )
    curation = _funnel(manifest, data / "dance" / "report.html")
    sections = [
        webpage.section("In short", headline),
        webpage.section("Try-on of unseen dancers", show_results(data, evaluation)),
        *([] if real is None else [webpage.section("Your clip", show_real(*real))]),
        webpage.section("Scores", _scores(evaluation)),
        webpage.section("What curation kept and why", curation),
        webpage.section("What a training sample contains", _tracks(data / "dance")),
        webpage.section("Learning", _losses(stages)),
        webpage.section("The steps", _steps(times)),
    ]
    write_file(path, webpage.page("VITON-DiT, the whole way in small", lead, sections).encode())
    return path


def _machine() -> str:
    """The hardware the networks ran on."""
    cores = f"{os.cpu_count()} cores"
    return f"{torch.cuda.get_device_name()} and {cores}" if torch.cuda.is_available() else cores


def show_results(data: Path, evaluation: Path) -> str:
    """Source, garment, results and ground truth of the first results, unpaired if available.

    Next to the evaluated model's result stands that of the model that ships, painted here.

    Args:
        data: contains ``bench``.
        evaluation: contains metrics.json and ``predictions``, possibly of part of the benchmark.
    """
    metrics = read_metrics(evaluation)
    size = metrics["resolution"]
    bench = Benchmark(data / "bench", "synthetic")
    pairing = "unpaired" if "unpaired" in metrics["pairings"] else "paired"
    painted = evaluation / "predictions" / pairing
    shown = [identity for identity in bench.ids(pairing) if (painted / f"{identity}.mp4").is_file()]
    folder = shipped_model()
    shipped = None if folder is None else TryOnPipeline.from_checkpoint(folder)
    rows = []
    for identity in shown[:RESULTS_SHOWN]:
        item = bench.load(identity, size["height"], size["width"])
        result = read_result(painted / f"{identity}.mp4")
        players = [
            webpage.captioned(webpage.video_player(item.video, item.fps), "source"),
            webpage.captioned(webpage.jpeg_image(item.garment(pairing), "garment"), "garment"),
            webpage.captioned(webpage.video_player(result, item.fps), "result"),
        ]
        if shipped is not None:
            frames = shipped.paint(
                item.video, item.mask, item.iuv, item.garment(pairing), paste_back=True
            )
            caption = "result of the model that ships"
            players.append(webpage.captioned(webpage.video_player(frames, item.fps), caption))
        truth = item.truth(pairing)
        if truth is not None:
            caption = "ground truth, for comparison"
            players.append(webpage.captioned(webpage.video_player(truth, item.fps), caption))
        rows.append(webpage.synchronised(players, cell_px=180))
    words = (
        '<p class="note">The dancer on the left puts on the garment next to it. Neither dancer, '
        "motion nor garment was in the training data. Outside the mask the source's pixels are "
        "pasted back, as in <code>make tryon</code>.</p>"
    )
    return words + "".join(rows)


def show_real(video: Path, garment: Path, dressed: Path) -> str:
    """The first seconds of a user's video beside the same dressed by the model that ships.

    Args:
        video: as the user gave it.
        garment: picture.
        dressed: the result of ``inference.tryon``.
    """
    source = open_video(video)
    fps = source.fps
    count = round(SECONDS_SHOWN * fps)
    before, after = (
        np.stack([_shown(frame.image) for frame in islice(opened.frames(), count)])
        for opened in (source, open_video(dressed))
    )
    picture = decode_image(garment.read_bytes())
    players = [
        webpage.captioned(webpage.video_player(before, fps), "source"),
        webpage.captioned(webpage.jpeg_image(picture, "garment"), "garment"),
        webpage.captioned(webpage.video_player(after, fps), "result of the model that ships"),
    ]
    words = (
        '<p class="note">In training the model saw ten real clips, which '
        "<code>models/pretrained/README.md</code> names: expect less than above. The whole video: "
        f"<code>{escape(str(dressed))}</code>.</p>"
    )
    return words + webpage.synchronised(players, cell_px=300)


def _scores(evaluation: Path) -> str:
    metrics = read_metrics(evaluation)
    parts = [
        f"<h3>{pairing}: {counted(content['num_videos'], 'video')}</h3>"
        + score_table(metrics, content)
        for pairing, content in metrics["pairings"].items()
    ]
    gaps = sorted(
        {record["absent"] for record in metrics["weights"].values() if "absent" in record}
    )
    notes = "".join(f"<li>{escape(gap)}</li>" for gap in gaps)
    return (
        "".join(parts)
        + '<p class="note">Columns in italics are trivial baselines; small figures are 95% '
        "intervals over videos. Missing weights:</p>" + f'<ul class="note">{notes}</ul>'
    )


def _funnel(manifest: list[dict[str, Any]], report: Path) -> str:
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
        f"<p>{sources} raw videos gave {len(manifest)} candidate clips; {kept} were kept, each "
        "with exactly one person in view. Some videos were rendered to be rejected: two dancers, "
        "an empty room, a truncated file. The full report, with every reason and its numbers, is "
        f"next to the shards: <code>{escape(str(report))}</code>.</p>"
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
    boxes = np.load(io.BytesIO(files["box.npy"]))
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
    garment = decode_image(files["garment.png"])
    players.append(webpage.captioned(webpage.jpeg_image(garment), "garment"))
    return webpage.synchronised(players)


def _coloured(parse: np.ndarray) -> np.ndarray:
    return LABEL_COLOURS[np.minimum(parse, len(LABEL_COLOURS) - 1)]


def _smaller(frames: np.ndarray) -> np.ndarray:
    """Frames of SHOWN_HEIGHT rows, with even sides."""
    return np.stack([_shown(frame) for frame in frames])


def _shown(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    size = (round(width * SHOWN_HEIGHT / height / 2) * 2, SHOWN_HEIGHT)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _losses(stages: Mapping[str, Path]) -> str:
    figure = draw_losses(stages)
    image = webpage.figure_image(figure, "training loss of the four runs")
    plt.close(figure)
    return image


def draw_losses(stages: Mapping[str, Path]) -> Figure:
    """A panel per run: its squared errors and their running mean.

    Args:
        stages: title -> run folder.
    """
    figure, axes = plt.subplots(1, len(stages), figsize=(3.6 * len(stages), 2.8), squeeze=False)
    for axis, (title, run) in zip(axes[0], stages.items(), strict=True):
        steps, values = read_scalars(run).get("loss/mse", ([], []))
        axis.plot(steps, values, color=ACCENT, alpha=0.25, linewidth=0.8)
        axis.plot(steps, smooth(values), color=ACCENT, linewidth=1.8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(visible=True, alpha=0.2)
        if values:
            low, high = np.percentile(values, [1, 99])
            axis.set_ylim(0.95 * low, 1.05 * high)
    axes[0, 0].set_ylabel(f"mean squared error of the {_predicted(stages)}")
    figure.tight_layout()
    return figure


def _predicted(stages: Mapping[str, Path]) -> str:
    """What the networks predict, by the first run: noise or velocity."""
    config = read_plain(next(iter(stages.values())) / "config.yaml")
    return config["system"]["diffusion"]["prediction"]


def _total_steps(stages: Mapping[str, Path]) -> int:
    curves = (read_scalars(run).get("loss/train") for run in stages.values())
    return sum(curve[0][-1] for curve in curves if curve is not None)


def _steps(times: Sequence[tuple[str, str, float]]) -> str:
    rows = [
        [title, duration_in_words(seconds), webpage.Html(f"<code>{command}</code>")]
        for title, command, seconds in times
    ]
    return webpage.table(["step", "time", "command"], rows)
