"""From a source's stored signals to the stretches worth decoding again; opens no video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from configs.checks import check_choices
from curation.clip import AT_LEAST, Check, Clip, Reject, first_failed
from curation.first_pass.signals import Signals
from curation.selection.overlays import (
    OverlaysConfig,
    overlaps,
    overlay_share,
    region_without,
    share_check,
)
from curation.selection.people import (
    MEANINGS,
    PASSES,
    PeopleConfig,
    PeopleVerdicts,
    commonest_code,
    passing_runs,
)
from curation.selection.quality import (
    TOO_SHORT,
    QualityConfig,
    faults_in,
    filled_region,
    frame_rate,
    frozen_runs,
    lit_region,
    measure_span,
    moving_check,
    span_checks,
    split_long,
    within_both,
    without,
)
from curation.selection.scenes import SeenScene, find_seen_scenes, overlays_in
from curation.selection.shots import ShotsConfig
from curation.video.canonical import (
    CanonicalConfig,
    CropPlan,
    clip_rate,
    count_clip_frames,
    height_check,
    plan_crop,
)

Span = tuple[float, float]
Box = tuple[float, float, float, float]
MAX_COVERAGE_LOST = 0.02
"""Of the person, for a crop that leaves overlays out."""
WHOLE_SCENE_CODES = ("too_short", "dark", "blurred")
"""Reasons that apply to a whole scene, checked before people."""


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """All settings that decide which stretches are kept; changing them needs no decoding."""

    shots: ShotsConfig = field(default_factory=ShotsConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    overlays: OverlaysConfig = field(default_factory=OverlaysConfig)
    stretches: str = "longest"  # of a scene: the longest one that passes, or "all" of them

    def __post_init__(self) -> None:
        check_choices(self, stretches=("longest", "all"))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A stretch that passed all cheap filters, and how to cut it out."""

    clip: Clip
    plan: CropPlan


@dataclass(frozen=True, kw_only=True)
class RejectedClip:
    """A scene or stretch that failed one, and why."""

    clip: Clip
    reject: Reject


def find_candidates(
    base: Clip, signals: Signals, selection: SelectionConfig, canonical: CanonicalConfig
) -> list[Candidate | RejectedClip]:
    """The result for each scene of a source, in order of time; ``base`` with other times."""
    frozen = frozen_runs(signals, selection.quality)
    outcomes: list[Candidate | RejectedClip] = []
    scenes = find_seen_scenes(signals, selection.shots, selection.people, selection.quality)
    for scene in scenes:
        outcomes += _judge_scene(base, scene, signals, frozen, selection, canonical)
    return outcomes


def stretch_check(
    counts: Mapping[str, Any], longest_s: float | None, config: QualityConfig
) -> Check:
    """One person must be visible for long enough; the code says what is visible instead."""
    # a second person explains the loss of a scene, however few samples show them
    code = "two_people" if counts.get("two_people_samples") else commonest_code(counts)
    meaning = MEANINGS[code]
    if counts.get("samples") == 0:
        code, meaning = TOO_SHORT
    return Check(
        verdict="people", signal="longest_stretch_s", value=longest_s, rule=AT_LEAST,
        threshold=config.min_duration_s, key="selection.quality.min_duration_s", code=code,
        meaning=meaning, evidence={
            **counts, "longest_stretch_s": longest_s, "min_duration_s": config.min_duration_s
        },
    )  # fmt: skip


def _judge_scene(
    base: Clip,
    seen: SeenScene,
    signals: Signals,
    frozen: list[Span],
    selection: SelectionConfig,
    canonical: CanonicalConfig,
) -> Sequence[Candidate | RejectedClip]:
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
        num_people=int(people.counts.max()) if len(people.counts) else None,
    )
    measured = measure_span(signals, span)
    reject = first_failed(span_checks(measured, quality, faults_in(signals, span)))
    if reject is not None and reject.code in WHOLE_SCENE_CODES:
        return [RejectedClip(clip=clip, reject=reject)]
    pieces = without(span, frozen)
    reject = first_failed([moving_check(_longest_s(pieces), quality)])
    if reject is not None:
        return [RejectedClip(clip=clip, reject=reject)]
    stretches = [
        run
        for piece in pieces
        for codes in people.codes_by_person()
        for run in passing_runs(people.times_s, codes, *piece, selection.people)
    ]
    stretches.sort(key=lambda stretch: stretch[0] - stretch[1])
    reject = first_failed([stretch_check(people.evidence(), _longest_s(stretches), quality)])
    if reject is not None:
        return [RejectedClip(clip=clip, reject=reject)]
    long_enough = [s for s in stretches if s[1] - s[0] >= quality.min_duration_s]
    chosen = long_enough[:1] if selection.stretches == "longest" else sorted(long_enough)
    parts = [part for stretch in chosen for part in split_long(stretch, quality)]
    return [_judge_part(clip, part, signals, people, selection, canonical) for part in parts]


