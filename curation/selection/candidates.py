"""From a source's stored signals to the stretches worth a second decoding: no video is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from configs.errors import ConfigError
from curation.clip import Clip, Reject
from curation.first_pass.signals import Signals
from curation.selection.people import (
    CODES,
    PASSES,
    TWO_PEOPLE,
    PeopleConfig,
    PeopleVerdicts,
    passing_runs,
)
from curation.selection.quality import (
    QualityConfig,
    filled_region,
    frame_rate,
    frozen_runs,
    lit_region,
    measure_span,
    refuse_span,
    split_long,
    within_both,
    without,
)
from curation.selection.scenes import SceneRules, SeenScene
from curation.selection.shots import ShotsConfig
from curation.video.canonical import (
    CanonicalConfig,
    Framing,
    choose_framing,
    clip_rate,
    count_clip_frames,
)

Span = tuple[float, float]
Box = tuple[float, float, float, float]
WHOLE_SCENE_CODES = ("too_short", "dark", "blurred")
"""Reasons that hold for a scene as a whole, before people are asked for."""


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Everything that decides which stretches are kept; changing it needs no decoding."""

    shots: ShotsConfig = field(default_factory=ShotsConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    stretches: str = "longest"  # of a scene: the longest one that passes, or "all" of them

    def __post_init__(self) -> None:
        if self.stretches not in {"longest", "all"}:
            raise ConfigError(f"stretches is {self.stretches!r}; 'longest' and 'all' are accepted")

    @cached_property
    def scenes(self) -> SceneRules:
        """What of it decides scenes and who is seen in them."""
        return SceneRules(shots=self.shots, people=self.people, quality=self.quality)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A stretch that passed all cheap filters, and how it is to be cut out."""

    clip: Clip
    framing: Framing


def find_candidates(
    base: Clip,
    signals: Signals,
    selection: SelectionConfig,
    canonical: CanonicalConfig,
    seen: Sequence[SeenScene] | None = None,
) -> list[Candidate | Reject]:
    """What to do with each scene of a source, in order of time.

    Args:
        base: a clip record with the source's own fields; its times are replaced.
        signals: of the whole source, with samples of people.
        selection: thresholds.
        canonical: size and rate of the clips to be made.
        seen: what ``selection.scenes`` finds in it; None: it is looked for now.
    """
    frozen = frozen_runs(signals, selection.quality)
    outcomes: list[Candidate | Reject] = []
    for scene in selection.scenes.look_at(signals) if seen is None else seen:
        outcomes += _judge_scene(base, scene, signals, frozen, selection, canonical)
    return outcomes


def _judge_scene(
    base: Clip,
    seen: SeenScene,
    signals: Signals,
    frozen: list[Span],
    selection: SelectionConfig,
    canonical: CanonicalConfig,
) -> list[Candidate | Reject]:
    quality = selection.quality
    span, people = seen.span, seen.people
    height, width = signals.size_at(span[0])
    clip = replace(
        base,
        rotation=signals.orientation.degrees,
        source_height=height,
        source_width=width,
        scene_start_s=seen.scene.start_s,
        scene_end_s=seen.scene.end_s,
        start_s=span[0],
        end_s=span[1],
        source_fps=round(frame_rate(signals, span), 4) or None,
        num_people=seen.num_people,
    )
    measured = measure_span(signals, span)
    refused = refuse_span(measured, signals, span, quality)
    if refused is not None and refused[0] in WHOLE_SCENE_CODES:
        return [Reject(clip=clip, code=refused[0], evidence=refused[1])]
    pieces = without(span, frozen)
    if not pieces or pieces[0][1] - pieces[0][0] < quality.min_duration_s:
        longest_s = pieces[0][1] - pieces[0][0] if pieces else 0.0
        evidence = {"longest_moving_s": longest_s, "min_duration_s": quality.min_duration_s}
        return [Reject(clip=clip, code="frozen", evidence=evidence)]
    stretches = [
        run
        for piece in pieces
        for codes in people.codes_by_person()
        for run in passing_runs(people.times_s, codes, *piece, selection.people)
    ]
    stretches.sort(key=lambda stretch: stretch[0] - stretch[1])
    long_enough = [s for s in stretches if s[1] - s[0] >= quality.min_duration_s]
    if not long_enough:
        return [_refuse_people(clip, seen, stretches, quality)]
    chosen = long_enough[:1] if selection.stretches == "longest" else sorted(long_enough)
    parts = [part for stretch in chosen for part in split_long(stretch, quality)]
    return [
        _judge_part(clip, part, signals, people, selection, canonical, {span: measured})
        for part in parts
    ]


def _refuse_people(
    clip: Clip, scene: SeenScene, stretches: list[Span], quality: QualityConfig
) -> Reject:
    people = scene.people
    evidence: dict[str, Any] = {
        **scene.evidence,
        "longest_stretch_s": stretches[0][1] - stretches[0][0] if stretches else 0.0,
        "min_duration_s": quality.min_duration_s,
    }
    if not len(people.codes):
        return Reject(clip=clip, code="too_short", evidence=evidence)
    seen = {code: int((people.codes == number).sum()) for number, code in CODES.items()}
    # a second person explains the loss of a scene, however few samples show him
    code = CODES[TWO_PEOPLE] if seen[CODES[TWO_PEOPLE]] else max(seen, key=lambda c: seen[c])
    return Reject(clip=clip, code=code, evidence=evidence)


def _judge_part(
    clip: Clip,
    part: Span,
    signals: Signals,
    people: PeopleVerdicts,
    selection: SelectionConfig,
    canonical: CanonicalConfig,
    known: Mapping[Span, dict[str, float]],
) -> Candidate | Reject:
    """``known``: what ``measure_span`` gave before; a part is often the whole scene."""
    part = _snap(signals, part)
    measured = known.get(part) or measure_span(signals, part)

    def known_of(**further: Any) -> Clip:
        scores = {**clip.scores, **measured, **further.pop("scores", {})}
        times = {"start_s": part[0], "end_s": part[1]}
        return replace(clip, **times, num_people=1, scores=scores, **further)

    refused = refuse_span(measured, signals, part, selection.quality)
    if refused is not None:
        return Reject(clip=known_of(), code=refused[0], evidence=refused[1])
    height, width = signals.size_at(part[0])
    left, top, right, bottom = _reach_of_person(signals, part, people)
    person = left * width, top * height, right * width, bottom * height
    person_height = person[3] - person[1]
    if person_height < canonical.min_person_height:
        evidence = {"height": person_height, "min_person_height": canonical.min_person_height}
        return Reject(clip=known_of(), code="person_too_small", evidence=evidence)
    fill_likeness = selection.quality.min_fill_likeness
    lit, inner = lit_region(signals, part), filled_region(signals, part, fill_likeness)
    top, left, bottom, right = within_both(lit, inner)
    region = left * width, top * height, right * width, bottom * height
    framing = choose_framing(person, region, canonical)
    fps = clip_rate(signals.times_s[signals.between(*part)], canonical.max_fps)
    scores = {
        "coverage": framing.coverage,
        "letterbox": _share_outside(lit),
        "blurred_fill": _share_outside(inner),
    }
    found = known_of(
        scores=scores,
        crop=framing.crop,
        height=framing.height,
        width=framing.width,
        fps=fps,
        num_frames=count_clip_frames(*part, fps),
    )
    return Candidate(clip=found, framing=framing)


def _snap(signals: Signals, span: Span) -> Span:
    """The same span with borders on frames."""
    times = np.append(signals.times_s, signals.end_s)
    start, end = (int(np.searchsorted(times, moment - 1e-6)) for moment in span)
    return float(times[start]), float(times[min(end, len(times) - 1)])


def _reach_of_person(signals: Signals, span: Span, people: PeopleVerdicts) -> Box:
    """Left, top, right, bottom of the main person over a stretch, in shares of the sides."""
    assert signals.samples is not None
    inside = (people.times_s >= span[0] - 1e-6) & (people.times_s <= span[1] + 1e-6)
    rows = people.main_rows[inside & (people.codes == PASSES)]
    boxes = np.clip(signals.samples.boxes[rows], 0.0, 1.0)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _share_outside(region: Box) -> float:
    """Of the frame, outside (top, left, bottom, right)."""
    top, left, bottom, right = region
    return 1.0 - (bottom - top) * (right - left)
