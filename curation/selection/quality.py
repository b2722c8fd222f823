"""Which stretches of a scene are worth keeping: long enough, sharp, lit, moving, not frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from configs.checks import check_range
from curation.clip import AT_LEAST, AT_MOST, MORE, Check
from curation.first_pass.signals import Signals, median, runs_of
from datasets.video.reader import UNREADABLE

KEYS = "selection.quality."
TOO_SHORT = "too_short", "no stretch is long enough"
"""Code, and its meaning."""
LETTERBOX_SHARE = 0.02  # thinner bars are compression noise at the border
FILL_TOLERANCE = 0.006  # of the side: a fill's borders are accurate to two or three pixels of 640


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Thresholds on the stored signals; configs/curate.yaml says how each was found."""

    min_duration_s: float = 1.2
    max_duration_s: float = 20.0
    trim_frames: int = 2  # trimmed at each end of a scene that is a cut
    min_sharpness: float = 25.0
    min_brightness: float = 20.0
    frozen_motion: float = 0.12  # gray levels
    frozen_s: float = 0.5
    max_duplicate_share: float = 0.5
    min_fill_likeness: float = 0.7  # of a blurred fill to the picture on top of it

    def __post_init__(self) -> None:
        check_range(self, "min_duration_s", above=0, most=self.max_duration_s)
        check_range(self, "max_duplicate_share", "min_fill_likeness", above=0, most=1)


def frozen_runs(signals: Signals, config: QualityConfig) -> list[tuple[float, float]]:
    """Stretches in seconds in which nothing changes for ``frozen_s`` or longer."""
    times = signals.edges_s
    still = signals.motion <= config.frozen_motion
    still[:1] = False  # the first frame has nothing to be compared with
    return [
        (float(times[run.start - 1]), float(times[run.stop]))
        for run in runs_of(still)
        if times[run.stop] - times[run.start - 1] >= config.frozen_s
    ]


