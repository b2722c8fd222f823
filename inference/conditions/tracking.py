"""From people in single looks to one track for each: by place from look to look, by looks later on.

Who was not seen for a while and comes back is known again by colours alone: of the head, of the
clothes above and of those below, each for itself. Black clothes are many people's; hair and
trousers in the same colours as well are not.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from curation.perception.protocols import Person
from inference.conditions.appearance import appearance_of, bands_of, least_similarity, similarity

REMEMBERED_S = 2.5  # a gap in a track is at most so long
_SAME_LOOKS = 0.6  # least similarity of one person in two looks, when they are near
_SURELY_SAME = 0.9  # and of every band, when they come back after a while, anywhere
_NEAR = 0.35  # centres may lie apart by this share of a person's size
_PICTURE_HEIGHT = 256  # px


@dataclass(kw_only=True, eq=False)
class Track:
    """Where one person was seen, and what they look like."""

    times: list[float] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    weight: float = 0.0  # area times score, summed
    best: float = -1.0
    picture: np.ndarray | None = None
    has_body: bool = False  # a pose was found, not just a patch of person
    colours: np.ndarray | None = None  # summed histograms
    num_colours: int = 0
    bands: np.ndarray | None = None  # summed histograms of head, upper and lower clothes

    @property
    def appearance(self) -> np.ndarray | None:
        """Mean histogram of colours."""
        return None if self.colours is None else self.colours / self.num_colours


def link(
    tracks: list[Track], time: float, image: np.ndarray, people: Sequence[Person], scale: float
) -> None:
    """Give each person of one look to the track that they continue, the nearest pairs first."""
    looks = [appearance_of(image, person) for person in people]
    pairs = sorted(
        (-score, p, t)
        for p, person in enumerate(people)
        for t, track in enumerate(tracks)
        if (score := _likeness(track, time, person.box / scale, looks[p])) > 0
    )
    owner: dict[int, Track] = {}
    taken: set[int] = set()
    for _, p, t in pairs:
        if p not in owner and t not in taken:
            owner[p] = tracks[t]
            taken.add(t)
    for p, person in enumerate(people):
        track = owner.get(p)
        if track is None:
            track = Track()
            tracks.append(track)
        _extend(track, time, image, person, scale)
        if looks[p] is not None:
            track.colours = looks[p] if track.colours is None else track.colours + looks[p]
            track.num_colours += 1
        bands = bands_of(image, person)
        track.bands = bands if track.bands is None else track.bands + bands


def _likeness(track: Track, time: float, box: np.ndarray, look: np.ndarray | None) -> float:
    """Above 0 when a person may continue a track; more is likelier."""
    if time - track.times[-1] > REMEMBERED_S:
        return 0.0
    alike = similarity(track.appearance, look)
    near = _closeness(box, track.boxes[-1])
    if near <= 0 or (alike is not None and alike < _SAME_LOOKS):
        return 0.0
    return near + (0.5 if alike is None else alike)


def _extend(track: Track, time: float, image: np.ndarray, person: Person, scale: float) -> None:
    track.times.append(time)
    track.boxes.append((person.box / scale).astype(np.float32))
    area = float(np.prod(np.maximum(person.box[2:] - person.box[:2], 0)))
    track.weight += area * person.score
    visible = float(person.keypoints[:, 2].mean())
    track.has_body |= visible > 0
    if visible * area > track.best:
        track.best = visible * area
        track.picture = _cut_picture(image, person.box)


def _cut_picture(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The person's box with a margin, at most ``_PICTURE_HEIGHT`` high."""
    height, width = image.shape[:2]
    margin = 0.08 * (box[2:] - box[:2])
    left, top = np.floor(np.maximum(box[:2] - margin, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(box[2:] + margin, [width, height])).astype(int)
    cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = min(1.0, _PICTURE_HEIGHT / cut.shape[0])
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA)


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(first[2:] - first[:2])) + float(np.prod(second[2:] - second[:2]))
    return shared / max(areas - shared, 1e-6)


def _closeness(first: np.ndarray, second: np.ndarray) -> float:
    """Above 0 when two boxes may be one person a moment apart; overlap counts first."""
    apart = np.hypot(*((first[:2] + first[2:] - second[:2] - second[2:]) / 2))
    size = min(np.hypot(*(first[2:] - first[:2])), np.hypot(*(second[2:] - second[:2])))
    return box_overlap(first, second) + max(0.0, _NEAR - float(apart) / max(float(size), 1e-6))


def reunite(tracks: Sequence[Track]) -> list[Track]:
    """Join the tracks of one person who went and came back, the likeliest first.

    Joined are tracks that never overlap in time and are alike in every band of colours.
    """
    left = list(tracks)
    alike = {(id(a), id(b)): _sameness(a, b) for i, a in enumerate(left) for b in left[i + 1 :]}
    while alike and (best := max(alike, key=alike.__getitem__)) and alike[best] > 0:
        first, second = (next(t for t in left if id(t) == key) for key in best)
        joined = _joined(first, second)
        left = [t for t in left if t is not first and t is not second]
        alike = {pair: value for pair, value in alike.items() if not set(pair) & set(best)}
        alike |= {(id(t), id(joined)): _sameness(t, joined) for t in left}
        left.append(joined)
    return left


def _sameness(first: Track, second: Track) -> float:
    """Above 0 when two tracks are surely of one person; more is likelier."""
    seen = sorted([(time, 0) for time in first.times] + [(time, 1) for time in second.times])
    for (earlier, a), (later, b) in itertools.pairwise(seen):
        if a != b and later - earlier <= REMEMBERED_S:
            return 0.0  # seen at once, or one right after the other: place would have linked them
    if first.bands is None or second.bands is None:
        return 0.0
    alike = least_similarity(first.bands, second.bands)
    return alike if alike is not None and alike >= _SURELY_SAME else 0.0


def _joined(first: Track, second: Track) -> Track:
    """One track out of two."""
    times, boxes = first.times + second.times, first.boxes + second.boxes
    order = np.argsort(times, kind="stable")
    best = max(first, second, key=lambda track: track.best)
    return Track(
        times=[times[i] for i in order],
        boxes=[boxes[i] for i in order],
        weight=first.weight + second.weight,
        best=best.best,
        picture=best.picture,
        has_body=first.has_body or second.has_body,
        colours=_sum(first.colours, second.colours),
        num_colours=first.num_colours + second.num_colours,
        bands=_sum(first.bands, second.bands),
    )


def _sum(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second
