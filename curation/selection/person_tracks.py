"""People tracked over time in a detector's output: which is the main one, and which others count.

Tracks are linked from stored boxes and keypoints alone, so another threshold needs no decoding, and
every detector is treated alike. A track counts next to the main person's if it is large relative to
it, seen for long enough, and moves: a poster, a picture on a shelf and a mannequin do not.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from curation.first_pass.signals import median
from curation.perception.boxes import match_best_first

MIN_VISIBILITY = 0.5  # of a keypoint used to measure motion
MIN_POINTS = 4
REACH = 0.75
"""Distance a person may move between consecutive sightings, in box heights; more with time."""
REACH_PER_S = 0.5
MAX_GROWTH = 4.0  # of the box's area between two sightings
WANDERING = 0.25
"""Weight of a body's path in the frame as motion: a shaky camera moves pictures, too."""
SAME_ID_BONUS = 0.5  # if the detector's own tracker agrees; its numbers restart at times


@dataclass(frozen=True, kw_only=True, eq=False)
class Sightings:
    """The detections of one scene: n moments, p people in all, moment by moment."""

    times_s: np.ndarray  # (n,) float64
    moments: np.ndarray  # (p,) int: index of each person's moment
    boxes: (
        np.ndarray
    )  # (p, 4) left, top, right, bottom, in one unit for both axes, inside the frame
    scores: np.ndarray  # (p,)
    keypoints: np.ndarray  # (p, 17, 3) x and y as shares of the frame's sides, visibility
    track_ids: np.ndarray  # (p,) int of the detector; below 0: not tracked
    changes: np.ndarray  # (p,) gray levels between two looks (stillness.py); NaN: unknown
    aspect: float = 1.0  # of the frame, converts keypoints to the unit of the boxes

    @cached_property
    def areas(self) -> np.ndarray:
        """Of the boxes, (p,)."""
        left, top, right, bottom = self.boxes.T
        return np.maximum(right - left, 0) * np.maximum(bottom - top, 0)

    @cached_property
    def step_s(self) -> float:
        """Typical time between two moments."""
        return median(np.diff(self.times_s)) if len(self.times_s) > 1 else 0.0


@dataclass(kw_only=True, eq=False)
class PersonTrack:
    """One person over time; measured lazily, since most people are alone and need no measures."""

    seen: Sightings
    rows: np.ndarray  # (k,) of the sightings, in order of time
    share: float = 1.0  # of another person: median area relative to the main person's

    @cached_property
    def first_s(self) -> float:
        """Time of the first sighting."""
        return float(self.seen.times_s[self.seen.moments[self.rows[0]]])

    @cached_property
    def last_s(self) -> float:
        """Time of the last sighting."""
        return float(self.seen.times_s[self.seen.moments[self.rows[-1]]])

    @property
    def seen_s(self) -> float:
        """From the first to the last sighting, plus one step."""
        return self.last_s - self.first_s + self.seen.step_s

    @cached_property
    def weight(self) -> float:
        """Area times score, summed over the sightings."""
        return float((self.seen.areas[self.rows] * self.seen.scores[self.rows]).sum())

    @cached_property
    def motion(self) -> float | None:
        """See ``liveliness``; None: too few keypoints."""
        return liveliness(self.seen.keypoints[self.rows] * [self.seen.aspect, 1, 1])

    @cached_property
    def change(self) -> float | None:
        """Median over the sightings; None: unknown."""
        changes = self.seen.changes[self.rows]
        known = changes[~np.isnan(changes)]
        return median(known) if len(known) else None

    def covers(self, times_s: np.ndarray) -> np.ndarray:
        """Which moments (n,) lie between the first and the last sighting."""
        return (times_s >= self.first_s - 1e-6) & (times_s <= self.last_s + 1e-6)

    def is_alive(self, bounds: "MotionBounds") -> bool:
        """Whether it moves; assumed so if only its outline is known."""
        if self.motion is not None and self.motion >= bounds.sure_motion:
            return True
        if self.change is not None and self.change < bounds.min_change:
            return False
        return self.motion is None or self.motion >= bounds.min_motion


