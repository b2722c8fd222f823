"""A decoded frame as a picture: upright, square pixels, RGB."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.errors import DataError
from datasets.video.colours import scaled_rgb
from datasets.video.orientation import Orientation, orientation_of, upright_size
from datasets.video.reader import ReadNotes, UnreadableVideoError, open_video, read_frames


def upright_picture(frame: Any, sample_aspect: float, orientation: Orientation) -> np.ndarray:
    """One frame as a viewer sees it, (height, width, 3) uint8 RGB; HDR is tone-mapped."""
    height, width = upright_size(frame, sample_aspect, orientation)
    image = orientation.apply(scaled_rgb(frame, frame.height, frame.width))
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def aspect_of(stream: Any) -> Fraction:
    """Width of a stored pixel over its height, as the container states it; 1 if it does not."""
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and aspect > 0 else Fraction(1)


def upright_frames(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video, in order, (height, width, 3) uint8 RGB each.

    Raises:
        DataError: it cannot be read as a video.
    """
    try:
        container, stream = open_video(path)
        with container:
            aspect = float(aspect_of(stream))
        orientation: Orientation | None = None
        for _, frame in read_frames(path, ReadNotes()):
            orientation = orientation or orientation_of(frame)
            yield upright_picture(frame, aspect, orientation)
    except UnreadableVideoError as error:
        raise DataError(f"{path} cannot be read as a video: {error.detail}") from error
