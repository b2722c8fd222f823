"""An ablation's table as a plot: a panel per number, a line per variant with its interval."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets.storage import write_file
from training.evaluation.intervals import bootstrap_interval
from training.experiments.tables import SMALLER_IS_BETTER, TITLES, clips_of, known_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINES = {"agnostic": "#999999", "mean colour": "#c07a00", "pasted": "#7a4fc0"}
_PANELS = 4  # per row: more cannot be read on a page
_INK, _SEED = "#1f5fa8", "#8fb4dd"


def plot_intervals(results: Mapping[str, list[dict[str, Any]]], reference: str) -> "Figure":
    """Means over clips with 95% intervals; single seeds as pale dots, baselines as lines.

    Args:
        results: from ``tables.read_results``.
        reference: the variant shown first.
    """
    from matplotlib.figure import Figure

    names = [reference, *(name for name in results if name != reference)]
    columns = known_columns(results[reference])
    lines = -(-len(columns) // _PANELS)
    figure = Figure(
        figsize=(2.3 * min(_PANELS, len(columns)), lines * (0.6 + 0.36 * len(names))),
        layout="constrained",
    )
    grid = figure.subplots(lines, min(_PANELS, len(columns)), sharey=True, squeeze=False)
    axes = list(grid.flat)
    for axis in axes[len(columns) :]:
        axis.remove()
    for axis, column in zip(axes[: len(columns)], columns, strict=True):
        for row, name in enumerate(names):
            _draw_variant(axis, row, results[name], column)
        for method, colour in BASELINES.items():
            if method not in results[reference][0]["methods"]:
                continue  # an older judge's result
            values = list(clips_of(results[reference][:1], method)[column].values())
            if values and column != "seam":
                axis.axvline(np.mean(values), color=colour, linewidth=1, linestyle="--")
        less = ", lower is better" if column in SMALLER_IS_BETTER else ""
        axis.set_title(f"{TITLES[column]}{less}", fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def save_svg(figure: "Figure", path: Path) -> None:
    """Write a figure, reproducibly: the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "viton-dit", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    write_file(path, ("\n".join(lines) + "\n").encode())


def _draw_variant(axis: "Axes", row: int, found: Sequence[Mapping[str, Any]], column: str) -> None:
    values = list(clips_of(found)[column].values())
    if not values:
        return
    interval = bootstrap_interval(values)
    if interval is not None:
        axis.plot(interval, [row, row], color=_INK, linewidth=1.5)
    if len(found) > 1:
        for one in found:
            axis.plot(np.mean(list(clips_of([one])[column].values())), row, "o", color=_SEED, ms=3)
    axis.plot(np.mean(values), row, "o", color=_INK, ms=5)
