"""The canonical clip: constant frame rate, upright, square pixels, cropped to the person.

Only accepted stretches get here; this is the second and last decoding of a raw video.
"""

from dataclasses import dataclass, field
from math import gcd, log
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.checks import check_range
from configs.errors import ConfigError
from curation.clip import AT_LEAST, Check
from curation.video.decode import decode
from datasets.video.colours import HDR_TRANSFERS, coded_rgb
from datasets.video.orientation import Orientation
from datasets.video.reader import ReadNotes, UnreadableVideoError
from datasets.video.tone_mapping import tone_map

MULTIPLE = 16
"""Sides of a clip are multiples of this: latents are 8x smaller, patches take 2x2 of those."""
COMMON_RATES = (
    5.0, 10.0, 12.0, 12.5, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 48.0, 50.0,
    60000 / 1001, 60.0,
)  # fmt: skip
"""Rates to which rates from times rounded to milliseconds (Matroska) are snapped."""


@dataclass(frozen=True, kw_only=True)
class CanonicalConfig:
    """Size and rate of the clips."""

    buckets: list[list[int]] = field(  # height, width
        default_factory=lambda: [[512, 384], [512, 512], [384, 512]]
    )
    max_fps: float = 30.0
    max_upscale: float = 1.5
    margin: float = 0.12  # around the person, as a share of the longer side of the box
    min_person_height: int = 128  # pixels in the upright source

    def __post_init__(self) -> None:
        for bucket in self.buckets:
            if len(bucket) != 2 or any(side < 64 or side % MULTIPLE for side in bucket):
                raise ConfigError(
                    f"bucket {bucket} is not [height, width] in multiples of {MULTIPLE} from 64 on"
                )
        if not self.buckets:
            raise ConfigError("buckets is empty; give at least one [height, width]")
        check_range(self, "max_upscale", "max_fps", least=1)


