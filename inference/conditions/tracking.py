"""From detections in sampled frames to one track per person.

From sample to sample people are linked by place and colours. A person who returns after an absence
is recognised by colours alone: of the head, the upper and the lower clothes separately. Many people
wear black; few share the colours of hair and trousers as well.

Curation follows people too (``person_tracks.py``), from stored boxes without pixels; what both
need is in ``curation/perception/boxes.py``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from curation.perception.boxes import (
    box_areas,
    box_overlap,
    closeness,
    grown_box,
    match_best_first,
)
from curation.perception.protocols import Person
from inference.conditions.appearance import appearance_of, bands_of, least_similarity, similarity
from inference.video.framing import shrink

REMEMBERED_S = 2.5  # longest gap within a track
_SAME_COLOURS = 0.6  # least similarity of one person in two samples, at nearby places
_SURELY_SAME = 0.9  # and of every band after an absence, at any place
_PICTURE_HEIGHT = 256  # px


@dataclass(kw_only=True, eq=False)
class VideoTrack:
    """Where one person was seen, and in which colours."""

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
    tracks: list[VideoTrack], time: float, image: np.ndarray, people: Sequence[Person], scale: float
) -> None:
    """Add each person of one sampled frame to the track that they continue, best pairs first."""
    colours = [appearance_of(image, person) for person in people]
    owner = match_best_first(
        (score, p, t)
        for p, person in enumerate(people)
        for t, track in enumerate(tracks)
        if (score := _likeness(track, time, person.box / scale, colours[p])) > 0
    )
    for p, person in enumerate(people):
        if p in owner:
            track = tracks[owner[p]]
        else:
            track = VideoTrack()
            tracks.append(track)
        _extend(track, time, image, person, scale)
        track.colours = _sum(track.colours, colours[p])
        track.num_colours += colours[p] is not None
        track.bands = _sum(track.bands, bands_of(image, person))


def _likeness(track: VideoTrack, time: float, box: np.ndarray, colours: np.ndarray | None) -> float:
    """Above 0 when a person may continue a track; higher is likelier."""
    if time - track.times[-1] > REMEMBERED_S:
        return 0.0
    alike = similarity(track.appearance, colours)
    near = closeness(box, track.boxes[-1], box_overlap(box, track.boxes[-1]))
    if near <= 0 or (alike is not None and alike < _SAME_COLOURS):
        return 0.0
    return near + (0.5 if alike is None else alike)


def _extend(
    track: VideoTrack, time: float, image: np.ndarray, person: Person, scale: float
) -> None:
    track.times.append(time)
    track.boxes.append((person.box / scale).astype(np.float32))
    area = float(box_areas(person.box))
    track.weight += area * person.score
    visible = float(person.keypoints[:, 2].mean())
    track.has_body |= visible > 0
    if visible * area > track.best:
        track.best = visible * area
        track.picture = _cut_picture(image, person.box)


def _cut_picture(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The person's box with a margin, at most ``_PICTURE_HEIGHT`` high."""
    left, top, right, bottom = grown_box(box, 0.08, *image.shape[:2])
    cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    return shrink(cut, _PICTURE_HEIGHT / cut.shape[0])


def reunite(tracks: Sequence[VideoTrack]) -> list[VideoTrack]:
    """Join the tracks of a person who left and came back, the likeliest pair first.

    Only tracks that never overlap in time and are alike in every band of colours are joined.
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


def _sameness(first: VideoTrack, second: VideoTrack) -> float:
    """Above 0 when two tracks certainly show one person; higher is likelier."""
    seen = sorted([(time, 0) for time in first.times] + [(time, 1) for time in second.times])
    for (earlier, a), (later, b) in itertools.pairwise(seen):
        if a != b and later - earlier <= REMEMBERED_S:
            return 0.0  # seen at once, or in direct succession: place would have linked them
    if first.bands is None or second.bands is None:
        return 0.0
    alike = least_similarity(first.bands, second.bands)
    return alike if alike is not None and alike >= _SURELY_SAME else 0.0


def _joined(first: VideoTrack, second: VideoTrack) -> VideoTrack:
    """One track out of two."""
    times, boxes = first.times + second.times, first.boxes + second.boxes
    order = np.argsort(times, kind="stable")
    best = max(first, second, key=lambda track: track.best)
    return VideoTrack(
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
