"""Seams: does the video jump where one window of the network ends and the next begins?

Seam score = mean change at the borders / mean change at all other pairs of frames, the change of a
pair being the mean absolute difference over RGB inside the painted region of either frame. 1 = a
border is like any other frame; 2 = it jumps twice as much. We know of no published name for it; it
is the plain temporal difference of the clip, split in two. A large motion that happens to cross a
border raises it as well: interpret it over many videos.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, UInt8

from inference.sampling.long_video import Round
from training.metrics.metric import Metric, VideoInputs, VideoNumber, by_frame, in_either_frame


def seam_score(
    result: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    segment_borders: Sequence[int],
) -> Float[np.ndarray, " t"]:
    """Change at each border relative to the change elsewhere.

    Args:
        result: RGB frames.
        region: True where the frame was painted.
        segment_borders: frames that begin a new segment, each in 1..t-1.

    Returns:
        Per frame the ratio, at least 0, at a border; NaN at all other frames. All NaN without a
        border, and where nothing moves elsewhere.

    Raises:
        ValueError: a border is not a frame with one before it.
    """
    for border in segment_borders:
        if not 1 <= border < len(result):
            raise ValueError(
                f"segment border {border} in a video of {len(result)} frames; "
                f"1 to {len(result) - 1} are accepted"
            )
    change = plain_change(result, region)
    is_border = np.zeros(len(result), dtype=bool)
    is_border[list(segment_borders)] = True
    elsewhere = change[~is_border & ~np.isnan(change)]
    values = np.full(len(result), np.nan)
    if len(elsewhere) and elsewhere.mean() > 0:
        values[is_border] = change[is_border] / elsewhere.mean()
    return values


def plain_change(
    video: UInt8[np.ndarray, "t h w 3"], region: Bool[np.ndarray, "t h w"]
) -> Float[np.ndarray, " t"]:
    """Mean absolute difference to the frame before, in levels; NaN at frame 0 and unpainted."""
    painted = in_either_frame(region)

    def change(index: int) -> float:
        now, before = (video[frame][painted[index]] for frame in (index, index - 1))
        return np.abs(now.astype(np.int16) - before).mean()

    return by_frame(painted, change)


def borders_of(rounds: Sequence[Round]) -> tuple[int, ...]:
    """Frames that come from another window than the frame before them, in a plan of windows."""
    painter: dict[int, int] = {}
    windows = [window for step in rounds for window in step]
    for number, window in enumerate(windows):
        painter.update(dict.fromkeys(window.painted, number))
    frames = sorted(painter)
    return tuple(
        frame
        for before, frame in pairwise(frames)
        if frame == before + 1 and painter[frame] != painter[before]
    )


def _seam(inputs: VideoInputs) -> VideoNumber:
    if inputs.segment_borders is None:
        return VideoNumber(value=None)
    score = seam_score(inputs.prediction, inputs.painted, inputs.segment_borders)
    return VideoNumber.of_frames(score)


SEAM = Metric(
    key="seam",
    label="seam",
    is_higher_better=False,
    definition="change at the borders of the windows over the change elsewhere, in the mask; 1 = "
    "no seam",
    compute=_seam,
    no_value="borders of windows are not known, or there are none",
)