@dataclass(frozen=True, kw_only=True)
class MotionBounds:
    """Limits that distinguish a person from a picture: moving points and changing pixels."""

    min_motion: float  # of the points; below, it is a picture
    sure_motion: float  # above, it is a person, whatever the pixels show
    min_change: float  # of the pixels in between; below, the motion is detector jitter


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePeople:
    """The people of a scene: main people one after the other, and others next to them."""

    mains: list[PersonTrack]  # no two at the same time
    others: list[PersonTrack]
    owners: np.ndarray  # (n,) int: main person of each moment, an index of ``mains``; below 0: none


def find_scene_people(seen: Sightings, memory_s: float, alive: MotionBounds) -> ScenePeople:
    """Track all people through a scene; one unseen for longer than ``memory_s`` is a new one.

    The main person at a time is the one filling most of the picture for longest; a track without
    motion, or known by an outline alone, becomes main only if there is no other.
    """
    numbers = link_sightings(seen, memory_s)
    count = int(numbers.max(initial=-1)) + 1
    tracks = [PersonTrack(seen=seen, rows=np.flatnonzero(numbers == n)) for n in range(count)]

    def prominence(track: PersonTrack) -> tuple[bool, float]:
        return track.motion is not None and track.is_alive(alive), track.weight

    mains: list[PersonTrack] = []
    others: list[PersonTrack] = []
    owners = np.full(len(seen.times_s), -1)
    if len(tracks) > 1:
        tracks.sort(key=prominence, reverse=True)
    for track in tracks:
        time = track.covers(seen.times_s)
        if (owners[time] >= 0).any() or (mains and not prominence(track)[0]):
            others.append(track)
            continue
        owners[time] = len(mains)
        mains.append(track)
    for track in others:
        track.share = _share_beside(seen, track, mains)
    return ScenePeople(mains=mains, others=others, owners=owners)


def link_sightings(seen: Sightings, memory_s: float) -> np.ndarray:
    """A track number (p,) for every sighting; 0, 1, ... in order of appearance."""
    numbers = np.full(len(seen.moments), 0)
    if _is_one_throughout(seen, memory_s):
        return numbers
    plain = _plain(seen)
    last_row: dict[int, int] = {}  # number -> its last sighting
    moments, starts = np.unique(seen.moments, return_index=True)  # they are sorted
    borders = pairwise([*starts, len(plain)])
    for moment, (start, end) in zip(moments, borders, strict=True):
        rows = range(start, end)
        now_s = float(seen.times_s[moment])
        live = {
            number: row
            for number, row in last_row.items()
            if now_s - plain[row].time_s <= memory_s + 1e-6
        }
        pairs = [
            (closeness, row, number)
            for row in rows
            for number, last in live.items()
            if (closeness := _closeness(plain[last], plain[row])) is not None
        ]
        linked = match_best_first(pairs)
        for row in rows:
            numbers[row] = linked[row] if row in linked else len(last_row)
            last_row[int(numbers[row])] = row
    return numbers


def _is_one_throughout(seen: Sightings, memory_s: float) -> bool:
    """Whether there is one sighting at a time, each continuing the one before, as in most scenes.

    Applies the tests of ``_closeness`` to all pairs at once.
    """
    moments = seen.moments
    if not (moments[1:] > moments[:-1]).all():
        return False
    times_s, areas = seen.times_s[moments], np.maximum(seen.areas.astype(np.float64), 1e-9)
    passed_s = times_s[1:] - times_s[:-1]
    left, top, right, bottom = seen.boxes.astype(np.float64).T
    heights = np.maximum(np.maximum(bottom[1:] - top[1:], bottom[:-1] - top[:-1]), 1e-6)
    across, down = left + right, top + bottom
    ways = (across[1:] - across[:-1]) / 2, (down[1:] - down[:-1]) / 2
    apart = np.hypot(*ways) / heights
    growth = np.maximum(areas[1:], areas[:-1]) / np.minimum(areas[1:], areas[:-1])
    is_continued = (apart <= REACH + REACH_PER_S * passed_s) & (growth <= MAX_GROWTH)
    return bool((is_continued & (passed_s <= memory_s + 1e-6)).all())