def without(
    span: tuple[float, float], holes: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Parts of a span that remain when holes are cut out, longest first."""
    pieces = [span]
    for start, end in holes:
        rest: list[tuple[float, float]] = []
        for left, right in pieces:
            if end <= left or start >= right:
                rest.append((left, right))
                continue
            rest += [(left, start)] if start > left else []
            rest += [(end, right)] if end < right else []
        pieces = rest
    return sorted(pieces, key=lambda piece: piece[0] - piece[1])


def split_long(span: tuple[float, float], config: QualityConfig) -> list[tuple[float, float]]:
    """Split a span into equal parts of at most ``max_duration_s``."""
    start, end = span
    count = max(1, int(np.ceil((end - start) / config.max_duration_s - 1e-6)))
    edges = np.linspace(start, end, count + 1)
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def measure_span(signals: Signals, span: tuple[float, float]) -> dict[str, float]:
    """The values that decide about a stretch."""
    frames = signals.between(*span)
    if frames.stop <= frames.start:
        return {"duration_s": 0.0, "frames": 0.0}
    motion = signals.motion[frames][1:]
    return {
        "duration_s": span[1] - span[0],
        "frames": float(frames.stop - frames.start),
        "sharpness": median(signals.sharpness[frames]),
        "brightness": median(signals.brightness[frames]),
        "motion": median(motion) if len(motion) else 0.0,
        "duplicate_share": float(np.mean(motion < 1e-3)) if len(motion) else 0.0,
    }


def faults_in(signals: Signals, span: tuple[float, float]) -> int:
    """Decoding errors of the source if any of them is in a stretch; else 0."""
    faults = signals.fault_times_s
    is_inside = (faults >= span[0]) & (faults < span[1])
    return len(faults) if is_inside.any() else 0


def span_checks(
    measured: Mapping[str, Any], config: QualityConfig, num_faults: int = 0
) -> list[Check]:
    """Checks of a stretch."""
    code, meaning = TOO_SHORT
    rules = (
        ("faults", AT_MOST, 0, "", "corrupt_frames", UNREADABLE["corrupt_frames"]),
        ("duration_s", AT_LEAST, config.min_duration_s, "min_duration_s", code, meaning),
        ("frames", AT_LEAST, 2, "", code, meaning),
        ("duration_s", AT_MOST, config.max_duration_s, "max_duration_s", "", ""),  # split
        ("brightness", AT_LEAST, config.min_brightness, "min_brightness",
         "dark", "too dark to see"),
        ("sharpness", AT_LEAST, config.min_sharpness, "min_sharpness",
         "blurred", "out of focus or smeared"),
        ("motion", MORE, config.frozen_motion, "frozen_motion", "", ""),  # see ``moving_check``
        ("duplicate_share", AT_MOST, config.max_duplicate_share, "max_duplicate_share",
         "duplicate_frames", "frames are repeated: a low frame rate was converted to a higher one"),
    )  # fmt: skip
    values = {**measured, "faults": num_faults}
    thresholds = {
        "corrupt_frames": {"faults": num_faults},
        code: {"min_duration_s": config.min_duration_s},
    }
    return [
        Check(
            verdict="quality", signal=signal, value=values.get(signal), rule=rule,
            threshold=threshold, key=KEYS + name if name else "", code=code, meaning=meaning,
            evidence={**measured, **thresholds.get(code, {name: threshold})},
        )
        for signal, rule, threshold, name, code, meaning in rules
    ]  # fmt: skip


def moving_check(longest_s: float | None, config: QualityConfig) -> Check:
    """A scene without its frozen parts must still be long enough."""
    return Check(
        verdict="quality", signal="longest_moving_s", value=longest_s, rule=AT_LEAST,
        threshold=config.min_duration_s, key=KEYS + "min_duration_s", code="frozen",
        meaning="the picture does not move",
    )  # fmt: skip


def frame_rate(signals: Signals, span: tuple[float, float]) -> float:
    """Frames per second of a stretch, from its presentation times."""
    times = signals.times_s[signals.between(*span)]
    if len(times) < 2:
        return 0.0
    return float((len(times) - 1) / (times[-1] - times[0]))


def lit_region(signals: Signals, span: tuple[float, float]) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) inside the letterbox bars of a stretch, shares of coded sides."""
    bars = signals.bars[signals.between(*span)]
    top, bottom, left, right = bars.min(axis=0) if len(bars) else np.zeros(4)
    top, bottom, left, right = (
        0.0 if bar < LETTERBOX_SHARE else float(bar) for bar in (top, bottom, left, right)
    )
    if top + bottom > 0.8 or left + right > 0.8:
        return 0.0, 0.0, 1.0, 1.0  # a dark scene, no bars
    return top, left, 1.0 - bottom, 1.0 - right


def filled_region(
    signals: Signals, span: tuple[float, float], min_likeness: float
) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) inside the blurred fill of a stretch, shares of the sides.

    A fill does not move: half of the frames must show the same borders and a similar fill.
    """
    times = signals.fill_times_s
    looked_at = signals.fills[(times >= span[0] - 1e-6) & (times < span[1] - 1e-6)]
    edges = []
    for shares, likeness in (looked_at[:, :2].T, looked_at[:, 2:].T):
        found = shares[shares > 0]
        middle = median(found) if len(found) else 0.0
        is_same = (shares > 0) & (np.abs(shares - middle) <= FILL_TOLERANCE)
        is_fill = is_same.sum() * 2 >= max(len(shares), 2)
        is_alike = is_fill and median(likeness[is_same]) >= min_likeness
        edges.append(middle + FILL_TOLERANCE / 2 if is_alike else 0.0)
    across, down = edges
    return across, down, 1.0 - across, 1.0 - down


def picture_region(
    signals: Signals, span: tuple[float, float], min_likeness: float
) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) of the picture proper, without bars and fills."""
    return within_both(lit_region(signals, span), filled_region(signals, span, min_likeness))


def within_both(
    lit: tuple[float, float, float, float], inner: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """Intersection of two regions (top, left, bottom, right)."""
    return (
        max(lit[0], inner[0]),
        max(lit[1], inner[1]),
        min(lit[2], inner[2]),
        min(lit[3], inner[3]),
    )