def height_check(height: float | None, config: CanonicalConfig) -> Check:
    """Minimum height of the main person, in pixels of the upright source."""
    return Check(
        verdict="people", signal="height", value=height, rule=AT_LEAST,
        threshold=config.min_person_height, key="canonical.min_person_height",
        code="person_too_small", meaning="the person is too small in the picture",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CropPlan:
    """Which part of the upright source becomes a clip, and of which size."""

    top: int
    left: int
    crop_height: int
    crop_width: int
    height: int  # of the clip
    width: int
    coverage: float  # share of the person's box with its margin that is inside

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """Top, left, height, width."""
        return self.top, self.left, self.crop_height, self.crop_width


def plan_crop(
    person: tuple[float, float, float, float],
    region: tuple[float, float, float, float],
    config: CanonicalConfig,
) -> CropPlan:
    """The bucket that fits the person best, and the window of the source that fills it.

    Args:
        person: left, top, right, bottom of the person's full extent, in source pixels.
        region: the same of the picture without letterbox bars.
        config: buckets, margin and upscaling limit.
    """
    left, top, right, bottom = person
    margin = config.margin * max(right - left, bottom - top)
    left, right = max(left - margin, region[0]), min(right + margin, region[2])
    top, bottom = max(top - margin, region[1]), min(bottom + margin, region[3])
    wanted_height, wanted_width = max(bottom - top, 2.0), max(right - left, 2.0)
    room_height, room_width = region[3] - region[1], region[2] - region[0]

    def window(bucket: list[int]) -> tuple[float, float, float]:
        """Height, width and coverage of this bucket's window."""
        aspect = bucket[0] / bucket[1]
        width = max(wanted_width, wanted_height / aspect, bucket[1] / config.max_upscale)
        width = min(width, room_width, room_height / aspect)
        height = width * aspect
        covered = min(1.0, height / wanted_height) * min(1.0, width / wanted_width)
        return height, width, covered

    def worth(bucket: list[int]) -> tuple[float, float]:
        mismatch = abs(log(bucket[0] / bucket[1]) - log(wanted_height / wanted_width))
        return -round(window(bucket)[2], 1), mismatch

    best = min(config.buckets, key=worth)
    height, width, coverage = window(best)
    clip_height, clip_width = _clip_size(best, height, config.max_upscale)
    crop_height, crop_width = int(height), int(width)
    return CropPlan(
        top=round(_place((top + bottom) / 2, crop_height, region[1], region[3])),
        left=round(_place((left + right) / 2, crop_width, region[0], region[2])),
        crop_height=crop_height,
        crop_width=crop_width,
        height=clip_height,
        width=clip_width,
        coverage=coverage,
    )


def _clip_size(bucket: list[int], crop_height: float, max_upscale: float) -> tuple[int, int]:
    """The bucket's size, or the largest size of its aspect within the upscaling limit."""
    steps = gcd(bucket[0] // MULTIPLE, bucket[1] // MULTIPLE)
    unit_height, unit_width = bucket[0] // steps, bucket[1] // steps
    count = min(steps, max(1, int(max_upscale * crop_height / unit_height + 1e-6)))
    return count * unit_height, count * unit_width


def _place(centre: float, length: int, low: float, high: float) -> float:
    return min(max(centre - length / 2, np.ceil(low)), max(np.floor(high) - length, np.ceil(low)))


def clip_rate(times_s: np.ndarray, max_fps: float) -> float:
    """Frame rate of a clip: the source's, at most ``max_fps``.

    Steps much longer than the typical one are missing frames and are ignored. A common rate is
    used if the others agree with it to 0.06% (Matroska rounds to milliseconds).

    Args:
        times_s: (n,) times of the stretch's frames.
        max_fps: upper limit.
    """
    steps = np.diff(times_s)
    steps = steps[steps < 1.5 * float(np.median(steps))] if len(steps) > 2 else steps
    mean = float(len(steps) / steps.sum())
    nearest = min(COMMON_RATES, key=lambda rate: abs(mean / rate - 1))
    return min(nearest if abs(mean / nearest - 1) < 6e-4 else mean, max_fps)


def count_clip_frames(start_s: float, end_s: float, fps: float) -> int:
    """Frames of a clip from ``start_s`` to ``end_s``."""
    return max(1, round((end_s - start_s) * fps))


def read_clip(
    path: Path,
    *,
    start_s: float,
    end_s: float,
    fps: float,
    plan: CropPlan,
    upright: tuple[int, int],
    orientation: Orientation,
) -> np.ndarray:
    """Decode a stretch: (t, height, width, 3) uint8 RGB, frame i the nearest to start + i / fps.

    Frames outside the stretch are never used, so nothing crosses a cut.

    Raises:
        UnreadableVideoError: no frame in the stretch, or decoding stopped before its end.
    """
    count = count_clip_frames(start_s, end_s, fps)
    clip = np.empty((count, plan.height, plan.width, 3), dtype=np.uint8)
    done = 0
    previous: tuple[float, Any] | None = None
    notes = ReadNotes()
    for time_s, frame in decode(path, notes, start_s):
        if time_s >= end_s - 1e-6 or done == count:
            break
        while done < count and start_s + done / fps <= time_s + 1e-6:
            target = start_s + done / fps
            is_nearer = previous is None or time_s - target < target - previous[0]
            nearest = frame if is_nearer or previous is None else previous[1]
            clip[done] = cut_out(nearest, plan, upright, orientation)
            done += 1
        previous = (time_s, frame)
    if previous is None:
        raise UnreadableVideoError("no_frames", f"nothing between {start_s:.3f} and {end_s:.3f} s")
    if done < count - 1 and any(start_s <= moment < end_s for moment in notes.times_s):
        detail = f"decoding stopped at {previous[0]:.3f} s of {end_s:.3f} s"
        raise UnreadableVideoError("corrupt_frames", detail)
    if done < count:
        clip[done:] = cut_out(previous[1], plan, upright, orientation)
    return clip


def cut_out(
    frame: Any, plan: CropPlan, upright: tuple[int, int], orientation: Orientation
) -> np.ndarray:
    """The crop of one decoded frame, upright, with square pixels, at the clip's size."""
    image = orientation.apply(coded_rgb(frame))
    # the sample aspect stretches one axis of the stored picture
    rows, columns = image.shape[0] / upright[0], image.shape[1] / upright[1]
    top, bottom = (round(y * rows) for y in (plan.top, plan.top + plan.crop_height))
    left, right = (round(x * columns) for x in (plan.left, plan.left + plan.crop_width))
    method = cv2.INTER_AREA if plan.height < plan.crop_height else cv2.INTER_CUBIC
    cut = cv2.resize(image[top:bottom, left:right], (plan.width, plan.height), interpolation=method)
    return tone_map(cut, frame.color_trc) if frame.color_trc in HDR_TRANSFERS else cut
