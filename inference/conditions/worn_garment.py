"""A garment that somebody wears in a photo or at a moment of a video, cut out by the parser."""

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from curation.perception.protocols import ClipParser, Perception, Person
from datasets.labels import GARMENT_LABELS
from inference.errors import GarmentUnreadable
from inference.video.framing import shrink
from inference.video.source import open_video

_PERCEIVED_SIZE = 640  # longer side that perception sees, px
_SURE = 0.99  # score of a body: garments on hangers reach 0.98 on ../shared/media/garments
_VISIBLE = 0.5  # least visibility of shoulders and hips
_AROUND_S = 1.0  # the parser learns the clothes this long before and after the moment
_LESSONS = 12
_LEAST_AREA = 0.01  # of the frame
_TORSO = [5, 6, 11, 12]  # rows of COCO keypoints


@dataclass(frozen=True, kw_only=True)
class GarmentSource:
    """The file, and for a video the moment, that a garment is taken from."""

    path: Path
    time: float | None = None  # s; None: an image

    @classmethod
    def read(cls, text: str | Path) -> "GarmentSource":
        """``shirt.png``, or ``dance.mp4@3.2``: what is worn 3.2 s into a video."""
        path, at, moment = str(text).rpartition("@")
        if at and not os.path.isfile(text):
            with suppress(ValueError):
                if math.isfinite(time := float(moment)):
                    return cls(path=Path(path), time=time)
        return cls(path=Path(text))


def find_wearer(image: np.ndarray, perception: Perception) -> Person | None:
    """The person in a photo; None for a product photo.

    Args:
        image: RGB (height, width, 3) uint8.
        perception: the models.
    """
    found = perception.detector.detect([image])[0]
    sure = [
        person
        for person in found
        if person.score >= _SURE and float(person.keypoints[_TORSO, 2].min()) >= _VISIBLE
    ]
    return sure[0] if sure else None


def cut_worn(
    frames: Sequence[np.ndarray],
    people: Sequence[Person | None],
    chosen: int,
    category: str,
    perception: Perception,
) -> np.ndarray | None:
    """Where the garment of a category is in the chosen frame; None if it cannot be seen.

    Args:
        frames: RGB (height, width, 3) uint8, of one person in the same clothes.
        people: that person in each.
        chosen: index of the frame that the garment is cut out of.
        category: upper, lower or overall (the whole outfit).
        perception: the models.

    Returns:
        (height, width) uint8, 255 = garment.
    """
    parser = perception.parser
    if isinstance(parser, ClipParser):
        parser = parser.learned(frames, people)
    labels = parser.parse([frames[chosen]], [people[chosen]])[0]
    garment = np.isin(labels, [int(label) for label in GARMENT_LABELS[category]])
    if garment.mean() < _LEAST_AREA:
        return None
    mask = garment.astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), cv2.MORPH_OPEN, disc)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [i for i in range(1, len(areas)) if areas[i] >= 0.1 * areas[1:].max()]
    return np.where(np.isin(pieces, kept), np.uint8(255), np.uint8(0))


def worn_in_photo(
    image: np.ndarray, category: str, perception: Perception
) -> tuple[np.ndarray, np.ndarray] | None:
    """Image and garment mask if the photo shows somebody wearing it; None for a product photo."""
    small = _perceived_size(image)
    wearer = find_wearer(small, perception)
    if wearer is None:
        return None
    mask = cut_worn([small], [wearer], 0, category, perception)
    return None if mask is None else (small, mask)


def worn_in_video(
    source: GarmentSource, category: str, perception: Perception
) -> tuple[np.ndarray, np.ndarray]:
    """Frame and garment mask at a moment of a video.

    Raises:
        VideoUnreadable: the file is not a video.
        GarmentUnreadable: the video is shorter, or the garment cannot be seen at that moment.
    """
    assert source.time is not None
    where = f"garment {source.path}@{source.time:g}"
    moments = np.linspace(-_AROUND_S, _AROUND_S, 2 * _LESSONS + 1) + source.time
    frames: list[np.ndarray] = []
    times: list[float] = []
    last = -1.0
    for frame in open_video(source.path).frames():
        last = float(frame.time)
        if len(times) < len(moments) and last >= moments[len(times)] - 1e-6:
            frames.append(_perceived_size(frame.image))
            times.append(last)
        if last > moments[-1]:
            break
    if not times or last < source.time - 0.5:
        raise GarmentUnreadable(
            f"{where}: the video ends at {last:.1f} s; give an earlier moment",
            plain=f"The garment's video is only {last:.1f} seconds long.",
        )
    chosen = int(np.abs(np.array(times) - source.time).argmin())
    people = [next(iter(found), None) for found in _each(frames, perception)]
    mask = None
    if people[chosen] is not None:
        mask = cut_worn(frames, people, chosen, category, perception)
    if mask is None:
        raise GarmentUnreadable(
            f"{where}: no person wears a visible {category} garment there; give another moment",
            plain=f"No person wears a visible {category} garment at {source.time:g} seconds.",
        )
    return frames[chosen], mask


def _perceived_size(image: np.ndarray) -> np.ndarray:
    return shrink(image, _PERCEIVED_SIZE / max(image.shape[:2]))


def _each(frames: Sequence[np.ndarray], perception: Perception) -> list[list[Person]]:
    return [perception.detector.detect([frame])[0] for frame in frames]
