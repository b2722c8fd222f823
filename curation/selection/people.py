"""Exactly one person, with enough of the body in view: in sampled frames, or in every frame.

People are tracked over a scene (``person_tracks.py``). A second person counts if they are large
relative to the main one, seen for long enough and moving; a passer-by shortens a clip to its
longest stretch without them rather than losing it. Mirrors, duets and split screens show two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.checks import check_choices, check_range
from curation.clip import AT_LEAST, LESS, Check
from curation.first_pass.signals import PersonSamples, runs_of
from curation.perception.protocols import COCO_KEYPOINTS, Person
from curation.selection.person_tracks import MotionBounds, PersonTrack, Sightings, find_scene_people

KEYS = "selection.people."
BODIES = {
    "upper": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "full": (
        "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee",
    ),
}  # fmt: skip
"""Keypoints that must be visible."""
PASSES, NO_PERSON, TWO_PEOPLE, BODY_HIDDEN = 0, 1, 2, 3
CODES = {NO_PERSON: "no_person", TWO_PEOPLE: "two_people", BODY_HIDDEN: "body_hidden"}
MEANINGS = {
    "no_person": "no person is visible",
    "two_people": "more than one person is visible",
    "body_hidden": "shoulders or hips are out of view",
}
"""Reject code -> meaning."""
NUMBERS = (
    "samples", "passing_samples", *(f"{code}_samples" for code in CODES.values()), "num_people",
    "other_share", "other_s", "other_motion", "other_change",
)  # fmt: skip
"""Keys that ``PeopleVerdicts.evidence`` may have."""


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """Which people count, and how much of the body must be visible."""

    visible_body: str = "upper"
    min_score: float = 0.5
    min_visibility: float = 0.5
    min_other_share: float = 0.12  # of the main person's box, median over the other's track
    min_other_s: float = 0.5  # in samples: shorter tracks are detector errors
    min_other_motion: float = 0.02  # liveliness; below, it is a picture of a person
    sure_other_motion: float = 0.06  # above, it is a real person
    min_other_change: float = 5.0  # gray levels in 0.4 s; less in between: a picture
    memory_s: float = 2.0  # a person unseen for longer counts as a new one
    frame_margin: float = 0.02  # how far a point may be outside the frame, as a share of its side
    max_missed_s: float = 0.9  # a main person unseen for less is assumed present
    others_margin_s: float = 2.4  # another person counts this long before and after being seen
    min_others_s: float = 0.1  # min_other_s in a finished clip, where every frame is seen

    @property
    def alive(self) -> MotionBounds:
        """Limits that distinguish another person from a picture of one."""
        return MotionBounds(
            min_motion=self.min_other_motion,
            sure_motion=self.sure_other_motion,
            min_change=self.min_other_change,
        )

    def __post_init__(self) -> None:
        check_choices(self, visible_body=BODIES)
        check_range(self, "min_score", "min_visibility", "min_other_share", least=0, most=1)


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
    counts: np.ndarray  # (n,) people that count
    main_rows: np.ndarray  # (n,) rows of the samples' people; below 0: not visible
    owners: np.ndarray  # (n,) main person of each moment, 0, 1, ...; below 0: none
    others: list[PersonTrack]  # other people that count
    passed_over: list[PersonTrack]  # other people that do not

    def codes_by_person(self) -> list[np.ndarray]:
        """For each main person the codes (n,), with NO_PERSON while another one is main."""
        others_time = np.where(self.codes == TWO_PEOPLE, TWO_PEOPLE, NO_PERSON)
        return [
            np.where(self.owners == owner, self.codes, others_time)
            for owner in range(int(self.owners.max(initial=-1)) + 1)
        ]

    def evidence(self) -> dict[str, Any]:
        """Counts of samples by what they show, and the largest of the other people."""
        found: dict[str, Any] = {
            "samples": len(self.codes),
            "passing_samples": int((self.codes == PASSES).sum()),
            **{f"{code}_samples": int((self.codes == n).sum()) for n, code in CODES.items()},
            "num_people": int(self.counts.max(initial=0)),
        }
        return found | (largest_of(self.others) if self.others else {})


def largest_of(tracks: Sequence[PersonTrack]) -> dict[str, Any]:
    """Measurements of the largest of other people (at least one)."""
    other = max(tracks, key=lambda track: track.share)
    found = {"other_share": round(other.share, 3), "other_s": round(other.seen_s, 2)}
    if other.motion is not None:
        found["other_motion"] = round(other.motion, 3)
    if other.change is not None:
        found["other_change"] = round(other.change, 1)
    return found


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
        aspect: width of the frame over its height, so that boxes use one unit on both axes.
        region: left, top, right, bottom of the picture proper in shares of the frame: people
            outside it, in a blurred fill, are ignored.
        min_other_s: replaces the config's.
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
    taken = slice(None) if len(rows) == len(is_taken) else rows  # a view: most often it is all
    times = samples.times_s[is_inside]
    boxes = np.clip(samples.boxes[taken], 0, 1).astype(np.float64)
    boxes[:, 0::2] *= aspect
    seen = Sightings(
        times_s=times,
        moments=(np.cumsum(is_inside) - 1)[owners[taken]],
        boxes=boxes,
        scores=samples.scores[taken],
        keypoints=samples.keypoints[taken],
        track_ids=samples.track_ids[taken],
        changes=samples.changes[taken],
        aspect=aspect,
    )
    codes = np.full(len(times), NO_PERSON)
    counts = np.zeros(len(times), dtype=int)
    main_rows = np.full(len(times), -1)
    is_in_view = bodies_in_view(seen.keypoints, config, corner, size)
    found = find_scene_people(seen, config.memory_s, config.alive)
    for main in found.mains:
        sure = main.rows[seen.scores[main.rows] >= config.min_score]
        moments = seen.moments[sure]
        main_rows[moments] = rows[sure]
        codes[moments] = np.where(is_in_view[sure], PASSES, BODY_HIDDEN)
        counts[moments] = 1
    least_s = config.min_other_s if min_other_s is None else min_other_s
    others = [track for track in found.others if counts_as_other(track, config, least_s)]
    for track in others:
        # people seen while there is no main person are not second people
        with_main = track.covers(times) & (found.owners >= 0)
        counts[with_main & (codes == NO_PERSON)] += 1  # of the main person, unseen for a moment
        codes[with_main] = TWO_PEOPLE
        counts[track.covers(times)] += 1
    return PeopleVerdicts(
        times_s=times,
        codes=codes,
        counts=counts,
        main_rows=main_rows,
        owners=found.owners,
        others=others,
        passed_over=[t for t in found.others if not any(t is other for other in others)],
    )


def counts_as_other(track: PersonTrack, config: PeopleConfig, min_other_s: float) -> bool:
    """Whether another person is large, lasting and alive enough to matter."""
    is_lasting = len(track.rows) >= 2 and track.seen_s >= min_other_s
    is_alive = track.is_alive(config.alive)
    return is_alive and is_lasting and track.share >= config.min_other_share


def score_check(lowest: float, config: PeopleConfig) -> Check:
    """Minimum detection score of the main person."""
    return Check(
        verdict="people", signal="lowest score of the main person", value=lowest, rule=AT_LEAST,
        threshold=config.min_score, key=KEYS + "min_score",
    )  # fmt: skip


def visibility_check(
    samples: PersonSamples, verdicts: "PeopleVerdicts", config: PeopleConfig
) -> Check:
    """Minimum visibility of the required points where the main person's body counts as hidden."""
    names = BODIES[config.visible_body]
    rows = verdicts.main_rows[verdicts.codes == BODY_HIDDEN]
    points = samples.keypoints[rows[rows >= 0]]
    points = points.take([COCO_KEYPOINTS.index(name) for name in names], axis=1)
    return Check(
        verdict="people", signal="lowest visibility of a required point", rule=AT_LEAST,
        value=float(points[..., 2].min()) if points.size else None,
        threshold=config.min_visibility, key=KEYS + "min_visibility",
    )  # fmt: skip


