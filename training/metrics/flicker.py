"""Flicker inside the painted region: change between frames that the real video does not show.

Two measures, both in 8-bit levels (0..255, mean over RGB), per frame, 0 at best:

* ``flicker_excess``: the warping error of Lai et al. 2018 ("Learning Blind Video Temporal
  Consistency", section 4.2): each frame is warped back along optical flow onto the one before it,
  and what still differs counts. The flow is the source's (DIS, Kroeger et al. 2016, by OpenCV), so
  it is the same for every method; occluded pixels are left out by the forward-backward check of
  Sundaram et al. 2010, equation 5. Differences to Lai et al.: absolute levels instead of squares of
  [0, 1], the painted region only, and the same error of the reference (the truth, else the source)
  is subtracted, so that camera noise and errors of the flow do not count. Needs no truth.
* ``temporal_error``: the frame-to-frame difference against the truth's own, after the dtSSD of
  Erofeev et al. 2015 (section 4), with absolute values instead of squares. No flow is needed, but a
  truth is.

A frame's value belongs to its pair with the frame before it: the first frame has none (NaN).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from training.metrics.metric import (
    NOT_PAINTED,
    Metric,
    VideoInputs,
    VideoNumber,
    by_frame,
    in_either_frame,
)

CONSISTENCY_SLOPE, CONSISTENCY_OFFSET = 0.01, 0.5  # Sundaram et al.: share, square pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """How the source moves from one frame to the next."""

    flow: Float[np.ndarray, "h w 2"]  # pixel (x, y) of this frame is at (x, y) + flow in the next
    is_seen: Bool[np.ndarray, "h w"]  # not occluded in the next frame and not out of it


def source_motion(source: UInt8[np.ndarray, "t h w 3"]) -> list[Motion]:
    """Motion from every frame of the source to the next: t - 1 of them.

    Cache it: all methods scored on one source share it.
    """
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in source]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    motions: list[Motion] = []
    for first, second in pairwise(gray):
        forward = np.asarray(estimator.calc(first, second, None))  # pyright: ignore
        backward = np.asarray(estimator.calc(second, first, None))  # pyright: ignore
        motions.append(Motion(flow=forward, is_seen=is_consistent(forward, backward)))
    return motions


def flicker_excess(
    result: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    motions: Sequence[Motion],
    reference_change: Float[np.ndarray, " t"],
) -> Float[np.ndarray, " t"]:
    """How much more the result changes along the source's motion than the reference does.

    Args:
        result: RGB frames.
        region: True where the frame was painted.
        motions: ``source_motion`` of the source.
        reference_change: ``warped_change`` of the truth where it is known, else of the source, for
            the same region and motions.

    Returns:
        Levels in [0, 255] per frame; 0 where the result is as steady as the reference or steadier.
        NaN in the first frame and where no painted pixel can be followed.
    """
    excess = warped_change(result, region, motions) - reference_change
    return np.maximum(excess, 0.0)  # NaN stays NaN


def warped_change(
    video: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
    motions: Sequence[Motion],
) -> Float[np.ndarray, " t"]:
    """Mean |V[t](x + flow) - V[t - 1](x)| over the region's pixels that stay seen, in levels."""
    values = np.full(len(video), np.nan)
    for index, motion in enumerate(motions, start=1):
        rows, columns = np.nonzero(region[index - 1] & motion.is_seen)
        if not len(rows):
            continue
        target = motion.flow[rows, columns] + np.stack([columns, rows], axis=1).astype(np.float32)
        stays = _sample(region[index].astype(np.float32), target) > 0.5
        if not stays.any():
            continue
        moved = _sample(video[index], target[stays]).astype(np.float32)
        before = video[index - 1][rows[stays], columns[stays]].astype(np.float32)
        values[index] = np.abs(moved - before).mean(dtype=np.float64)
    return values


def temporal_error(
    result: UInt8[np.ndarray, "t h w 3"],
    truth: UInt8[np.ndarray, "t h w 3"],
    region: Bool[np.ndarray, "t h w"],
) -> Float[np.ndarray, " t"]:
    """Mean |(R[t] - R[t - 1]) - (T[t] - T[t - 1])| over the region of both frames, in levels.

    Returns:
        Levels in [0, 510] per frame; NaN in the first frame and where nothing is painted.
    """
    painted = in_either_frame(region)

    def error(index: int) -> float:
        ours, real = (
            video[index][painted[index]].astype(np.int16) - video[index - 1][painted[index]]
            for video in (result, truth)
        )
        return np.abs(ours - real).mean()

    return by_frame(painted, error)


def is_consistent(
    forward: Float[np.ndarray, "h w 2"], backward: Float[np.ndarray, "h w 2"]
) -> Bool[np.ndarray, "h w"]:
    """Whether going there and back ends near the start, and there lies inside the frame."""
    height, width = forward.shape[:2]
    x, y = (np.ascontiguousarray(forward[..., axis]) for axis in (0, 1))
    to_x = x + np.arange(width, dtype=np.float32)
    to_y = y + np.arange(height, dtype=np.float32)[:, None]
    back = cv2.remap(backward, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    back_x, back_y = (np.ascontiguousarray(back[..., axis]) for axis in (0, 1))
    miss = np.square(x + back_x) + np.square(y + back_y)
    size = np.square(x) + np.square(y) + (np.square(back_x) + np.square(back_y))
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    return inside & (miss < CONSISTENCY_SLOPE * size + CONSISTENCY_OFFSET)


def _sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bilinear values of an image at n points (x, y), (n,) or (n, channels)."""
    found = cv2.remap(
        image.astype(np.float32), points[:, None], None, cv2.INTER_LINEAR,  # pyright: ignore
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return found[:, 0]


def _motions(inputs: VideoInputs) -> list[Motion]:
    return source_motion(inputs.source)


def _real_change(inputs: VideoInputs) -> np.ndarray:
    reference = inputs.source if inputs.truth is None else inputs.truth
    return warped_change(reference, inputs.painted, inputs.once_per_item(_motions))


def _flicker(inputs: VideoInputs) -> VideoNumber:
    motions, real = inputs.once_per_item(_motions), inputs.once_per_item(_real_change)
    excess = flicker_excess(inputs.prediction, inputs.painted, motions, real)
    return VideoNumber.of_frames(excess)


def _temporal(inputs: VideoInputs) -> VideoNumber:
    assert inputs.truth is not None
    return VideoNumber.of_frames(temporal_error(inputs.prediction, inputs.truth, inputs.painted))


FLICKER = Metric(
    key="flicker",
    label="flicker",
    is_higher_better=False,
    definition="warping error in the mask (Lai et al. 2018) along the source's flow, over that of "
    "the truth, else of the source; 8-bit levels",
    compute=_flicker,
    no_value="no painted pixel can be followed from a frame to the next",
)
TEMPORAL = Metric(
    key="temporal_error",
    label="temporal error",
    is_higher_better=False,
    definition="mean |frame-to-frame difference - the truth's| in the mask (after dtSSD, Erofeev "
    "et al. 2015); 8-bit levels",
    compute=_temporal,
    needs_truth=True,
    no_value=NOT_PAINTED,
)
