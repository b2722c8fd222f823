"""Masks and 33 landmarks for people found by another detector.

The embedded DensePose and parser need both; ultralytics gives boxes and 17 keypoints.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.regions import square_region
from curation.perception.protocols import BackendInfo, Person, PersonDetector


class CompletedDetector:
    """Another detector's people, completed by the embedded models."""

    def __init__(self, detector: PersonDetector, embedded: EmbeddedDetector | None = None) -> None:
        self._detector = detector
        self._embedded = EmbeddedDetector() if embedded is None else embedded

    @property
    def info(self) -> BackendInfo:
        """The other detector's: it decides who is found."""
        return self._detector.info

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame; the best one with mask and landmarks if a pose was found."""
        found = self._detector.detect(frames)
        return [
            [self._complete(frame, people[0]), *people[1:]] if people else []
            for frame, people in zip(frames, found, strict=True)
        ]

    def _complete(self, frame: np.ndarray, person: Person) -> Person:
        if person.mask is not None and person.landmarks is not None:
            return person
        left, top, right, bottom = person.box
        view = square_region(float(left), float(top), float(right), float(bottom))
        looked_at = self._embedded.look(frame, replace(view, side=view.side * 1.2))
        if looked_at is None:
            return person
        return replace(person, mask=looked_at.mask, landmarks=looked_at.landmarks)