def _longest_s(spans: Sequence[Span]) -> float:
    """Length of the first span, the longest; 0.0 if there is none."""
    return spans[0][1] - spans[0][0] if spans else 0.0


def _judge_part(
    clip: Clip,
    part: Span,
    signals: Signals,
    people: PeopleVerdicts,
    selection: SelectionConfig,
    canonical: CanonicalConfig,
) -> Candidate | RejectedClip:
    quality = selection.quality
    start_s, end_s = part = _snap(signals, part)
    measured = measure_span(signals, part)
    scores = {**clip.scores, **measured}
    clip = replace(clip, start_s=start_s, end_s=end_s, num_people=1, scores=scores)
    reject = first_failed(span_checks(measured, quality, faults_in(signals, part)))
    if reject is not None:
        return RejectedClip(clip=clip, reject=reject)
    height, width = signals.size_at(start_s)
    left, top, right, bottom = reach = reach_of_person(signals, part, people)
    person = left * width, top * height, right * width, bottom * height
    reject = first_failed([height_check(person[3] - person[1], canonical)])
    if reject is not None:
        return RejectedClip(clip=clip, reject=reject)
    lit = lit_region(signals, part)
    inner = filled_region(signals, part, quality.min_fill_likeness)
    top, left, bottom, right = within_both(lit, inner)
    found = overlays_in(signals, part, people, quality, selection.overlays)
    covered = overlay_share(found, reach)
    scores["overlay_share"] = covered
    clip = replace(clip, scores=scores)
    reject = first_failed([share_check(covered, selection.overlays)])
    if reject is not None:
        return RejectedClip(clip=clip, reject=reject)
    region = left * width, top * height, right * width, bottom * height
    overlays = [(box[0] * width, box[1] * height, box[2] * width, box[3] * height) for box in found]
    plan = plan_crop(person, region, canonical)
    plan = _beside(overlays, person, region, plan, canonical)
    fps = clip_rate(signals.times_s[signals.between(*part)], canonical.max_fps)
    made = replace(
        clip,
        crop=plan.crop,
        height=plan.height,
        width=plan.width,
        fps=fps,
        num_frames=count_clip_frames(*part, fps),
        scores={
            **scores,
            "coverage": plan.coverage,
            "letterbox": _share_outside(lit),
            "blurred_fill": _share_outside(inner),
        },
    )
    return Candidate(clip=made, plan=plan)


def _beside(
    overlays: Sequence[Box], person: Box, region: Box, plan: CropPlan, canonical: CanonicalConfig
) -> CropPlan:
    """A crop without the overlays next to a person, if it shows as much of them; in pixels."""
    window = plan.left, plan.top, plan.left + plan.crop_width, plan.top + plan.crop_height
    inside = [box for box in overlays if overlaps(box, window)]
    if not inside:
        return plan
    other = plan_crop(person, region_without(inside, person, region), canonical)
    return other if other.coverage >= plan.coverage - MAX_COVERAGE_LOST else plan


def _snap(signals: Signals, span: Span) -> Span:
    """The same span with its ends moved to frames."""
    times = signals.edges_s
    start, end = (int(np.searchsorted(times, moment - 1e-6)) for moment in span)
    return float(times[start]), float(times[min(end, len(times) - 1)])


def reach_of_person(signals: Signals, span: Span, people: PeopleVerdicts) -> Box:
    """Extent of the main person over a stretch: left, top, right, bottom as shares of the sides."""
    assert signals.samples is not None
    inside = (people.times_s >= span[0] - 1e-6) & (people.times_s <= span[1] + 1e-6)
    rows = people.main_rows[inside & (people.codes == PASSES)]
    boxes = np.clip(signals.samples.boxes[rows], 0.0, 1.0)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _share_outside(region: Box) -> float:
    """Share of the frame outside (top, left, bottom, right)."""
    top, left, bottom, right = region
    return 1.0 - (bottom - top) * (right - left)
