"""Numbers people through the frames of a clip, for detectors that have no tracker of their own."""

from dataclasses import replace

import numpy as np

from curation.perception.boxes import box_overlap, closeness
from curation.perception.protocols import Person


class BoxTracks:
    """Gives a person the same number in consecutive frames."""

    MEMORY_FRAMES = 10

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, np.ndarray]] = {}  # id -> (frame, box)
        self._frame = 0
        self._next_id = 0

    def follow(self, people: list[Person]) -> list[Person]:
        """The same people with ``track_id`` set."""
        free = {
            number: box
            for number, (frame, box) in self._last.items()
            if self._frame - frame <= self.MEMORY_FRAMES
        }
        numbered = []
        for person in people:
            near = {
                number: closeness(person.box, box, box_overlap(person.box, box))
                for number, box in free.items()
            }
            best = max(near, key=lambda number: near[number], default=None)
            if best is None or near[best] <= 0:
                best, self._next_id = self._next_id, self._next_id + 1
            else:
                del free[best]
            self._last[best] = (self._frame, person.box)
            numbered.append(replace(person, track_id=best))
        self._frame += 1
        return numbered
