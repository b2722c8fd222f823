"""``runs/<name>/report.html``: curves, samples and trained parameters of a run."""

from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.loading import to_plain
from datasets import webpage
from datasets.storage import write_file
from training.config import TrainConfig
from training.freezing import describe

Curve = tuple[list[int], list[float]]

_SHOWN = (
    "loss/mse", "loss/vlb", "loss/quartile_1", "loss/quartile_4", "loss/painted_region",
    "loss/known_region", "lr", "gradient/norm", "gradient/denoiser", "gradient/garment",
    "gradient/control", "gradient/fusion", "fusion_gate/denoiser", "fusion_gate/control",
    "time/step_s", "time/data_share", "memory/host_gb", "memory/device_peak_gb",
    "validation/ssim", "validation/lpips", "validation/vfid_i3d", "validation/vfid_resnext",
)  # fmt: skip
_NOISY = ("loss/", "gradient/", "time/")
"""Curves drawn with their running mean; others are drawn as logged."""
_FROM_ZERO = ("time/", "memory/", "lr", "fusion_gate/")
_CURVES = (
    "Against optimizer steps. Losses, gradients and times: thin lines as logged, thick lines the"
    " mean of the last 25 values. Curves that are always zero are left out."
)


def write_report(folder: Path, config: TrainConfig, learning: list[tuple[str, int, int]]) -> Path:
    """Write the page of a run and return its path.

    Args:
        folder: the run's folder.
        config: the run's settings.
        learning: the table of trained parameters (``freezing.learning_table``).
    """
    curves = read_scalars(folder)
    sections = [
        webpage.section("Headline", webpage.cards(_headline(config, curves))),
        webpage.section(
            "Curves",
            f"<p>{_CURVES}</p>" + webpage.figure_image(draw_curves(curves), "curves of the run"),
        ),
        webpage.section("Samples", _samples(folder / "samples")),
        webpage.section("What learned", _learning(learning)),
        webpage.section("Settings", _settings(config)),
    ]
    lead = (
        f"{escape(config.stage)}, freeze preset {escape(config.freeze.preset)}, codec "
        f"{escape(config.system.codec.kind)}, caption {escape(config.system.caption.kind)}"
    )
    path = folder / "report.html"
    write_file(path, webpage.page(f"Training {config.name}", lead, sections).encode())
    return path


def read_scalars(folder: Path) -> dict[str, Curve]:
    """Every TensorBoard scalar of a run; if a resumed run wrote a step twice, the later wins."""
    values: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found = values.setdefault(tag, {})
            found.update({event.step: event.value for event in events.Scalars(tag)})
    return {
        tag: ([step for step, _ in sorted(points.items())], [v for _, v in sorted(points.items())])
        for tag, points in values.items()
    }


def smooth(values: list[float], window: int = 25) -> np.ndarray:
    """Running mean over the last ``window`` values (fewer at the start)."""
    sums = np.cumsum(np.insert(np.asarray(values, dtype=np.float64), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _headline(config: TrainConfig, curves: dict[str, Curve]) -> list[tuple[str, str]]:
    found = [(f"{config.max_steps}", "planned steps")]
    if curves.get("skipped_steps", ([], [0.0]))[1][-1]:
        found.append((f"{curves['skipped_steps'][1][-1]:.0f}", "steps skipped (skipped.txt)"))
    for tag, label in (("loss/train", "loss at the end (mean of 25)"),
                       ("time/step_s", "seconds a step"), ("data/clips_per_s", "clips a second"),
                       ("validation/ssim", "SSIM of held-out samples")):  # fmt: skip
        if tag in curves:
            found.append((f"{smooth(curves[tag][1])[-1]:.3g}", label))
    bad = curves.get("data/bad_clips", ([], [0.0]))[1][-1]
    return [*found, (f"{bad:.0f}", "clips that could not be read")] if bad else found


def draw_curves(curves: dict[str, Curve]) -> Figure:
    """One small diagram for each curve of interest that is not always zero."""
    shown = [tag for tag in _SHOWN if any(curves.get(tag, ([], []))[1])]
    figure = Figure(figsize=(11, 2.4 * max(1, (len(shown) + 1) // 2)))
    for number, tag in enumerate(shown, start=1):
        axes = figure.add_subplot((len(shown) + 1) // 2, 2, number)
        steps, values = curves[tag]
        marker = "o" if len(steps) < 5 else None
        if tag.startswith(_NOISY):
            axes.plot(steps, values, color="#b9c4d6", linewidth=0.8)
            values = list(smooth(values))
        axes.plot(steps, values, color="#2f5fd0", linewidth=1.6, marker=marker, markersize=4)
        if tag.startswith(_FROM_ZERO):
            axes.set_ylim(0, 1.1 * max(curves[tag][1]))
        axes.set_title(tag, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def _samples(folder: Path, most: int = 12) -> str:
    files = sorted(folder.glob("step-*.png"))
    if not files:
        return "<p>No samples were taken.</p>"
    last = [file for file in files if file.name.split("-")[1] == files[-1].name.split("-")[1]]
    items = [_embedded(file, "image/png") for file in last[:most]]
    page = "<p>Rows: source, agnostic, result; the garment is on the left.</p>"
    page += webpage.grid(items, cell_px=320)
    films = [file.with_suffix(".webp") for file in last[:most]]  # none where a window is one frame
    films = [_embedded(film, "image/webp") for film in films if film.is_file()]
    if films:
        page += "<p>In motion: garment, source, agnostic, result.</p>" + webpage.grid(films, 420)
    return page


def _embedded(file: Path, kind: str) -> str:
    picture = webpage.embedded_image(file.read_bytes(), kind, file.stem)
    return webpage.captioned(picture, file.stem)


def _learning(rows: list[tuple[str, int, int]]) -> str:
    shown = [
        (group, describe(learn, total), f"{learn:,}", f"{total:,}") for group, learn, total in rows
    ]
    return webpage.table(["parameters", "", "learning", "in all"], shown)


def _settings(config: TrainConfig) -> str:
    rows: list[tuple[str, str]] = []

    def walk(values: dict[str, object], prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                rows.append((f"{prefix}{key}", str(value)))

    walk(to_plain(config), "")
    return webpage.table(["key", "value"], rows)
