"""What of a scene is in no clip, and why: read from stored signals and stored people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from curation.clip_maker import clip_of
from curation.first_pass.signals import Signals
from curation.ledger import ClipRow
from curation.selection.candidates import Candidate, find_candidates
from curation.selection.people import (
    BODY_HIDDEN,
    CODES,
    KEYS,
    MEANINGS,
    NO_PERSON,
    TWO_PEOPLE,
    PeopleVerdicts,
    judge_samples,
    passing_runs,
)
from curation.selection.quality import frozen_runs, without
from curation.selection.scenes import people_in
from curation.settings import CurateConfig
from curation.stages.people_files import read_seen

Span = tuple[float, float]
SHORTEST_S = 0.15
"""Less is the frames next to a cut, or the rounding of a rate."""


@dataclass(frozen=True, kw_only=True)
class CutOff:
    """A stretch of a scene that is in no clip."""

    span: Span
    why: str
    key: str  # of the setting that decided


def cut_off(
    clip: ClipRow, siblings: Sequence[ClipRow], signals: Signals, config: CurateConfig
) -> list[CutOff]:
    """What lies in a clip's scene before and after it, up to the next clip or the scene's end.

    ``siblings``: all candidate clips of the source.
    """
    scene, own = _span(clip, "scene_start_s", "scene_end_s"), _span(clip)
    others = [_span(other) for other in siblings if other.clip_id != clip.clip_id]
    ends = [end for _, end in others if scene[0] <= end <= own[0] + 1e-6]
    starts = [start for start, _ in others if own[1] - 1e-6 <= start <= scene[1]]
    gaps = ((max(ends, default=scene[0]), own[0]), (own[1], min(starts, default=scene[1])))
    found: list[CutOff] = []
    for gap in gaps:
        if gap[1] - gap[0] > SHORTEST_S:
            why, key = _why(gap, clip, signals, config)
            found.append(CutOff(span=gap, why=why, key=key))
    return found


def _span(clip: ClipRow, start: str = "start_s", end: str = "end_s") -> Span:
    return float(clip.record[start]), float(clip.record[end])


def _why(gap: Span, clip: ClipRow, signals: Signals, config: CurateConfig) -> tuple[str, str]:
    """In words, and the key of the setting."""
    selection = config.selection
    moving = without(gap, frozen_runs(signals, selection.quality))
    if sum(end - start for start, end in moving) < (gap[1] - gap[0]) / 2:
        return "the picture does not move", "selection.quality.frozen_motion"
    looked_at = "frames"
    verdicts = _in_frames(gap, clip, signals, config)
    if verdicts is None:
        looked_at = "samples"
        scene = _span(clip, "scene_start_s", "scene_end_s")
        verdicts = people_in(signals, scene, selection.people, selection.quality)
    times = verdicts.times_s
    inside = verdicts.codes[(times >= gap[0] - 1e-6) & (times < gap[1] - 1e-6)]
    seen = {code: int((inside == code).sum()) for code in CODES}
    keys = {
        TWO_PEOPLE: KEYS + ("min_others_s" if looked_at == "frames" else "min_other_s"),
        NO_PERSON: KEYS + "max_missed_s",
        BODY_HIDDEN: KEYS + "min_visibility",
    }
    code = TWO_PEOPLE if seen[TWO_PEOPLE] else max(CODES, key=lambda code: seen[code])
    if seen[code]:
        name = CODES[code]
        words = f"{name}: {MEANINGS[name]} in {seen[code]} of {len(inside)} {looked_at}"
        passing_s = _longest_passing_s(gap, verdicts, config)
        if looked_at == "samples" and passing_s >= selection.quality.min_duration_s:
            words += f"; {passing_s:.3g} s of it pass, but the scene gives one clip"
            return words, "selection.stretches"
        return words, keys[code]
    margin = selection.people.others_margin_s
    near = times[verdicts.codes == TWO_PEOPLE]
    if ((near >= gap[0] - margin) & (near <= gap[1] + margin)).any():
        return f"another person is seen within {margin:g} s of it", KEYS + "others_margin_s"
    if gap[1] - gap[0] < selection.quality.min_duration_s:
        return "what is left is too short for a clip", "selection.quality.min_duration_s"
    return "a longer stretch of the scene was taken", "selection.stretches"


def _longest_passing_s(gap: Span, verdicts: PeopleVerdicts, config: CurateConfig) -> float:
    """Seconds of the longest stretch of a gap with one person in view."""
    runs = [
        run
        for codes in verdicts.codes_by_person()
        for run in passing_runs(verdicts.times_s, codes, *gap, config.selection.people)
    ]
    return max((end - start for start, end in runs), default=0.0)


def _in_frames(
    gap: Span, clip: ClipRow, signals: Signals, config: CurateConfig
) -> PeopleVerdicts | None:
    """Who is in every frame of the stretch that the clip was cut from, with times of the source.

    None: most of the gap lies outside this stretch, or its people are not stored.
    """
    folder = Path(config.out) / "people" / str(clip.record.get("people"))
    if not (folder / "take.npz").is_file():
        return None
    found = find_candidates(clip_of(clip.record), signals, config.selection, config.canonical)
    for candidate in found:
        if not isinstance(candidate, Candidate):
            continue
        cut = candidate.clip
        shared_s = min(gap[1], cut.end_s) - max(gap[0], cut.start_s)
        is_of_clip = cut.start_s <= clip.record["start_s"] + 1e-6 < cut.end_s
        if not is_of_clip or shared_s < (gap[1] - gap[0]) / 2:
            continue
        height, width, people = cut.height or 1, cut.width or 1, config.selection.people
        samples = read_seen(folder, cut.fps or 1.0, height, width)
        verdicts = judge_samples(
            samples, people, aspect=width / height, min_other_s=people.min_others_s
        )
        return _moved(verdicts, cut.start_s)
    return None


def _moved(verdicts: PeopleVerdicts, start_s: float) -> PeopleVerdicts:
    return replace(verdicts, times_s=np.asarray(verdicts.times_s + start_s))
