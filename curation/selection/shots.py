"""Scenes of a source, found in its stored signals: cuts, dissolves, blank frames, size changes.

Hard cuts: PySceneDetect's AdaptiveDetector rule united with its HistogramDetector rule, applied to
the scores of these detectors in the first pass. Flashes are vetoed. Dissolves are found in the
thumbnails: frames that are linear blends of the frames before and after. Where an arbiter was
asked (``first_pass/doubts.py``), the transitions it reports are added.
"""

from dataclasses import dataclass

import numpy as np

from configs.checks import check_range
from curation.clip import AT_LEAST, LESS, Check
from curation.first_pass.signals import Signals, runs_of, thumb_changes

KEYS = "selection.shots."
MAX_RATIO = 255.0
CLEAR_STEP = 0.5
"""A blend that changes by more than this share between two frames is a hard cut."""
BACK_STEP = -0.05
"""Noise moves a blend back by up to this; anything moving back further is not a blend."""
STEP_MARGIN = 0.01
"""Exceeds the rounding error of a step."""
WINDOWS = 64
"""Windows processed together; two seconds of thumbnails are 16 kB."""


@dataclass(frozen=True, kw_only=True)
class ShotsConfig:
    """Thresholds of scene detection; configs/curate.yaml says how each was found."""

    adaptive_ratio: float = 3.0
    adaptive_window: int = 2  # frames on each side
    min_content: float = 7.0
    max_held_motion: float = 0.25  # gray levels; a frame that changes less repeats the one before
    held_s: float = 0.3  # how far to search for neighbours beyond repeated frames
    max_histogram_correlation: float = 0.8
    min_jump: float = 4.0  # gray levels of the thumbnail
    flash_s: float = 0.2
    flash_share: float = 0.35
    dissolve_s: float = 0.5  # half the window searched for a dissolve
    min_dissolve_change: float = 12.0  # gray levels
    max_blend_error: float = 0.12
    max_blank_contrast: float = 6.0
    min_cut_probability: float = 0.5  # by the arbiter, where one was asked

    def __post_init__(self) -> None:
        check_range(self, "adaptive_window", least=1)
        shares = ("flash_share", "max_blend_error", "max_histogram_correlation")
        check_range(self, *shares, least=0, below=1)
        check_range(self, "max_held_motion", "held_s", least=0)
        check_range(self, "min_cut_probability", above=0, most=1)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Frames first <= i < last between two transitions; times are the cuts themselves."""

    first: int
    last: int
    start_s: float
    end_s: float


@dataclass(frozen=True, order=True)
class Transition:
    """Frames that belong to no scene: leave <= i < enter; empty (leave == enter) for a cut."""

    leave: int
    enter: int
    kind: str  # cut, resize, dissolve, blank


def find_scenes(signals: Signals, config: ShotsConfig) -> list[Scene]:
    """Scenes in order of time; a video without a cut is one scene, and so is a blank one."""
    transitions = find_transitions(signals, config)
    bounds = [0]
    for transition in transitions:
        bounds += [transition.leave, transition.enter]
    bounds.append(signals.num_frames)
    times = signals.edges_s
    spans = [span for span in zip(bounds[::2], bounds[1::2], strict=True) if span[1] > span[0]]
    return [
        Scene(first=first, last=last, start_s=float(times[first]), end_s=float(times[last]))
        for first, last in spans or [(0, signals.num_frames)]  # a reject must name a stretch
    ]


def find_transitions(signals: Signals, config: ShotsConfig) -> list[Transition]:
    """All transitions, in order and without overlap."""
    found = [Transition(i, i, "cut") for i in find_cuts(signals, config)]
    found += [Transition(int(i), int(i), "resize") for i in np.flatnonzero(signals.is_resized)]
    found += [Transition(int(i), int(i), "join") for i in np.flatnonzero(signals.is_joined)]
    found += find_dissolves(signals, config)
    found += judged_transitions(signals, config)
    for run in runs_of(signals.contrast <= config.max_blank_contrast):
        found.append(Transition(run.start, run.stop, "blank"))
    merged: list[Transition] = []
    for transition in sorted(found):
        if merged and transition.leave <= merged[-1].enter:
            before = merged.pop()
            kind = before.kind if before.enter > before.leave else transition.kind
            transition = Transition(before.leave, max(before.enter, transition.enter), kind)
        merged.append(transition)
    return merged


def find_cuts(signals: Signals, config: ShotsConfig) -> list[int]:
    """Index of the first frame after each hard cut."""
    adaptive = adaptive_cuts(signals, config)
    histogram = signals.histogram <= config.max_histogram_correlation
    histogram[:1] = False
    cuts: list[int] = []
    for index in np.flatnonzero(adaptive | histogram):
        if not is_jump(signals, int(index), config) or is_flash(signals, int(index), config):
            continue
        if cuts and index - cuts[-1] <= config.adaptive_window:
            # neighbours belong to one cut: keep the stronger
            if signals.content[index] > signals.content[cuts[-1]]:
                cuts[-1] = int(index)
            continue
        cuts.append(int(index))
    return cuts


def adaptive_cuts(signals: Signals, config: ShotsConfig) -> np.ndarray:
    """AdaptiveDetector's rule (scenedetect 0.7, adaptive_detector.py) on stored scores, (n,) bool.

    A cut is a frame whose score is large and ``adaptive_ratio`` times the mean of its neighbours.
    Unlike there, frames that repeat the one before are not neighbours: in a video converted to a
    higher rate, or with dropped frames, every other frame would otherwise be a cut.
    """
    content, window = signals.content.astype(np.float64), config.adaptive_window
    is_cut = np.zeros(len(content), dtype=bool)
    if len(content) < 2 * window + 1:
        return is_cut
    large = np.flatnonzero(content[window : len(content) - window] >= config.min_content)
    if not len(large):
        return is_cut
    around = np.lib.stride_tricks.sliding_window_view(content, 2 * window + 1)[large]
    target = around[:, window]
    mean = (around.sum(axis=1) - target) / (2 * window)
    is_moving = signals.motion > config.max_held_motion
    nearby = np.lib.stride_tricks.sliding_window_view(is_moving, 2 * window + 1)[large]
    for place in np.flatnonzero(nearby.sum(axis=1) - nearby[:, window] < 2 * window):
        mean[place] = _mean_of_moving(signals, is_moving, int(large[place]) + window, config)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(mean < 1e-5, MAX_RATIO, np.minimum(target / mean, MAX_RATIO))
    is_cut[window + large[ratio >= config.adaptive_ratio]] = True
    return is_cut


def _mean_of_moving(
    signals: Signals, is_moving: np.ndarray, index: int, config: ShotsConfig
) -> float:
    """Mean score of the nearest unrepeated frames within ``held_s``; 0 if there are none."""
    window = config.adaptive_window
    reach = round(config.held_s / signals.frame_s) if signals.frame_s > 0 else 0
    first = max(index - max(reach, window), 0)
    before = first + np.flatnonzero(is_moving[first:index])[-window:]
    last = index + max(reach, window) + 1
    after = index + 1 + np.flatnonzero(is_moving[index + 1 : last])[:window]
    near = signals.content[np.concatenate([before, after])]
    return float(near.mean(dtype=np.float64)) if len(near) else 0.0


def is_jump(signals: Signals, index: int, config: ShotsConfig) -> bool:
    """Whether the picture changes, not just its hue or grain, as at a keyframe."""
    return difference(signals.thumbs[index - 1], signals.thumbs[index]) >= config.min_jump


def is_flash(signals: Signals, index: int, config: ShotsConfig) -> bool:
    """Whether the frames soon after resemble those before: a strobe or a camera flash."""
    reach = round(config.flash_s / signals.frame_s) if signals.frame_s > 0 else 0
    thumbs = signals.thumbs
    jump = difference(thumbs[index - 1], thumbs[index])
    before = thumbs[max(index - reach, 0) : index]
    after = thumbs[index : index + reach + 1]
    for earlier in before:
        for later in after:
            if difference(earlier, later) < config.flash_share * jump:
                return True
    return False


def find_dissolves(signals: Signals, config: ShotsConfig) -> list[Transition]:
    """Gradual changes: stretches whose frames are linear blends of their two ends."""
    if signals.num_frames < 8 or signals.frame_s <= 0:
        return []
    thumbs = signals.thumbs
    found: list[tuple[float, Transition]] = []
    for half in sorted(
        {_frames(config.dissolve_s / 2, signals), _frames(config.dissolve_s, signals)}
    ):
        if 2 * half >= len(thumbs):
            continue
        change = thumb_changes(thumbs, 2 * half)
        starts = np.flatnonzero(change >= config.min_dissolve_change)
        for start in starts[may_blend(thumbs, starts, 2 * half)]:
            window = thumbs[start : start + 2 * half + 1].astype(np.float32)
            span = blend_span(window, config.max_blend_error)
            if span is not None:
                leave, enter = int(start) + span[0], int(start) + span[1]
                found.append((float(change[start]), Transition(leave, enter, "dissolve")))
    # overlapping windows find the same dissolve: the one with the largest change covers it
    chosen: list[Transition] = []
    for _, transition in sorted(found, key=lambda pair: -pair[0]):
        if all(transition.enter <= c.leave or transition.leave >= c.enter for c in chosen):
            chosen.append(transition)
    return sorted(chosen)


def judged_transitions(signals: Signals, config: ShotsConfig) -> list[Transition]:
    """The arbiter's transitions among the stretches it was asked about."""
    said = signals.cut_probability
    if said is None:
        return []
    # it marks the last frame before a cut, or all frames of a blend and the last one before it
    found = [(run.start + 1, run.stop) for run in runs_of(is_transition(said, config))]
    return [Transition(*span, "cut" if span[0] == span[1] else "dissolve") for span in found]


