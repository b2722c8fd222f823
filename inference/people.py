"""Who is in a video, and where through the whole of it: found at a few frames a second.

People are linked from look to look by where they are and what they look like, and numbered by how
much of the video they fill: 1 is the main person. The numbers depend on the video and the detector
alone.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import Person, PersonDetector
from inference.appearance import appearance_of, similarity
from inference.errors import NoPerson
from inference.progress import Tracker
from inference.video_files import SourceFrame, SourceVideo

LOOK_EVERY_S = 0.4
_LOOK_SIZE = 640  # longer side that the detector sees, px
_BATCH = 32  # looks held at once
_REMEMBERED_S = 2.5  # someone unseen for longer is known again by looks alone
_SAME_LOOKS = 0.6  # least similarity of one person in two looks, when they are near
_SURELY_SAME = 0.9  # and when they come back after a while, anywhere
_NEAR = 0.35  # centres may lie apart by this share of a person's size
_MIN_LOOKS = 2  # one is an accident of the detector, if anybody was seen more often
_MIN_SHARE = 0.05  # of the main person's presence
_PICTURE_HEIGHT = 256  # px


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundPerson:
    """One person of a video."""

    id: int  # 1 is the main person
    times: np.ndarray  # (n,) float64, s, rising: when they were seen
    boxes: np.ndarray  # (n, 4) float32 left, top, right, bottom in px of the source
    picture: np.ndarray  # (height, width, 3) uint8 RGB, cut out of the look that shows them best
    seen_share: float  # of the looks
    appearance: np.ndarray | None  # mean histogram of colours; see ``appearance.py``

    def box_at(self, time: float) -> np.ndarray | None:
        """Where they are at a time, (4,) in px of the source; None while they are away.

        Between two looks the box moves evenly; it stays for one look beyond the ends.
        """
        after = int(np.searchsorted(self.times, time))
        if after == 0:
            return self.boxes[0] if self.times[0] - time <= LOOK_EVERY_S else None
        if after == len(self.times):
            return self.boxes[-1] if time - self.times[-1] <= LOOK_EVERY_S else None
        before = after - 1
        gap = self.times[after] - self.times[before]
        if gap > _REMEMBERED_S + LOOK_EVERY_S:
            return None
        weight = (time - self.times[before]) / max(gap, 1e-9)
        return (1 - weight) * self.boxes[before] + weight * self.boxes[after]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cast:
    """Everyone in a video, and what the first pass learned about it."""

    people: tuple[FoundPerson, ...]  # the main person first
    num_frames: int  # that can be decoded

    def person(self, number: int | None, path: object) -> FoundPerson:
        """The one with this number; None is the main person.

        Raises:
            NoPerson: nobody is there.
            ConfigError: there are people, but none with this number.
        """
        if not self.people:
            raise NoPerson(
                f"no person found in {path}; one must be seen from the front or back, with "
                "shoulders and hips in view"
            )
        if number is None:
            return self.people[0]
        for person in self.people:
            if person.id == number:
                return person
        numbers = ", ".join(str(person.id) for person in self.people)
        raise ConfigError(f"person={number}; {path} shows {numbers}")

    def save(self, path: Path) -> None:
        """Keep it in a file, so that the video is not looked through again."""
        arrays: dict[str, np.ndarray] = {"num_frames": np.array(self.num_frames)}
        for person in self.people:
            arrays |= {
                f"times_{person.id}": person.times,
                f"boxes_{person.id}": person.boxes,
                f"picture_{person.id}": person.picture,
                f"seen_share_{person.id}": np.array(person.seen_share),
            }
            if person.appearance is not None:
                arrays[f"appearance_{person.id}"] = person.appearance
        partial = path.with_suffix(".part.npz")
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Cast":
        """What ``save`` kept."""
        with np.load(path) as arrays:
            count = sum(name.startswith("times_") for name in arrays.files)
            people = tuple(
                FoundPerson(
                    id=number,
                    times=arrays[f"times_{number}"],
                    boxes=arrays[f"boxes_{number}"],
                    picture=arrays[f"picture_{number}"],
                    seen_share=float(arrays[f"seen_share_{number}"]),
                    appearance=(
                        arrays[f"appearance_{number}"]
                        if f"appearance_{number}" in arrays.files
                        else None
                    ),
                )
                for number in range(1, count + 1)
            )
            return cls(people=people, num_frames=int(arrays["num_frames"]))


@dataclass(kw_only=True)
class _Track:
    times: list[float] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    weight: float = 0.0  # area times score, summed
    best: float = -1.0
    picture: np.ndarray | None = None
    has_body: bool = False  # a pose was found, not just a patch of person
    colours: np.ndarray | None = None  # summed histograms
    num_colours: int = 0

    @property
    def appearance(self) -> np.ndarray | None:
        return None if self.colours is None else self.colours / self.num_colours


def find_people(source: SourceVideo, detector: PersonDetector, tracker: Tracker) -> Cast:
    """Look through a video; memory does not grow with its length.

    Raises:
        VideoUnreadable: not a single frame can be decoded.
        VideoTooLong: it goes on beyond the limits.
    """
    scale = min(1.0, _LOOK_SIZE / max(source.height, source.width))
    size = (max(1, round(source.width * scale)), max(1, round(source.height * scale)))
    tracks: list[_Track] = []
    num_looks = 0
    counted = _Counted(source.frames())
    looks = (
        (float(frame.time), cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA))
        for frame in now_and_then(iter(counted))
    )
    while batch := list(itertools.islice(looks, _BATCH)):
        found = detector.detect([image for _, image in batch])
        for (time, image), people in zip(batch, found, strict=True):
            _link(tracks, time, image, people, scale)
        num_looks += len(batch)
        tracker.tell(counted.count, source.expected_frames)
    return Cast(people=_chosen(tracks, num_looks), num_frames=counted.count)


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(first[2:] - first[:2])) + float(np.prod(second[2:] - second[:2]))
    return shared / max(areas - shared, 1e-6)


class _Counted:
    def __init__(self, frames: Iterator[SourceFrame]) -> None:
        self._frames, self.count = frames, 0

    def __iter__(self) -> Iterator[SourceFrame]:
        for frame in self._frames:
            self.count += 1
            yield frame


def now_and_then(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    """The first frame, the last one, and some between."""
    last_time: Fraction | None = None
    pending: SourceFrame | None = None
    for frame in frames:
        pending = frame
        if last_time is None or frame.time - last_time >= LOOK_EVERY_S:
            last_time, pending = frame.time, None
            yield frame
    if pending is not None:
        yield pending


def _link(
    tracks: list[_Track], time: float, image: np.ndarray, people: Sequence[Person], scale: float
) -> None:
    """Give each person of one look to the track that they continue, the nearest pairs first."""
    looks = [appearance_of(image, person) for person in people]
    pairs = sorted(
        (-score, p, t)
        for p, person in enumerate(people)
        for t, track in enumerate(tracks)
        if (score := _likeness(track, time, person.box / scale, looks[p])) > 0
    )
    owner: dict[int, _Track] = {}
    taken: set[int] = set()
    for _, p, t in pairs:
        if p not in owner and t not in taken:
            owner[p] = tracks[t]
            taken.add(t)
    for p, person in enumerate(people):
        track = owner.get(p)
        if track is None:
            track = _Track()
            tracks.append(track)
        _extend(track, time, image, person, scale)
        if looks[p] is not None:
            track.colours = looks[p] if track.colours is None else track.colours + looks[p]
            track.num_colours += 1


def _likeness(track: _Track, time: float, box: np.ndarray, look: np.ndarray | None) -> float:
    """Above 0 when a person may continue a track; more is likelier."""
    alike = similarity(track.appearance, look)
    if time - track.times[-1] > _REMEMBERED_S:
        return alike if alike is not None and alike >= _SURELY_SAME else 0.0
    near = _closeness(box, track.boxes[-1])
    if near <= 0 or (alike is not None and alike < _SAME_LOOKS):
        return 0.0
    return near + (0.5 if alike is None else alike)


def _extend(track: _Track, time: float, image: np.ndarray, person: Person, scale: float) -> None:
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


def _closeness(first: np.ndarray, second: np.ndarray) -> float:
    """Above 0 when two boxes may be one person a moment apart; overlap counts first."""
    apart = np.hypot(*((first[:2] + first[2:] - second[:2] - second[2:]) / 2))
    size = min(np.hypot(*(first[2:] - first[:2])), np.hypot(*(second[2:] - second[:2])))
    return box_overlap(first, second) + max(0.0, _NEAR - float(apart) / max(float(size), 1e-6))


def _chosen(tracks: list[_Track], num_looks: int) -> tuple[FoundPerson, ...]:
    """Those with a body who stay, by how much of the video they fill."""
    bodies = [track for track in tracks if track.has_body]
    bodies = [track for track in bodies if len(track.times) >= _MIN_LOOKS] or bodies
    bodies.sort(key=lambda track: -track.weight)
    if bodies:
        floor = _MIN_SHARE * bodies[0].weight
        bodies = [track for track in bodies if track.weight >= floor]
    people: list[FoundPerson] = []
    for number, track in enumerate(bodies, start=1):
        assert track.picture is not None
        people.append(
            FoundPerson(
                id=number,
                times=np.array(track.times),
                boxes=np.stack(track.boxes),
                picture=track.picture,
                seen_share=len(track.times) / max(num_looks, 1),
                appearance=track.appearance,
            )
        )
    return tuple(people)
