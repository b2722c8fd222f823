"""Histograms for the report: measured values of all clips, with the thresholds drawn in."""

from collections import defaultdict
from collections.abc import Sequence

import matplotlib
import numpy as np

from curation.clip import Check
from curation.shards.catalogue import CatalogueEntry
from datasets.webpage import figure_image, grid

MAX_LIMITS = 2
"""Bins per histogram."""
MIN_SPREAD = 30.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""


def histograms(checked: Sequence[tuple[CatalogueEntry, Sequence[Check]]]) -> str:
    """One small chart per varying signal that can reject; kept and rejected clips stacked."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    values: dict[str, dict[bool, dict[str, float]]] = defaultdict(lambda: {True: {}, False: {}})
    rejecting = {check.signal for _, checks in checked for check in checks if check.code}
    limits: dict[str, set[float]] = defaultdict(set)
    for entry, checks in checked:
        for check in checks:
            if check.threshold is None or not check.key or check.signal not in rejecting:
                continue
            if isinstance(check.value, int | float):
                values[check.signal][entry.is_kept][entry.clip.clip_id] = float(check.value)
                limits[check.signal].add(check.threshold)
    images: list[str] = []
    for signal, of_clip in values.items():
        kept, rejected = (list(of_clip[is_kept].values()) for is_kept in (True, False))
        if len({*kept, *rejected}) < 2:
            continue
        figure, axes = plt.subplots(figsize=(4.2, 2.4))
        if len(limits[signal]) > MAX_LIMITS:
            limits[signal].clear()  # its threshold differs between clips
        spread = [*kept, *rejected, *limits[signal]]
        is_logarithmic = min(spread) > 0 and max(spread) > MIN_SPREAD * min(spread)
        axes.hist(
            [kept, rejected], bins=_bins(spread, is_logarithmic), stacked=True,
            label=["kept", "rejected"], color=["#4477aa", "#cc6677"],
        )  # fmt: skip
        for limit in limits[signal]:
            axes.axvline(limit, color="#888888", linestyle="--", linewidth=1)
        if is_logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(signal)
        axes.set_ylabel("clips")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        images.append(figure_image(figure, signal))
        plt.close(figure)
    lead = "<p>Dashed: the threshold. Rejected clips appear in the checks they reached.</p>"
    return lead + grid(images, 340) if images else ""


def _bins(values: list[float], is_logarithmic: bool) -> list[float]:
    low, high = min(values), max(values)
    if is_logarithmic:
        return np.geomspace(max(low, 1e-3) * 0.9, max(high, 2e-3) * 1.1, 25).tolist()
    room = max(high - low, 1e-3) * 0.05
    return np.linspace(low - room, high + room, 25).tolist()
