"""Selfie segmentation: the probability that a pixel is any person (mediapipe 0.10.21)."""

import cv2
import numpy as np

from curation.perception.embedded.interpreter import EmbeddedInterpreter
from curation.perception.embedded.regions import Region
from curation.perception.embedded.weights import PERSON_SEGMENTATION

INPUT_SIZE = 256


class PersonSegmentationModel:
    """People against background; made for one or two people close to the camera."""

    def __init__(self) -> None:
        self._network = EmbeddedInterpreter(PERSON_SEGMENTATION)

    def __call__(self, frame: np.ndarray, view: Region | None = None) -> np.ndarray:
        """Probabilities, (height, width) float32.

        Args:
            frame: (height, width, 3) uint8 RGB.
            view: the part to segment; 0 outside it. None: the whole frame.
        """
        height, width = frame.shape[:2]
        if view is None:
            small = cv2.resize(frame, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
        else:
            small = view.crop(frame, INPUT_SIZE)
        (probability,) = self._network(small.astype(np.float32) / 255)
        if view is None:
            return cv2.resize(
                probability[0, :, :, 0], (width, height), interpolation=cv2.INTER_LINEAR
            )
        return view.paste(probability[0, :, :, 0], height, width)
