"""Exactly one person, with enough of the body in view: in sampled frames, then in every frame.

People are followed over a scene (``person_tracks.py``). A second person counts when large against
the main one, seen for long enough and moving; a passer-by cuts a clip to its longest stretch
without him rather than losing it. Mirrors, duets and split screens show two.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from configs.errors import ConfigError
from curation.clip import Clip, Reject, Tracks
from curation.first_pass.signals import PersonSamples
from curation.perception.protocols import COCO_KEYPOINTS, Person, PersonDetector
from curation.selection.person_tracks import Liveliness, Sightings, Track, find_cast
from curation.selection.shots import runs_of
from curation.selection.stillness import looks_apart, with_changes

BODIES = {
    "upper": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "full": (
        "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee",
    ),
}  # fmt: skip
"""Keypoints that must be in view."""
PASSES, NO_PERSON, TWO_PEOPLE, BODY_HIDDEN = 0, 1, 2, 3
CODES = {NO_PERSON: "no_person", TWO_PEOPLE: "two_people", BODY_HIDDEN: "body_hidden"}
SEEING = (
    "visible_body", "min_score", "min_visibility", "min_other_share", "min_other_s",
    "min_other_motion", "sure_other_motion", "min_other_change", "memory_s", "frame_margin",
    "min_others_s",
)  # fmt: skip
"""Fields of ``PeopleConfig`` that decide what a sample shows, and nothing once that is known."""


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """Who counts, and how much of the body must be seen."""

    visible_body: str = "upper"
    min_score: float = 0.5
    min_visibility: float = 0.5
    min_other_share: float = 0.12  # of the main person's box, median over the other's track
    min_other_s: float = 0.5  # in samples: a track that is shorter is the detector's error
    min_other_motion: float = 0.02  # liveliness; whoever moves less is a picture of a person
    sure_other_motion: float = 0.06  # whoever moves more is none
    min_other_change: float = 5.0  # gray levels in 0.4 s; in between, who changes less is one
    memory_s: float = 2.0  # whoever is unseen for longer is somebody new
    frame_margin: float = 0.02  # a point may lie outside the frame by this share of its side
    max_missed_s: float = 0.9  # a main person unseen for less than this is still there
    others_margin_s: float = 2.0  # so long before and after he is seen, another person is near
    min_others_s: float = 0.1  # the same as min_other_s in a finished clip, where all is seen

    @property
    def alive(self) -> Liveliness:
        """What tells somebody else from a picture of him."""
        return Liveliness(
            min_motion=self.min_other_motion,
            sure_motion=self.sure_other_motion,
            min_change=self.min_other_change,
        )

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
        changes=np.array([np.nan if p.change is None else p.change for p in flat], np.float32),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PeopleVerdicts:
    """What the n samples of one scene show."""

    times_s: np.ndarray  # (n,)
    codes: np.ndarray  # (n,) PASSES, NO_PERSON, TWO_PEOPLE, BODY_HIDDEN
    counts: np.ndarray  # (n,) people who count
    main_rows: np.ndarray  # (n,) rows of the samples' people; below 0: unseen
    owners: np.ndarray  # (n,) whose moment it is, 0, 1, ...; below 0: nobody's
    others: list[Track]  # who counts beside the main people
    passed_over: list[Track]  # who does not

    def codes_by_person(self) -> list[np.ndarray]:
        """For each main person the codes (n,), with NO_PERSON in the time of the others."""
        others_time = np.where(self.codes == TWO_PEOPLE, TWO_PEOPLE, NO_PERSON)
        return [
            np.where(self.owners == owner, self.codes, others_time)
            for owner in range(int(self.owners.max(initial=-1)) + 1)
        ]

    def evidence(self) -> dict[str, Any]:
        """Counts of samples by what they show, and the largest of the others."""
        told: dict[str, Any] = {
            "samples": len(self.codes),
            "passing_samples": int((self.codes == PASSES).sum()),
            **{f"{code}_samples": int((self.codes == n).sum()) for n, code in CODES.items()},
            "num_people": int(self.counts.max(initial=0)),
        }
        if self.others:
            other = max(self.others, key=lambda track: track.share)
            told |= {"other_share": round(other.share, 3), "other_s": round(other.seen_s, 2)}
            if other.motion is not None:
                told["other_motion"] = round(other.motion, 3)
            if other.change is not None:
                told["other_change"] = round(other.change, 1)
        return told


def judge_samples(
    samples: PersonSamples,
    config: PeopleConfig,
    *,
    span: tuple[float, float] = (-np.inf, np.inf),
    aspect: float = 1.0,
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    min_other_s: float | None = None,
) -> PeopleVerdicts:
    """What the samples of one scene show.

    Args:
        samples: of a whole source.
        config: thresholds.
        span: of the scene, in seconds.
        aspect: width of the frame over its height, by which boxes are measured alike both ways.
        region: left, top, right, bottom of the picture proper in shares of the frame: whoever is
            outside, in a blurred fill, is not looked at.
        min_other_s: in place of the config's.
    """
    is_inside = (samples.times_s >= span[0] - 1e-6) & (samples.times_s < span[1] - 1e-6)
    owners = np.repeat(np.arange(len(samples.times_s)), samples.num_people)
    corner, size = np.array(region[:2]), np.array(region[2:]) - region[:2]
    left, top, right, bottom = samples.boxes.T
    is_taken = is_inside[owners]
    for centre, start, side in zip(
        ((left + right) / 2, (top + bottom) / 2), corner, size, strict=True
    ):
        is_taken &= np.abs(centre - start - side / 2) <= side / 2
    rows = np.flatnonzero(is_taken)
    times = samples.times_s[is_inside]
    boxes = np.clip(samples.boxes[rows], 0, 1).astype(np.float64)
    boxes[:, 0::2] *= aspect
    seen = Sightings(
        times_s=times,
        moments=(np.cumsum(is_inside) - 1)[owners[rows]],
        boxes=boxes,
        scores=samples.scores[rows],
        keypoints=samples.keypoints[rows],
        track_ids=samples.track_ids[rows],
        changes=samples.changes[rows],
        aspect=aspect,
    )
    codes = np.full(len(times), NO_PERSON)
    counts = np.zeros(len(times), dtype=int)
    main_rows = np.full(len(times), -1)
    cast = find_cast(seen, config.memory_s, config.alive)
    for main in cast.mains:
        sure = main.rows[seen.scores[main.rows] >= config.min_score]
        moments = seen.moments[sure]
        main_rows[moments] = rows[sure]
        is_seen = bodies_in_view(seen.keypoints[sure], config, corner, size)
        codes[moments] = np.where(is_seen, PASSES, BODY_HIDDEN)
        counts[moments] = 1
    least_s = config.min_other_s if min_other_s is None else min_other_s
    others = [track for track in cast.others if counts_as_other(track, config, least_s)]
    for track in others:
        # who is there while nobody is main is no second person
        codes[track.covers(times) & (cast.owners >= 0)] = TWO_PEOPLE
        counts[track.covers(times)] += 1
    return PeopleVerdicts(
        times_s=times,
        codes=codes,
        counts=counts,
        main_rows=main_rows,
        owners=cast.owners,
        others=others,
        passed_over=[t for t in cast.others if not any(t is other for other in others)],
    )


def counts_as_other(track: Track, config: PeopleConfig, min_other_s: float) -> bool:
    """Whether somebody beside a main person is large, lasting and alive enough to matter."""
    is_lasting = len(track.rows) >= 2 and track.seen_s >= min_other_s
    is_alive = track.is_alive(config.alive)
    return is_alive and is_lasting and track.share >= config.min_other_share


def bodies_in_view(
    keypoints: np.ndarray, config: PeopleConfig, corner: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Of which bodies (k, 17, 3) the asked-for points are visible and inside the picture: (k,).

    Args:
        keypoints: x and y as shares of the frame's sides, visibility.
        config: which points, and how sure they must be.
        corner: left and top of the picture proper, shares of the sides.
        size: its width and height.
    """
    names = BODIES[config.visible_body]
    wanted = keypoints[:, [COCO_KEYPOINTS.index(name) for name in names]]
    is_seen = wanted[..., 2] >= config.min_visibility
    for axis in (0, 1):
        places = ((wanted[..., axis] - corner[axis]) / size[axis]).astype(wanted.dtype)
        is_seen &= (places >= -config.frame_margin) & (places <= 1 + config.frame_margin)
    return np.asarray(is_seen.all(axis=1))


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
class Followed:
    """The longest stretch of a clip that passes."""

    clip: Clip  # shortened to it
    frames: slice  # of the clip as it came
    rows: np.ndarray  # (t,) of the samples' people, who is seen in each frame; below 0: nobody


