"""People followed over time in what a detector saw: who is the main one, and who else counts.

Tracks are linked from stored boxes and keypoints alone, so another threshold needs no decoding, and
every detector is followed alike. A track counts beside the main person's when it is large against
it, seen for long enough, and moves: a poster, a picture on a shelf and a mannequin do not.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from curation.perception.boxes import match_best_first

MIN_VISIBILITY = 0.5  # of a keypoint that tells of motion
MIN_POINTS = 4
REACH = 0.75
"""How far a person goes between two sightings at once, in heights of the box; more with time."""
REACH_PER_S = 0.5
MAX_GROWTH = 4.0  # of the box's area between two sightings
WANDERING = 0.25
"""Of a body's way in the frame that counts as motion: a shaky camera moves pictures, too."""
SAME_ID_BONUS = 0.5  # the detector's own tracker says so; its numbers start anew now and then


@dataclass(frozen=True, kw_only=True, eq=False)
class Sightings:
    """What a detector saw in one scene: n moments, p people in all, moment by moment."""

    times_s: np.ndarray  # (n,) float64
    moments: np.ndarray  # (p,) int: which of the n each person was seen at
    boxes: (
        np.ndarray
    )  # (p, 4) left, top, right, bottom, in one unit for both axes, inside the frame
    scores: np.ndarray  # (p,)
    keypoints: np.ndarray  # (p, 17, 3) x and y as shares of the frame's sides, visibility
    track_ids: np.ndarray  # (p,) int of the detector; below 0: not tracked
    changes: np.ndarray  # (p,) gray levels between two looks (stillness.py); NaN: unknown
    aspect: float = 1.0  # of the frame, which brings keypoints into the unit of the boxes

    @cached_property
    def areas(self) -> np.ndarray:
        """Of the boxes, (p,)."""
        left, top, right, bottom = self.boxes.T
        return np.maximum(right - left, 0) * np.maximum(bottom - top, 0)

    @cached_property
    def step_s(self) -> float:
        """Typical time between two moments."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0


@dataclass(kw_only=True, eq=False)
class PersonTrack:
    """One person over time; measured when asked, since of most, who are alone, nobody asks."""

    seen: Sightings
    rows: np.ndarray  # (k,) of the sightings, in order of time
    share: float = 1.0  # of somebody beside a main person: median area over that person's

    @cached_property
    def first_s(self) -> float:
        """When the person is first seen."""
        return float(self.seen.times_s[self.seen.moments[self.rows[0]]])

    @cached_property
    def last_s(self) -> float:
        """When the person is last seen."""
        return float(self.seen.times_s[self.seen.moments[self.rows[-1]]])

    @property
    def seen_s(self) -> float:
        """From the first to the last sighting, and a moment's length."""
        return self.last_s - self.first_s + self.seen.step_s

    @cached_property
    def weight(self) -> float:
        """Area times score, summed over the sightings."""
        return float((self.seen.areas[self.rows] * self.seen.scores[self.rows]).sum())

    @cached_property
    def motion(self) -> float | None:
        """See ``liveliness``; None: no keypoints to tell by."""
        return liveliness(self.seen.keypoints[self.rows] * [self.seen.aspect, 1, 1])

    @cached_property
    def change(self) -> float | None:
        """Median over the sightings; None: unknown."""
        changes = self.seen.changes[self.rows]
        known = changes[~np.isnan(changes)]
        return float(np.median(known)) if len(known) else None

    def covers(self, times_s: np.ndarray) -> np.ndarray:
        """Which moments (n,) lie between the first and the last sighting."""
        return (times_s >= self.first_s - 1e-6) & (times_s <= self.last_s + 1e-6)

    def is_alive(self, bounds: "MotionBounds") -> bool:
        """Whether it moves; one of whom nothing is known but an outline is taken to do so."""
        if self.motion is not None and self.motion >= bounds.sure_motion:
            return True
        if self.change is not None and self.change < bounds.min_change:
            return False
        return self.motion is None or self.motion >= bounds.min_motion


@dataclass(frozen=True, kw_only=True)
class MotionBounds:
    """What tells a person from a picture of one: points that move, and pixels that change."""

    min_motion: float  # of the points; below, it is a picture
    sure_motion: float  # from here on it is none, whatever the pixels say
    min_change: float  # of the pixels in between; below, the detector trembles


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePeople:
    """Who plays in a scene: main people one after the other, and those beside them."""

    mains: list[PersonTrack]  # no two at the same time
    others: list[PersonTrack]
    owners: np.ndarray  # (n,) int: whose moment it is, an index of ``mains``; below 0: nobody's


def find_scene_people(seen: Sightings, memory_s: float, alive: MotionBounds) -> ScenePeople:
    """Follow everybody through a scene.

    The main person of a time is who fills most of the picture for longest; who does not move at
    all, or is known by an outline alone, is so only where there is nobody else.

    Args:
        seen: of one scene.
        memory_s: a person unseen for longer is somebody new.
        alive: what tells a person from a picture of one.
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
    """A number (p,) for every sighting, the same for one person; 0, 1, ... in order of arrival."""
    numbers = np.full(len(seen.moments), 0)
    if _is_one_throughout(seen, memory_s):
        return numbers
    plain = _plain(seen)
    last_row: dict[int, int] = {}  # number -> its last sighting
    moments, starts = np.unique(seen.moments, return_index=True)  # they come in order
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
    """Whether there is one sighting at a time and each continues the one before, as most do.

    Asks what ``_closeness`` asks, of all at once.
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
    """One of them as plain numbers: thousands of pairs are compared, too small for numpy."""

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
    """How much a body moves: its shape, whatever the camera does, and less so its place.

    Args:
        keypoints: (k, 17, 3) of one person, x, y, visibility.

    Returns:
        Root mean square of the points' ways around their mean place, as a share of the body's size,
        after its own place and size are taken out; or WANDERING of its place's ways, if that is
        more. None: too few points are seen twice.
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
    """A track's area against that of the main people it is beside, or was nearest to."""
    rows = np.concatenate([main.rows for main in mains])
    rows = rows[np.argsort(seen.moments[rows])]
    main_areas = np.interp(
        seen.times_s[seen.moments[track.rows]],
        seen.times_s[seen.moments[rows]],
        seen.areas[rows],
    )
    return float(np.median(seen.areas[track.rows] / np.maximum(main_areas, 1e-9)))
