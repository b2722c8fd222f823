"""Exactly one person, with enough of the body in view: in sampled frames, then in every frame.

A second person counts when large against the main one and seen often enough to be no accident of
the detector; a passer-by cuts a clip to its longest stretch without him rather than losing it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from configs.errors import ConfigError
from curation.clip import Clip, Reject, Tracks
from curation.perception.protocols import COCO_KEYPOINTS, Person, PersonDetector
from curation.signals import PersonSamples
from curation.stages.shots import runs_of

BODIES = {
    "upper": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "full": (
        "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee",
    ),
}  # fmt: skip
"""Keypoints that must be in view."""
PASSES, NO_PERSON, TWO_PEOPLE, BODY_HIDDEN = 0, 1, 2, 3
CODES = {NO_PERSON: "no_person", TWO_PEOPLE: "two_people", BODY_HIDDEN: "body_hidden"}


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """Who counts, and how much of the body must be seen."""

    visible_body: str = "upper"
    min_score: float = 0.5
    min_visibility: float = 0.5
    min_other_share: float = 0.12  # of the main person's box
    frame_margin: float = 0.02  # a point may lie outside the frame by this share of its side
    max_missed_s: float = 0.9  # a main person unseen for less than this is still there
    others_margin_s: float = 2.0  # so long before and after he is seen, another person is near
    min_others_s: float = 0.1  # in a finished clip: seen for less than this is the detector's error

    def __post_init__(self) -> None:
        if self.visible_body not in BODIES:
            raise ConfigError(
                f"visible_body is {self.visible_body!r}; {', '.join(BODIES)} are accepted"
            )
        for name in ("min_score", "min_visibility", "min_other_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; 0..1 is accepted")


def collect_samples(
    times_s: Sequence[float],
    people: Sequence[Sequence[Person]],
    height: int,
    width: int,
) -> PersonSamples:
    """Detections in frames of (height, width) as arrays, in shares of the frame's sides."""
    flat = [person for sample in people for person in sample]
    scale = np.array([width, height], dtype=np.float32)
    boxes = np.array([p.box for p in flat], dtype=np.float32).reshape(-1, 4)
    keypoints = np.array([p.keypoints for p in flat], dtype=np.float32)
    keypoints = keypoints.reshape(-1, len(COCO_KEYPOINTS), 3)
    keypoints[..., :2] /= scale
    return PersonSamples(
        times_s=np.asarray(times_s, dtype=np.float64),
        num_people=np.array([len(sample) for sample in people], dtype=np.int32),
        boxes=boxes / np.tile(scale, 2),
        scores=np.array([p.score for p in flat], dtype=np.float32),
        keypoints=keypoints,
        track_ids=np.array(
            [-1 if p.track_id is None else p.track_id for p in flat], dtype=np.int32
        ),
    )


def judge_samples(samples: PersonSamples, config: PeopleConfig) -> tuple[np.ndarray, np.ndarray]:
    """What each sample shows.

    Returns:
        (n,) int verdicts (PASSES, NO_PERSON, TWO_PEOPLE, BODY_HIDDEN) and (n,) int counts of the
        people who matter.
    """
    verdicts = np.full(len(samples.times_s), NO_PERSON)
    counts = np.zeros(len(samples.times_s), dtype=int)
    for index in range(len(samples.times_s)):
        rows = samples.people_of(index)
        verdicts[index], counts[index] = judge_people(
            samples.boxes[rows], samples.scores[rows], samples.keypoints[rows], config
        )
    return verdicts, counts


def judge_people(
    boxes: np.ndarray, scores: np.ndarray, keypoints: np.ndarray, config: PeopleConfig
) -> tuple[int, int]:
    """The verdict on one frame and how many people matter in it.

    Args:
        boxes: (p, 4) in shares of the frame, the main person first.
        scores: (p,).
        keypoints: (p, 17, 3), x and y in shares of the frame.
        config: thresholds.
    """
    sides = np.clip(boxes[:, 2:], 0, 1) - np.clip(boxes[:, :2], 0, 1)
    areas = np.clip(sides, 0, None).prod(axis=1)
    if not len(boxes) or scores[0] < config.min_score:
        return NO_PERSON, 0
    count = 1 + int((areas[1:] >= config.min_other_share * areas[0]).sum())
    if count > 1:
        return TWO_PEOPLE, count
    is_seen = is_body_in_view(keypoints[0], config)
    return (PASSES if is_seen else BODY_HIDDEN), count


