"""A look at a few frames of a few videos: how much of a folder clips will be made of."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from curation.first_pass.first_pass import FirstPassConfig, fit_within
from curation.perception.protocols import PersonDetector
from curation.selection.people import PASSES, PeopleConfig, collect_samples, judge_samples
from curation.video.decode import decode, read_header, to_rgb
from datasets.video.orientation import orientation_of, upright_size
from datasets.video.reader import ReadNotes, UnreadableVideoError

MOST_VIDEOS = 8
MOMENTS = (0.2, 0.5, 0.8)  # shares of a video's length


def passing_share(
    paths: Sequence[Path],
    config: FirstPassConfig,
    people: PeopleConfig,
    detector: PersonDetector,
    weigh: Callable[[float], float],
) -> float | None:
    """Share of time in 0..1 that shows one person with the body in view.

    Each of at most ``MOST_VIDEOS`` videos, evenly spread, is decoded at ``MOMENTS``, and counts as
    ``weigh`` says of its length in seconds. None: none of them can be read.
    """
    step = max(1, -(-len(paths) // MOST_VIDEOS))
    passing_s = total_s = 0.0
    for path in paths[::step]:
        try:
            header = read_header(path)
            length = header.duration_s or config.max_duration_s
            seen = [
                _passes(image, people, detector)
                for image in _images(path, length, header.sample_aspect, config.sample_side)
            ]
        except UnreadableVideoError:
            continue
        if seen:
            passing_s += weigh(length) * float(np.mean(seen))
            total_s += weigh(length)
    return passing_s / total_s if total_s else None


def _images(path: Path, length_s: float, sample_aspect: float, side: int) -> Iterator[np.ndarray]:
    for moment in MOMENTS:
        for _, frame in decode(path, ReadNotes(), moment * length_s):
            orientation = orientation_of(frame)
            size = fit_within(*upright_size(frame, sample_aspect, orientation), side)
            yield to_rgb(frame, *size, orientation)
            break


def _passes(image: np.ndarray, people: PeopleConfig, detector: PersonDetector) -> bool:
    """One frame shows no motion, so everyone of some size counts as alive."""
    height, width = image.shape[:2]
    seen = collect_samples([0.0], detector.detect([image]), height, width)
    left, top, right, bottom = seen.boxes[seen.scores >= people.min_score].T
    areas = (right - left) * (bottom - top)
    if np.count_nonzero(areas >= people.min_other_share * areas.max(initial=0.0)) != 1:
        return False
    return bool(judge_samples(seen, people, aspect=width / height).codes[0] == PASSES)