@dataclass(frozen=True, kw_only=True, eq=False)
class FollowPerson:
    """Finds the one person in every frame of a canonical clip; cuts off frames with others."""

    detector: PersonDetector
    config: PeopleConfig
    min_duration_s: float
    name: str = "people"

    def process(self, clip: Clip, tracks: Tracks) -> "tuple[Clip, Tracks] | Reject":
        """Fill ``people``; shorten the clip to its longest stretch that passes."""
        return self.choose(clip, tracks, self.look(tracks.frames, clip.fps or 1.0))

    def look(self, frames: np.ndarray, fps: float) -> list[list[Person]]:
        """Everybody in every frame (t, height, width, 3)."""
        shown = list(frames)
        return with_changes(shown, self.detector.detect(shown), looks_apart(fps))

    def choose(
        self, clip: Clip, tracks: Tracks, people: list[list[Person]]
    ) -> "tuple[Clip, Tracks] | Reject":
        """``process`` of frames that were looked at."""
        height, width = tracks.frames.shape[1:3]
        fps = clip.fps or 1.0
        samples = collect_samples([i / fps for i in range(len(people))], people, height, width)
        outcome = self.follow(clip, samples, width / height)
        if isinstance(outcome, Reject):
            return outcome
        everyone = [person for sample in people for person in sample]
        chosen = [None if row < 0 else everyone[row] for row in outcome.rows]
        shorter = outcome.clip.with_scores(
            seen_share=float(np.mean([person is not None for person in chosen])),
            person_score=float(np.mean([p.score for p in chosen if p is not None] or [0.0])),
        )
        return shorter, replace(tracks, frames=tracks.frames[outcome.frames], people=chosen)

    def follow(self, clip: Clip, samples: PersonSamples, aspect: float) -> Followed | Reject:
        """The same from what was seen in every frame, when no pixels are at hand."""
        fps = clip.fps or 1.0
        verdicts, good = self._longest(samples, fps, aspect)
        if good.stop - good.start < self.min_duration_s * fps - 0.5:
            codes = verdicts.codes
            worst = max(CODES, key=lambda code: int((codes == code).sum()))
            evidence = {**verdicts.evidence(), "longest_stretch": good.stop - good.start}
            return Reject(clip=clip, code=CODES[worst], evidence=evidence)
        shorter = replace(
            clip,
            start_s=clip.start_s + good.start / fps,
            end_s=clip.start_s + good.stop / fps,
            num_frames=good.stop - good.start,
            num_people=1,
            verdicts={**clip.verdicts, self.name: "one person"},
        )
        return Followed(clip=shorter, frames=good, rows=verdicts.main_rows[good])

    def keeps_all(self, samples: PersonSamples, fps: float, aspect: float) -> bool:
        """Whether ``follow`` shortens such a clip by nothing."""
        count = len(samples.times_s)
        is_long = count >= self.min_duration_s * fps - 0.5
        return is_long and self._longest(samples, fps, aspect)[1] == slice(0, count)

    def _longest(
        self, samples: PersonSamples, fps: float, aspect: float
    ) -> tuple[PeopleVerdicts, slice]:
        """What every frame shows, and the longest stretch of them that passes."""
        verdicts = judge_samples(
            samples, self.config, aspect=aspect, min_other_s=self.config.min_others_s
        )
        is_bad = verdicts.codes == TWO_PEOPLE
        for code in (NO_PERSON, BODY_HIDDEN):
            for run in runs_of(verdicts.codes == code):
                is_bad[run] |= run.stop - run.start > self.config.max_missed_s * fps
        return verdicts, _longest_of_one(~is_bad, verdicts.owners)

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


def _longest_of_one(is_good: np.ndarray, owners: np.ndarray) -> slice:
    """The longest run of good moments (n,) that belong to one person.

    A moment of nobody belongs to the person before it; at the start, to the first one.
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