def commonest_code(counts: Mapping[str, Any]) -> str:
    """The commonest failure among the samples; ``counts``: of ``PeopleVerdicts.evidence``."""
    return max(CODES.values(), key=lambda code: counts.get(f"{code}_samples", 0))


def other_checks(
    measured: Mapping[str, Any], config: PeopleConfig, lasting: str = "min_other_s"
) -> list[Check]:
    """The largest other person counts only if it is large, ``lasting`` and alive."""
    rules = (
        ("other_share", "min_other_share"), ("other_s", lasting),
        ("other_motion", "min_other_motion"), ("other_change", "min_other_change"),
    )  # fmt: skip
    return [
        Check(
            verdict="people", signal=signal, value=measured[signal], rule=LESS,
            threshold=getattr(config, name), key=KEYS + name,
        )
        for signal, name in rules
        if measured.get(signal) is not None
    ]  # fmt: skip


def bodies_in_view(
    keypoints: np.ndarray, config: PeopleConfig, corner: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Of which bodies (k, 17, 3) the required points are visible and inside the picture: (k,).

    ``corner`` (left, top) and ``size`` (width, height) of the picture proper: shares of the sides.
    """
    names = BODIES[config.visible_body]
    wanted = keypoints.take([COCO_KEYPOINTS.index(name) for name in names], axis=1)
    is_seen = wanted[..., 2] >= config.min_visibility
    for axis in (0, 1):
        places = ((wanted[..., axis] - corner[axis]) / size[axis]).astype(wanted.dtype)
        is_seen &= (places >= -config.frame_margin) & (places <= 1 + config.frame_margin)
    return np.asarray(is_seen.all(axis=1))


def passing_runs(
    times_s: np.ndarray, verdicts: np.ndarray, start_s: float, end_s: float, config: PeopleConfig
) -> list[tuple[float, float]]:
    """Stretches of [start_s, end_s) with exactly one person in view, longest first.

    A stretch reaches to the border of the scene if the sample nearest to it passes. Short misses
    are bridged. A second person never is, and since detectors lose people who stand behind others,
    the time around each sighting does not pass either.
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