def is_transition(said: np.ndarray, config: ShotsConfig) -> np.ndarray:
    """Where an arbiter's probabilities (n,) indicate a transition, (n,) bool; not where NaN."""
    return said >= config.min_cut_probability  # False for NaN


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One stretch that the arbiter judged."""

    start_s: float
    end_s: float
    probability: float  # the largest in it
    is_transition: bool  # by the current threshold

    @property
    def in_words(self) -> str:
        """The probability and the verdict."""
        return f"{self.probability:.2f}, {'a transition' if self.is_transition else 'none'}"


def answers_in(signals: Signals, config: ShotsConfig) -> list[Answer]:
    """The stretches of a source that the arbiter judged, in order of time."""
    said = signals.cut_probability
    if said is None:
        return []
    times = signals.edges_s
    return [
        Answer(
            start_s=float(times[run.start]),
            end_s=float(times[run.stop]),
            probability=float(said[run].max()),
            is_transition=bool(is_transition(said[run], config).any()),
        )
        for run in runs_of(~np.isnan(said))
    ]


def may_blend(thumbs: np.ndarray, starts: np.ndarray, lag: int) -> np.ndarray:
    """Which windows, ``lag`` frames long from each start, may contain a blend: (k,) bool.

    A vectorised pre-filter for ``blend_span``, with a margin so that nothing it would find is lost:
    every moving stretch has to be tested for a dissolve.
    """
    may = np.empty(len(starts), dtype=bool)
    for first in range(0, len(starts), WINDOWS):
        some = starts[first : first + WINDOWS]
        frames = thumbs.reshape(len(thumbs), -1)[some[:, None] + np.arange(lag + 1)]
        frames = frames.astype(np.float32)
        direction = frames[:, -1] - frames[:, 0]
        along = (frames @ direction[:, :, None])[:, :, 0]
        steps = np.diff(along, axis=1) / (direction**2).sum(axis=1, keepdims=True)
        is_slow = steps.max(axis=1) <= CLEAR_STEP + STEP_MARGIN
        may[first : first + WINDOWS] = is_slow & (steps.min(axis=1) >= BACK_STEP - STEP_MARGIN)
    return may


def blend_span(window: np.ndarray, max_error: float) -> tuple[int, int] | None:
    """Where a window (n, h, w) moves linearly from its first to its last frame; None: nowhere."""
    first, last = window[0], window[-1]
    direction = (last - first).ravel()
    shares = (window - first).reshape(len(window), -1) @ direction / (direction @ direction)
    steps = np.diff(shares)
    if steps.max() > CLEAR_STEP or steps.min() < BACK_STEP:
        return None
    blends = first + shares[:, None, None] * (last - first)
    error = np.abs(window - blends).mean(axis=(1, 2)).max() / np.abs(last - first).mean()
    if error > max_error:
        return None
    inside = np.flatnonzero((shares > 0.03) & (shares < 0.97))
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) >= 2 else None


def _frames(duration_s: float, signals: Signals) -> int:
    return max(3, round(duration_s / signals.frame_s))


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two uint8 images."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def scene_checks(signals: Signals, span: tuple[float, float], config: ShotsConfig) -> list[Check]:
    """The transitions around a scene, and how close to a cut its strongest inner changes are.

    Reported only: a scene is split where these limits are exceeded, so they reject nothing.
    """
    transitions = find_transitions(signals, config)
    times = signals.edges_s
    checks: list[Check] = []
    for moment, edge, name in (
        (span[0], "enter", "scene begins"), (span[1], "leave", "scene ends")
    ):  # fmt: skip
        near = (t.kind for t in transitions if abs(times[getattr(t, edge)] - moment) < 1e-6)
        text = f"{moment:.3f} s, {next(near, 'of the video')}"
        checks.append(Check(verdict="cuts", signal=name, value=text))
    inside = signals.between(*span)
    inner = slice(inside.start + 1, inside.stop)
    if inner.stop > inner.start:
        label = f"strongest change inside (a cut: {config.min_content:g} and "
        label += f"{config.adaptive_ratio:g}x its neighbours)"
        strongest, weakest = signals.content[inner].max(), signals.histogram[inner].min()
        checks += [
            Check(verdict="cuts", signal=label, value=float(strongest)),
            Check(
                verdict="cuts", signal="weakest histogram correlation inside",
                value=float(weakest), rule=AT_LEAST, threshold=config.max_histogram_correlation,
                key=KEYS + "max_histogram_correlation",
            ),
        ]  # fmt: skip
    if signals.cut_probability is not None:
        said = signals.cut_probability[inside.start : inside.stop - 1]  # the last is next to a cut
        said = said[~np.isnan(said)]
        checks.append(
            Check(
                verdict="cuts", signal="arbiter: most likely transition inside",
                value=float(said.max()) if len(said) else None, rule=LESS,
                threshold=config.min_cut_probability, key=KEYS + "min_cut_probability",
            )
        )  # fmt: skip
    return checks
