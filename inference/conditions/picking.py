"""Which of the people in a frame gets the garment, and whose pixels are kept.

The first pass (``people.py``) tracked everyone at a few frames per second. Here one of the people
detected in each frame is matched to the tracked person, by place and by colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.perception.boxes import box_areas, box_overlap
from curation.perception.protocols import Person
from inference.conditions.appearance import appearance_of, bands_of, least_similarity, similarity
from inference.conditions.people import FoundPerson, PeopleInVideo
from inference.video.framing import CropWindow

_SAME_PLACE = 0.2  # least overlap with the expected place, if the video shows several people
_SAME_COLOURS = 0.7  # and least similarity of colours; see ``appearance.py``
_MERGED = 1.6  # a box larger than expected by this factor contains somebody else as well
_NOWHERE = np.zeros(4)  # an empty box


@dataclass(frozen=True, kw_only=True, eq=False)
class Picked:
    """One frame's people; boxes and masks are in px of the cut frame."""

    person: Person | None  # who gets the garment; None: not seen
    others: list[Person]  # everyone else, whose pixels must not be painted
    paintable: np.ndarray | None  # box (4,) outside of which nothing is painted; None: no limit


class Picker:
    """Finds one person of a video in its frames.

    Args:
        everyone: all people of the video.
        followed: who gets the garment.
        framing: the rectangle of the source that the frames are cut to.
    """

    def __init__(self, everyone: PeopleInVideo, followed: FoundPerson, framing: CropWindow) -> None:
        self._everyone, self._followed, self._framing = everyone, followed, framing
        self._is_alone = len(everyone.people) == 1
        scale = framing.out_width / framing.width * framing.out_height / framing.height
        self._usual_area = scale * float(np.median(box_areas(followed.boxes)))

    def pick(self, image: np.ndarray, found: Sequence[Person], time: float) -> Picked:
        """Tell the people in a frame apart.

        Args:
            image: the cut frame, (out_height, out_width, 3) uint8 RGB.
            found: the people that the detector found in it.
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
        """Which of the people in a frame is the tracked person."""
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
                or not self._has_same_colours(image, person)
            ):
                continue
            has_body = person.landmarks is not None or float(person.keypoints[:, 2].max()) > 0
            likeness = 1e-6 + near + 2 * (0.5 if alike is None else alike) + 0.3 * has_body
            if likeness > most:
                best, most = person, likeness
        return best

    def _band_similarity(self, image: np.ndarray, person: Person) -> float | None:
        """The least of head, upper and lower clothes: whoever hides the person has another head."""
        if self._followed.bands is None:
            return None
        return least_similarity(self._followed.bands, bands_of(image, person))

    def _is_merged(self, person: Person, expected: np.ndarray) -> bool:
        """Whether the detector merged two people who overlap into one."""
        usual = max(float(box_areas(expected)), self._usual_area)
        return float(box_areas(person.box)) > _MERGED * usual

    def _has_same_colours(self, image: np.ndarray, person: Person) -> bool:
        """Whether someone's colours match the tracked person, and nobody else in the video more."""
        colours = appearance_of(image, person)
        alike = similarity(self._followed.appearance, colours)
        if alike is None:
            return True
        rivals = [similarity(other.appearance, colours) or 0.0 for other in self._everyone.people]
        return alike >= _SAME_COLOURS and alike >= max(rivals) - 1e-6

    def _others(
        self, image: np.ndarray, found: Sequence[Person], picked: Person | None
    ) -> list[Person]:
        """Everyone else; patches without a pose in the tracked person's colours belong to them."""
        if self._is_alone:
            return []
        return [
            person
            for person in found
            if person is not picked
            and (person.landmarks is not None or not self._has_same_colours(image, person))
        ]

    def _paintable(
        self, found: Sequence[Person], picked: Person | None, expected: np.ndarray | None
    ) -> np.ndarray | None:
        """Where others hide the person, gaps are not bridged: the paint would cover the others."""
        if self._is_alone:
            return None
        if picked is None and expected is not None:
            near = (one for one in found if box_overlap(one.box, expected) >= _SAME_PLACE)
            if any(self._is_merged(one, expected) for one in near):
                return _NOWHERE
        return expected
