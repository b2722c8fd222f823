"""The one person in every frame of a canonical clip; frames that show other people are cut off.

The first stage: it decides which frames the clip has.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from curation.clip import AT_LEAST, Check, Clip, Tracks, first_failed
from curation.first_pass.signals import PersonSamples, runs_of
from curation.perception.protocols import Person, PersonDetector
from curation.selection.people import (
    BODY_HIDDEN,
    MEANINGS,
    NO_PERSON,
    NUMBERS,
    TWO_PEOPLE,
    PeopleConfig,
    PeopleVerdicts,
    collect_samples,
    commonest_code,
    judge_samples,
    other_checks,
)
from curation.selection.stillness import looks_apart, with_changes

LONGEST = "longest_stretch"


@dataclass(frozen=True, kw_only=True, eq=False)
class Followed:
    """The longest stretch of a clip that passes."""

    clip: Clip  # shortened to it; if that is too short, the whole clip with its scores
    frames: slice  # of the incoming clip
    rows: np.ndarray  # (t,) of the samples' people, one per frame; below 0: none


@dataclass(frozen=True, kw_only=True, eq=False)
class FollowPerson:
    """Fills ``everyone`` and ``people``; shortens the clip to its longest stretch that passes."""

    detector: PersonDetector
    config: PeopleConfig
    min_duration_s: float
    name: str = "people"
    reads: tuple[str, ...] = ()

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """If no stretch is long enough, only ``everyone`` is filled and the clip stays whole.

        Its scores then say what was seen instead.
        """
        height, width = tracks.frames.shape[1:3]
        fps, shown = clip.fps or 1.0, list(tracks.frames)
        found = self.detector.detect(shown)
        seen = with_changes(shown, found, looks_apart(fps), is_whole=True)
        tracks = replace(tracks, everyone=seen)
        samples = collect_samples([i / fps for i in range(len(seen))], seen, height, width)
        followed = self.follow(clip, samples, width / height)
        if first_failed(self.checks(followed.clip)):
            return followed.clip, tracks
        flat = [person for sample in seen for person in sample]
        chosen: list[Person | None] = [None if row < 0 else flat[row] for row in followed.rows]
        shorter = followed.clip.with_scores(
            seen_share=float(np.mean([person is not None for person in chosen])),
            person_score=float(np.mean([p.score for p in chosen if p is not None] or [0.0])),
        )
        return shorter, replace(tracks, frames=tracks.frames[followed.frames], people=chosen)

    def follow(self, clip: Clip, samples: PersonSamples, aspect: float) -> Followed:
        """The same from stored detections of every frame, without pixels."""
        fps = clip.fps or 1.0
        verdicts = judge_samples(
            samples, self.config, aspect=aspect, min_other_s=self.config.min_others_s
        )
        good = self._longest(verdicts, fps)
        count = good.stop - good.start
        measured = clip.with_scores(**verdicts.evidence(), **{LONGEST: count})
        if first_failed(self.checks(measured)):
            return Followed(clip=measured, frames=good, rows=verdicts.main_rows[good])
        shorter = replace(
            clip.cut_to(good),
            num_people=1,
            verdicts={**clip.verdicts, self.name: "one person"},
        )
        return Followed(clip=shorter, frames=good, rows=verdicts.main_rows[good])

    def checks(self, clip: Clip) -> list[Check]:
        """One person must be visible for long enough; the code says what is visible instead."""
        measured = clip.scores
        code = commonest_code(measured)
        longest = Check(
            verdict=self.name,
            signal=LONGEST,
            value=measured.get(LONGEST, clip.num_frames),
            rule=AT_LEAST,
            threshold=self.min_duration_s * (clip.fps or 1.0) - 0.5,  # frames
            key="selection.quality.min_duration_s",
            code=code,
            meaning=MEANINGS[code],
            evidence={n: measured[n] for n in (*NUMBERS, LONGEST) if n in measured},
        )
        if LONGEST not in measured:
            return [longest]
        return [longest, *other_checks(measured, self.config, "min_others_s")]

    def provenance_key(self) -> dict[str, Any]:
        """The detector and every setting: they decide which frames the clip has."""
        return {
            "detector": asdict(self.detector.info),
            "people": asdict(self.config),
            "min_duration_s": self.min_duration_s,
        }

    def _longest(self, verdicts: PeopleVerdicts, fps: float) -> slice:
        """The longest stretch of frames that passes."""
        is_bad = verdicts.codes == TWO_PEOPLE
        for code in (NO_PERSON, BODY_HIDDEN):
            for run in runs_of(verdicts.codes == code):
                is_bad[run] |= run.stop - run.start > self.config.max_missed_s * fps
        return _longest_of_one(~is_bad, verdicts.owners)


def _longest_of_one(is_good: np.ndarray, owners: np.ndarray) -> slice:
    """The longest run of good moments (n,) of one person.

    A moment without a person belongs to the person before it; at the start, to the first one.
    """
    known = np.flatnonzero(owners >= 0)
    if not len(known):
        return slice(0, 0)
    nearest = owners
    if len(known) < len(owners):
        last = np.clip(np.searchsorted(known, np.arange(len(owners)), side="right") - 1, 0, None)
        nearest = owners[known[last]]
    runs = [run for owner in set(nearest.tolist()) for run in runs_of(is_good & (nearest == owner))]
    return max(runs, key=lambda run: (run.stop - run.start, -run.start), default=slice(0, 0))
