"""Histograms for the report: what was measured of every clip, with the thresholds drawn in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np

from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry
from datasets.webpage import figure_image, grid


@dataclass(frozen=True, kw_only=True)
class _Histogram:
    name: str  # of the score
    label: str
    limits: tuple[float, ...]
    is_logarithmic: bool = False


def histograms(entries: Sequence[CatalogueEntry], config: CurateConfig) -> str:
    """One small chart a score; kept and rejected clips stacked."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    quality = config.selection.quality
    wanted = (
        _Histogram(
            name="duration_s", label="duration, s",
            limits=(quality.min_duration_s, quality.max_duration_s),
        ),
        _Histogram(
            name="sharpness", label="sharpness", limits=(quality.min_sharpness,),
            is_logarithmic=True,
        ),
        _Histogram(name="brightness", label="brightness", limits=(quality.min_brightness,)),
        _Histogram(
            name="motion", label="motion, gray levels a frame", limits=(quality.frozen_motion,),
            is_logarithmic=True,
        ),
        _Histogram(
            name="mask_coverage", label="garment inside the mask (worst frame)",
            limits=(config.agnostic.min_coverage,),
        ),
        _Histogram(
            name="mask_area", label="mask's share of the frame", limits=(config.agnostic.max_area,)
        ),
    )  # fmt: skip
    images: list[str] = []
    for histogram in wanted:
        kept = _values((e for e in entries if e.is_kept), histogram.name)
        rejected = _values((e for e in entries if not e.is_kept), histogram.name)
        if not kept and not rejected:
            continue
        figure, axes = plt.subplots(figsize=(4.2, 2.4))
        bins = _bins([*kept, *rejected, *histogram.limits], histogram.is_logarithmic)
        axes.hist(
            [kept, rejected], bins=bins, stacked=True, label=["kept", "rejected"],
            color=["#4477aa", "#cc6677"],
        )  # fmt: skip
        for limit in histogram.limits:
            axes.axvline(limit, color="#888888", linestyle="--", linewidth=1)
        if histogram.is_logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(histogram.label)
        axes.set_ylabel("clips")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        images.append(figure_image(figure, histogram.label))
        plt.close(figure)
    lead = "<p>Dashed: the threshold. Values of what was measured before a clip was let go.</p>"
    return lead + grid(images, 340) if images else ""


def _bins(values: list[float], is_logarithmic: bool) -> list[float]:
    low, high = min(values), max(values)
    if is_logarithmic:
        return np.geomspace(max(low, 1e-3) * 0.9, max(high, 2e-3) * 1.1, 25).tolist()
    room = max(high - low, 1e-3) * 0.05
    return np.linspace(low - room, high + room, 25).tolist()


def _values(entries: Iterable[CatalogueEntry], name: str) -> list[float]:
    found: list[float] = []
    for entry in entries:
        value = (entry.clip.record.get("scores") or {}).get(name, entry.clip.evidence.get(name))
        if isinstance(value, int | float):
            found.append(float(value))
    return found
