"""Who is in a video, and where at each time: found at a few frames per second.

People are tracked by place and colours (``tracking.py``) and numbered by how much of the video they
fill: 1 is the main person. The numbers depend on the video and the detector only.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import PersonDetector
from datasets.storage import write_file
from inference.conditions.tracking import REMEMBERED_S, VideoTrack, link, reunite
from inference.errors import NoPerson
from inference.progress import Tracker
from inference.video.framing import shrink
from inference.video.source import Reading, SourceFrame, SourceVideo

SAMPLE_EVERY_S = 0.4
_DETECTOR_SIZE = 640  # longer side that the detector sees, px
_BATCH = 32  # frames held at once
_MIN_SIGHTINGS = 2  # a single one is the detector's error, if anybody was seen more often
_MIN_SHARE = 0.05  # of the main person's presence


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundPerson:
    """One person of a video."""

    id: int  # 1 is the main person
    times: np.ndarray  # (n,) float64, s, rising: when they were seen
    boxes: np.ndarray  # (n, 4) float32 left, top, right, bottom in px of the source
    picture: np.ndarray  # (height, width, 3) uint8 RGB, from the frame that shows them best
    seen_share: float  # of the sampled frames
    appearance: np.ndarray | None  # mean colour histogram; see ``appearance.py``
    bands: np.ndarray | None  # summed histograms of head, upper and lower clothes

    def box_at(self, time: float) -> np.ndarray | None:
        """Where they are at a time, (4,) in px of the source; None while they are absent.

        The box is interpolated between two samples and kept for one sample beyond the ends.
        """
        after = int(np.searchsorted(self.times, time))
        if after == 0:
            return self.boxes[0] if self.times[0] - time <= SAMPLE_EVERY_S else None
        if after == len(self.times):
            return self.boxes[-1] if time - self.times[-1] <= SAMPLE_EVERY_S else None
        before = after - 1
        gap = self.times[after] - self.times[before]
        if gap > REMEMBERED_S + SAMPLE_EVERY_S:
            return None
        weight = (time - self.times[before]) / max(gap, 1e-9)
        return (1 - weight) * self.boxes[before] + weight * self.boxes[after]


@dataclass(frozen=True, kw_only=True, eq=False)
class PeopleInVideo:
    """Everyone in a video, as the first pass found them."""

    people: tuple[FoundPerson, ...]  # the main person first
    num_frames: int  # that can be decoded
    remarks: tuple[str, ...] = ()  # on the file; see ``SourceVideo.remarks``

    def person(self, number: int | None, path: object) -> FoundPerson:
        """The person with this number; None is the main person.

        Raises:
            NoPerson: nobody is in the video.
            ConfigError: there are people, but none with this number.
        """
        if not self.people:
            raise NoPerson(
                f"no person found in {path}; it must show one from the front or back, with "
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
        """Write it to a file, so that the video need not be searched again."""
        arrays: dict[str, np.ndarray] = {
            "num_frames": np.array(self.num_frames),
            "remarks": np.array(self.remarks, dtype=np.str_),
        }
        for person in self.people:
            arrays |= {
                f"times_{person.id}": person.times,
                f"boxes_{person.id}": person.boxes,
                f"picture_{person.id}": person.picture,
                f"seen_share_{person.id}": np.array(person.seen_share),
            }
            for name in ("appearance", "bands"):
                if (colours := getattr(person, name)) is not None:
                    arrays[f"{name}_{person.id}"] = colours
        write_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))

    @classmethod
    def load(cls, path: Path) -> "PeopleInVideo":
        """Read what ``save`` wrote."""
        with np.load(path) as arrays:
            count = sum(name.startswith("times_") for name in arrays.files)
            people = tuple(
                FoundPerson(
                    id=number,
                    times=arrays[f"times_{number}"],
                    boxes=arrays[f"boxes_{number}"],
                    picture=arrays[f"picture_{number}"],
                    seen_share=float(arrays[f"seen_share_{number}"]),
                    appearance=arrays.get(f"appearance_{number}"),
                    bands=arrays.get(f"bands_{number}"),
                )
                for number in range(1, count + 1)
            )
            return cls(
                people=people,
                num_frames=int(arrays["num_frames"]),
                remarks=tuple(str(remark) for remark in arrays["remarks"]),
            )


def find_people(source: SourceVideo, detector: PersonDetector, tracker: Tracker) -> PeopleInVideo:
    """Find and track everyone in a video; memory does not grow with its length.

    Raises:
        VideoUnreadable: not a single frame can be decoded.
        VideoTooLong: it exceeds the limits.
    """
    scale = min(1.0, _DETECTOR_SIZE / max(source.height, source.width))
    tracks: list[VideoTrack] = []
    num_samples = 0
    reading = Reading()
    frames = sample_frames(source.frames(reading))
    samples = ((float(frame.time), shrink(frame.image, scale)) for frame in frames)
    while batch := list(itertools.islice(samples, _BATCH)):
        found = detector.detect([image for _, image in batch])
        for (time, image), people in zip(batch, found, strict=True):
            link(tracks, time, image, people, scale)
        num_samples += len(batch)
        tracker.report(reading.num_frames, source.expected_frames)
    return PeopleInVideo(
        people=_chosen(tracks, num_samples),
        num_frames=reading.num_frames,
        remarks=source.remarks(reading),
    )


def sample_frames(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    """The first frame, the last one, and one every ``SAMPLE_EVERY_S`` between."""
    last_time: Fraction | None = None
    pending: SourceFrame | None = None
    for frame in frames:
        pending = frame
        if last_time is None or frame.time - last_time >= SAMPLE_EVERY_S:
            last_time, pending = frame.time, None
            yield frame
    if pending is not None:
        yield pending


def _chosen(tracks: list[VideoTrack], num_samples: int) -> tuple[FoundPerson, ...]:
    """People with a body who are seen long enough, ordered by how much of the video they fill."""
    bodies = [track for track in tracks if track.has_body]
    bodies = [track for track in bodies if len(track.times) >= _MIN_SIGHTINGS] or bodies
    bodies = reunite(bodies)
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
                seen_share=len(track.times) / max(num_samples, 1),
                appearance=track.appearance,
                bands=track.bands,
            )
        )
    return tuple(people)
