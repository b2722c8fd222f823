"""Who of those in a frame is dressed, and whose pixels are left alone.

The first pass (``people.py``) followed everybody at a few frames a second. Here, frame by frame,
one of the people that a detector finds is matched to the one it followed, by place and by looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.perception.protocols import Person
from inference.conditions.appearance import appearance_of, bands_of, least_similarity, similarity
from inference.conditions.people import Cast, FoundPerson
from inference.conditions.tracking import box_overlap
from inference.video.framing import Framing

_SAME_PLACE = 0.2  # least overlap with where the person is expected, where several are
_SAME_LOOKS = 0.7  # and least similarity with what they look like; see ``appearance.py``
_MERGED = 1.6  # a box so many times as large as expected holds somebody else as well
_NOWHERE = np.zeros(4)  # a box that nothing is inside of


@dataclass(frozen=True, kw_only=True, eq=False)
class Picked:
    """One frame's people; boxes and masks are in px of the cut frame."""

    person: Person | None  # who is dressed; None: they are not seen
    others: list[Person]  # everyone else, whose pixels are not to be painted
    paintable: np.ndarray | None  # box (4,) outside of which nothing is painted; None: anywhere


class Picker:
    """Knows one person of a video in its frames.

    Args:
        cast: everyone in the video.
        followed: the one to be dressed.
        framing: which rectangle of the source the frames are cut to.
    """

    def __init__(self, cast: Cast, followed: FoundPerson, framing: Framing) -> None:
        self._cast, self._followed, self._framing = cast, followed, framing
        self._is_alone = len(cast.people) == 1
        scale = framing.out_width / framing.width * framing.out_height / framing.height
        self._usual_area = scale * float(np.median(_areas(followed.boxes)))

    def pick(self, image: np.ndarray, found: Sequence[Person], time: float) -> Picked:
        """Tell the people in a frame apart.

        Args:
            image: the cut frame, (out_height, out_width, 3) uint8 RGB.
            found: whom the detector sees in it.
            time: of the frame in the video, s.
        """
        expected = self._expected(time)
        person = self._choose(image, found, expected)
        return Picked(
            person=person,
            others=self._others(image, found, person),
            paintable=self._paintable(found, person, expected),
        )

    def _expected(self, time: float) -> np.ndarray | None:
        """Where the first pass saw the person, in px of the cut frame."""
        box, framing = self._followed.box_at(time), self._framing
        if box is None:
            return None
        corner = np.tile([framing.left, framing.top], 2)
        scale = np.tile([framing.out_width / framing.width, framing.out_height / framing.height], 2)
        return (box - corner) * scale

    def _choose(
        self, image: np.ndarray, found: Sequence[Person], expected: np.ndarray | None
    ) -> Person | None:
        """Which of the people in a frame is the one that the first pass followed."""
        if self._is_alone and (expected is None or len(found) == 1):
            return found[0] if found else None
        if expected is None:
            return None
        best: Person | None = None
        most = 0.0
        for person in found:
            near = box_overlap(person.box, expected)
            alike = self._band_similarity(image, person)
            if not self._is_alone and (
                near < _SAME_PLACE
                or self._is_merged(person, expected)
                or not self._looks_like(image, person)
            ):
                continue
            has_body = person.landmarks is not None or float(person.keypoints[:, 2].max()) > 0
            likeness = 1e-6 + near + 2 * (0.5 if alike is None else alike) + 0.3 * has_body
            if likeness > most:
                best, most = person, likeness
        return best

    def _band_similarity(self, image: np.ndarray, person: Person) -> float | None:
        """Of head, upper and lower clothes the least: who hides the followed has another head."""
        if self._followed.bands is None:
            return None
        return least_similarity(self._followed.bands, bands_of(image, person))

    def _is_merged(self, person: Person, expected: np.ndarray) -> bool:
        """Whether a detector took two people who stand before each other for one."""
        usual = max(float(_areas(expected)), self._usual_area)
        return float(_areas(person.box)) > _MERGED * usual

    def _looks_like(self, image: np.ndarray, person: Person) -> bool:
        """Whether someone looks like the followed, and not more like another of the cast."""
        look = appearance_of(image, person)
        alike = similarity(self._followed.appearance, look)
        if alike is None:
            return True
        rivals = [similarity(other.appearance, look) or 0.0 for other in self._cast.people]
        return alike >= _SAME_LOOKS and alike >= max(rivals) - 1e-6

    def _others(
        self, image: np.ndarray, found: Sequence[Person], picked: Person | None
    ) -> list[Person]:
        """Everyone else; patches without a pose that look like the followed are theirs."""
        if self._is_alone:
            return []
        return [
            person
            for person in found
            if person is not picked
            and (person.landmarks is not None or not self._looks_like(image, person))
        ]

    def _paintable(
        self, found: Sequence[Person], picked: Person | None, expected: np.ndarray | None
    ) -> np.ndarray | None:
        """Where others hide the followed, not even a gap is painted through: it would hit them."""
        if self._is_alone:
            return None
        if picked is None and expected is not None:
            near = (one for one in found if box_overlap(one.box, expected) >= _SAME_PLACE)
            if any(self._is_merged(one, expected) for one in near):
                return _NOWHERE
        return expected


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1))