class _Sighting(NamedTuple):
    """One sighting as plain numbers: thousands of pairs are compared, each too small for numpy."""

    time_s: float
    box: tuple[float, float, float, float]
    area: float
    track_id: int


def _plain(seen: Sightings) -> list[_Sighting]:
    times_s, boxes = seen.times_s[seen.moments].tolist(), map(tuple, seen.boxes.tolist())
    rows = zip(times_s, boxes, seen.areas.tolist(), seen.track_ids.tolist(), strict=True)
    return [_Sighting(*row) for row in rows]


def _closeness(one: _Sighting, other: _Sighting) -> float | None:
    """How well a sighting continues a track; None: it cannot."""
    left, top, right, bottom = one.box
    new_left, new_top, new_right, new_bottom = other.box
    height = max(bottom - top, new_bottom - new_top, 1e-6)
    across = (left + right - new_left - new_right) / 2
    down = (top + bottom - new_top - new_bottom) / 2
    apart = math.hypot(across, down) / height
    small, large = sorted((max(one.area, 1e-9), max(other.area, 1e-9)))
    growth = large / small
    if apart > REACH + REACH_PER_S * (other.time_s - one.time_s) or growth > MAX_GROWTH:
        return None
    both_wide = min(right, new_right) - max(left, new_left)
    both_high = min(bottom, new_bottom) - max(top, new_top)
    both = max(both_wide, 0.0) * max(both_high, 0.0)
    overlap = both / (small + large - both)
    is_same_id = one.track_id == other.track_id >= 0
    return overlap + 1 - apart - 0.2 * math.log(growth) + SAME_ID_BONUS * is_same_id


def liveliness(keypoints: np.ndarray) -> float | None:
    """How much a body moves: mainly its shape, whatever the camera does, and less so its place.

    Args:
        keypoints: (k, 17, 3) of one person, x, y, visibility.

    Returns:
        Root mean square of the points' displacements from their mean place, as a share of the
        body's size, after its own place and size are removed; or WANDERING times the displacement
        of its place, if larger. None: too few points are seen twice.
    """
    is_seen = keypoints[..., 2] >= MIN_VISIBILITY
    wanted = is_seen.mean(axis=0) >= 0.5
    rows = is_seen[:, wanted].all(axis=1)
    if wanted.sum() < MIN_POINTS or rows.sum() < 2:
        return None
    points = keypoints[rows][:, wanted, :2].astype(np.float64)
    places = points.mean(axis=1)
    points = points - places[:, None]
    sizes = np.maximum(np.sqrt((points**2).sum(axis=2).mean(axis=1)), 1e-9)
    shape = points / sizes[:, None, None]
    articulation = np.sqrt(((shape - shape.mean(axis=0)) ** 2).sum(axis=2).mean())
    wandered = np.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean()) / sizes.mean()
    return float(max(articulation, WANDERING * wandered))


def _share_beside(seen: Sightings, track: PersonTrack, mains: list[PersonTrack]) -> float:
    """A track's area relative to the main people it overlaps in time, or else the nearest one."""
    rows = np.concatenate([main.rows for main in mains])
    rows = rows[np.argsort(seen.moments[rows])]
    main_areas = np.interp(
        seen.times_s[seen.moments[track.rows]],
        seen.times_s[seen.moments[rows]],
        seen.areas[rows],
    )
    return median(seen.areas[track.rows] / np.maximum(main_areas, 1e-9))
