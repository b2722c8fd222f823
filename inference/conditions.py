"""A user's video -> what the network paints from: frames around the person, mask, DensePose.

The same perception that curated the training clips looks at the video, at the size that it looked
at clips in.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from configs.errors import ConfigError, DataError
from curation.perception.protocols import DensePose, Perception, Person
from datasets.densepose import paste_iuv, render_densepose
from datasets.masks import inpainting_mask
from datasets.parts import CATEGORIES
from inference.framing import Framing, frame_person
from inference.painter import Progress
from inference.video_files import SourceFrame, SourceVideo

_LOOK_EVERY_S = 0.4  # the first pass only asks where the person is
_LOOK_SIZE = 640  # longer side in the first pass, px
_WORK_HEIGHT = 512  # perception wants about this many rows, whatever the network paints
_BATCH = 32  # frames held for perception at once
_BRIDGED_S = 0.5  # a person missed for less than this is taken to have been there

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoConditions:
    """All frames of one video, cut around the person."""

    framing: Framing  # where the cut frames lie in the source
    frames: np.ndarray  # (t, height, width, 3) uint8 RGB
    mask: np.ndarray  # (t, height, width) uint8, 255 = to be painted
    densepose: np.ndarray  # (t, height, width, 3) uint8, rendered
    times: list[Fraction]  # of each frame, s
    num_without_person: int  # frames in which nobody was found; they stay as they are


def perceive(
    source: SourceVideo,
    category: str,
    height: int,
    width: int,
    perception: Perception,
    progress: Progress | None = None,
) -> VideoConditions:
    """Find the person, cut the video around them, make mask and DensePose.

    Args:
        source: the video.
        category: which garment to replace: upper, lower or overall.
        height: of the network's frames, px; the result is a whole multiple of it.
        width: likewise.
        perception: the models to look with.
        progress: told about every batch of frames.

    Raises:
        ConfigError: no such category.
        DataError: nobody is in the video.
    """
    if category not in CATEGORIES:
        raise ConfigError(f"category={category!r}; one of {', '.join(CATEGORIES)} is expected")
    tell = progress or (lambda *_: None)
    scale = max(1, round(_WORK_HEIGHT / height))
    boxes = np.concatenate(_look(source, perception, tell) or [np.zeros((0, 4))])
    if not len(boxes):
        raise _nobody(source)
    framing = frame_person(boxes, source.height, source.width, height * scale, width * scale)
    frames: list[np.ndarray] = []
    times: list[Fraction] = []
    people: list[Person | None] = []
    previous: Person | None = None
    for batch in _batches(source.frames()):
        cut = [framing.take(frame.image) for frame in batch]
        for found in perception.detector.detect(cut):
            people.append(_follow(found, previous))
            previous = people[-1] or previous
        frames += cut
        times += [frame.time for frame in batch]
        tell("looking at the person", len(frames), None)
    present = [person is not None for person in people]
    if not any(present):
        raise _nobody(source)
    # all frames at once: a parser learns the colours of the clothes from the whole of them
    iuv = _full_size(
        perception.densepose.estimate(frames, people), framing.out_height, framing.out_width
    )
    tell("DensePose and mask", 1, 3)
    parses = np.stack(perception.parser.parse(frames, people))
    tell("DensePose and mask", 2, 3)
    mask = _bridge(inpainting_mask(parses, iuv, category), present, round(_BRIDGED_S * source.fps))
    tell("DensePose and mask", 3, 3)
    return VideoConditions(
        framing=framing,
        frames=np.stack(frames),
        mask=mask,
        densepose=render_densepose(iuv),
        times=times,
        num_without_person=len(present) - sum(present),
    )


def _nobody(source: SourceVideo) -> DataError:
    return DataError(f"no person found in {source.path}; one must be seen from the front or back")


def _look(source: SourceVideo, perception: Perception, tell: Progress) -> list[np.ndarray]:
    """Boxes of the person, (1, 4) each in px of the source, a few times a second."""
    scale = min(1.0, _LOOK_SIZE / max(source.height, source.width))
    size = (max(1, round(source.width * scale)), max(1, round(source.height * scale)))
    boxes: list[np.ndarray] = []
    previous: Person | None = None
    for batch in _batches(_now_and_then(source.frames())):
        small = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in batch]
        for found in perception.detector.detect(small):
            person = _follow(found, previous)
            if person is not None:
                boxes.append(person.box[None] / scale)
                previous = person
        tell("finding the person", len(boxes), None)
    return boxes


def _now_and_then(frames: Iterator[SourceFrame]) -> Iterator[SourceFrame]:
    """The first frame, the last one, and some between."""
    last_time: Fraction | None = None
    pending: SourceFrame | None = None
    for frame in frames:
        pending = frame
        if last_time is None or frame.time - last_time >= _LOOK_EVERY_S:
            last_time, pending = frame.time, None
            yield frame
    if pending is not None:
        yield pending


def _batches(frames: Iterator[SourceFrame]) -> Iterator[list[SourceFrame]]:
    batch: list[SourceFrame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _follow(found: Sequence[Person], previous: Person | None) -> Person | None:
    """The same person as before where several are there, the surest one at first."""
    if not found:
        return None
    if previous is None or len(found) == 1:
        return found[0]
    return max(found, key=lambda person: _overlap(person.box, previous.box))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2]))
    return shared / max(areas - shared, 1e-6)


def _full_size(poses: Sequence[DensePose | None], height: int, width: int) -> np.ndarray:
    """IUV of the whole frames, (t, height, width, 3) uint8; zeros where there is no person."""
    side = next((pose.iuv.shape[0] for pose in poses if pose is not None), 112)
    grids = np.zeros((len(poses), side, side, 3), np.uint8)
    boxes = np.zeros((len(poses), 4), np.float32)
    for index, pose in enumerate(poses):
        if pose is not None:
            grids[index], boxes[index] = pose.iuv, pose.box
    return paste_iuv(grids, boxes, height, width)


def _bridge(mask: np.ndarray, present: Sequence[bool], longest: int) -> np.ndarray:
    """Paint through short gaps of the detector: the union of the masks at the gap's two ends."""
    bridged = mask.copy()
    there = np.flatnonzero(present)
    for before, after in itertools.pairwise(there):
        if 1 < after - before <= longest:
            bridged[before + 1 : after] = np.maximum(mask[before], mask[after])
            _logger.info("frames %d to %d: the person was missed, the mask is carried over",
                         before + 1, after - 1)  # fmt: skip
    for index in np.flatnonzero(~np.asarray(present, bool)):
        if not (there[0] < index < there[-1]):
            bridged[index] = 0
    return bridged