def is_body_in_view(keypoints: np.ndarray, config: PeopleConfig) -> bool:
    """Whether the asked-for points of (17, 3) are visible and inside the frame."""
    wanted = keypoints[[COCO_KEYPOINTS.index(name) for name in BODIES[config.visible_body]]]
    inside = (wanted[:, :2] >= -config.frame_margin) & (wanted[:, :2] <= 1 + config.frame_margin)
    return bool((inside.all(axis=1) & (wanted[:, 2] >= config.min_visibility)).all())


def passing_runs(
    times_s: np.ndarray, verdicts: np.ndarray, start_s: float, end_s: float, config: PeopleConfig
) -> list[tuple[float, float]]:
    """Stretches of [start_s, end_s) with exactly one person in view, longest first.

    A stretch reaches to the border of the scene when the sample nearest to it passes. Short
    misses are bridged. A second person never is, and since detectors lose people who stand
    behind others, the time around each sighting does not pass either.
    """
    inside = (times_s >= start_s - 1e-6) & (times_s < end_s - 1e-6)
    times, seen = times_s[inside], verdicts[inside]
    if not len(times):
        return []
    is_near_others = np.zeros(len(times), dtype=bool)
    for moment in times[seen == TWO_PEOPLE]:
        is_near_others |= np.abs(times - moment) <= config.others_margin_s + 1e-6
    good = (seen == PASSES) & ~is_near_others
    for gap in runs_of(~good):
        is_between = gap.start > 0 and gap.stop < len(good)
        if is_between and not is_near_others[gap].any():
            good[gap] = times[gap.stop] - times[gap.start - 1] <= config.max_missed_s + 1e-6
    spans = [
        (
            start_s if run.start == 0 else float(times[run.start]),
            end_s if run.stop == len(times) else float(times[run.stop - 1]),
        )
        for run in runs_of(good)
    ]
    return sorted(spans, key=lambda span: span[0] - span[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class FollowPerson:
    """Finds the one person in every frame of a canonical clip; cuts off frames with others."""

    detector: PersonDetector
    config: PeopleConfig
    min_duration_s: float
    name: str = "people"

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """Fill ``people``; shorten the clip to its longest stretch that passes."""
        height, width = tracks.frames.shape[1:3]
        people = self.detector.detect(list(tracks.frames))
        samples = collect_samples(range(len(people)), people, height, width)
        verdicts, counts = judge_samples(samples, self.config)
        fps = clip.fps or 1.0
        is_bad = np.zeros(len(verdicts), dtype=bool)
        limits = {TWO_PEOPLE: self.config.min_others_s, NO_PERSON: self.config.max_missed_s}
        limits[BODY_HIDDEN] = self.config.max_missed_s
        for code, limit_s in limits.items():
            for run in runs_of(verdicts == code):
                is_bad[run] |= run.stop - run.start > limit_s * fps
        good = max(runs_of(~is_bad), key=lambda run: run.stop - run.start, default=slice(0, 0))
        evidence = _evidence(verdicts, counts, good)
        if good.stop - good.start < self.min_duration_s * fps - 0.5:
            worst = max(CODES, key=lambda code: int((verdicts == code).sum()))
            return Reject(clip=clip, code=CODES[worst], evidence=evidence)
        chosen: list[Person | None] = [
            sample[0] if sample and sample[0].score >= self.config.min_score else None
            for sample in people
        ]
        shorter = replace(
            clip,
            start_s=clip.start_s + good.start / fps,
            end_s=clip.start_s + good.stop / fps,
            num_frames=good.stop - good.start,
            num_people=1,
            verdicts={**clip.verdicts, self.name: "one person"},
        ).with_scores(
            seen_share=float(np.mean([person is not None for person in chosen[good]])),
            person_score=float(np.mean([p.score for p in chosen[good] if p is not None] or [0.0])),
        )
        return shorter, replace(tracks, frames=tracks.frames[good], people=chosen[good])

    def making(self) -> dict[str, Any]:
        """The detector and every setting: they decide which frames the clip has."""
        return {
            "detector": asdict(self.detector.info),
            "people": asdict(self.config),
            "min_duration_s": self.min_duration_s,
        }

    def judge(self, clip: Clip) -> Reject | None:
        """Nothing is left to ask: what does not pass was cut off."""
        return None


def _evidence(verdicts: np.ndarray, counts: np.ndarray, good: slice) -> dict[str, Any]:
    return {
        "frames": len(verdicts),
        "passing_frames": int((verdicts == PASSES).sum()),
        "two_people_frames": int((verdicts == TWO_PEOPLE).sum()),
        "no_person_frames": int((verdicts == NO_PERSON).sum()),
        "body_hidden_frames": int((verdicts == BODY_HIDDEN).sum()),
        "longest_stretch": good.stop - good.start,
        "num_people": int(counts.max(initial=0)),
    }
