"""Histograms for the report: measured values of all clips, with the thresholds drawn in.

Written as SVG here: a plotting library takes seconds to start, at the end of every run.
"""

from collections import defaultdict
from collections.abc import Sequence
from html import escape

import numpy as np

from curation.clip import Check
from curation.shards.catalogue import CatalogueEntry
from datasets.webpage import grid, svg_image

MAX_LIMITS = 2
"""Thresholds drawn in one histogram; with more, its threshold differs between clips."""
MIN_SPREAD = 30.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""
NUM_BINS = 24
WIDTH, HEIGHT = 380, 210
LEFT, RIGHT, TOP, BOTTOM = 34, 372, 22, 166
"""Of a chart and of its axes, in pixels of the SVG."""
KEPT, REJECTED, LINE = "#4477aa", "#cc6677", "#888888"


def histograms(checked: Sequence[tuple[CatalogueEntry, Sequence[Check]]]) -> str:
    """One small chart per varying signal that can reject; kept and rejected clips stacked."""
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
        drawn = limits[signal] if len(limits[signal]) <= MAX_LIMITS else set()
        images.append(svg_image(_chart(signal, kept, rejected, sorted(drawn)).encode(), signal))
    lead = "<p>Dashed: the threshold. Rejected clips appear in the checks they reached.</p>"
    return lead + grid(images, 340) if images else ""


def _chart(
    signal: str, kept: Sequence[float], rejected: Sequence[float], limits: Sequence[float]
) -> str:
    """A histogram as SVG, rejected clips on top of kept ones, ``limits`` as dashed lines."""
    spread = [*kept, *rejected, *limits]
    is_logarithmic = min(spread) > 0 and max(spread) > MIN_SPREAD * min(spread)
    edges = _bins(spread, is_logarithmic)
    scale = np.log10 if is_logarithmic else np.asarray
    first, last = (float(scale(edge)) for edge in (edges[0], edges[-1]))
    counts = [np.histogram(side, edges)[0] for side in (kept, rejected)]
    most = int(np.max(counts[0] + counts[1]))

    def x_of(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (float(scale(value)) - first) / (last - first)

    def y_of(count: int) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / most

    parts: list[str] = []
    for start, end, below, above in zip(edges[:-1], edges[1:], *counts, strict=True):
        for colour, low, high in ((KEPT, 0, below), (REJECTED, below, below + above)):
            if high > low:
                parts.append(
                    f'<rect x="{x_of(start):.1f}" y="{y_of(high):.1f}" fill="{colour}" '
                    f'width="{x_of(end) - x_of(start):.1f}" height="{y_of(low) - y_of(high):.1f}"/>'
                )
    parts += [
        f'<path d="M{x_of(limit):.1f} {TOP}V{BOTTOM}" stroke="{LINE}" stroke-dasharray="4 2"/>'
        for limit in limits
    ]
    parts.append(f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#000"/>')
    ticks = _powers(edges) if is_logarithmic else _round_steps(edges[0], edges[-1])
    for tick in ticks:
        parts.append(f'<path d="M{x_of(tick):.1f} {BOTTOM}v4" stroke="#000"/>')
        parts.append(_words(x_of(tick), BOTTOM + 16, f"{tick:.6g}", "middle"))
    parts += [_words(LEFT - 5, y_of(count) + 4, str(count), "end") for count in (0, most)]
    parts.append(_words((LEFT + RIGHT) / 2, BOTTOM + 36, signal, "middle"))
    parts.append(_words(LEFT - 5, TOP - 10, "clips", "start"))
    for colour, name, x in ((KEPT, "kept", RIGHT - 120), (REJECTED, "rejected", RIGHT - 66)):
        parts.append(f'<rect x="{x}" y="3" width="12" height="9" fill="{colour}"/>')
        parts.append(_words(x + 16, 12, name, "start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _words(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _bins(values: list[float], is_logarithmic: bool) -> list[float]:
    low, high = min(values), max(values)
    if is_logarithmic:
        return np.geomspace(max(low, 1e-3) * 0.9, max(high, 2e-3) * 1.1, NUM_BINS + 1).tolist()
    room = max(high - low, 1e-3) * 0.05
    return np.linspace(low - room, high + room, NUM_BINS + 1).tolist()


def _powers(edges: Sequence[float]) -> list[float]:
    """Powers of ten inside a logarithmic axis, at most about six."""
    first, last = int(np.ceil(np.log10(edges[0]))), int(np.floor(np.log10(edges[-1])))
    return [10.0**power for power in range(first, last + 1, max(1, (last - first) // 5))]


def _round_steps(low: float, high: float) -> list[float]:
    """Three to six multiples of 1, 2 or 5 times a power of ten between two values."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(min(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough))
    return [step * number for number in range(int(np.ceil(low / step)), int(high // step) + 1)]
