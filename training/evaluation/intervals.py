"""95 % confidence intervals for each kind of metric.

Means over videos are bootstrapped over videos. A distance between sets must not be: resampling
repeats clips and shifts it (at 130 clips an interval of 10.3..11.1 around a point of 8.2). The
Frechet distance gets a delete-a-group jackknife over videos, the kernel distance its spread over
blocks of videos.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

NORMAL_95 = 1.959964
NUM_RESAMPLES = 2000
NUM_GROUPS = 10
MIN_GROUPS = 4

Interval = tuple[float, float]
Distance = Callable[[Tensor, Tensor], float]


def bootstrap_interval(values: Sequence[float]) -> Interval | None:
    """95 % percentile bootstrap of a mean over videos; None for fewer than two values."""
    if len(values) < 2:
        return None
    generator = np.random.default_rng(0)
    sample = np.asarray(values, dtype=np.float64)
    chosen = generator.integers(len(sample), size=(NUM_RESAMPLES, len(sample)))
    low, high = np.percentile(sample[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def jackknife_interval(
    first: Sequence[Tensor], second: Sequence[Tensor], distance: Distance
) -> Interval | None:
    """95 % interval of a set distance by leaving out one group of videos at a time.

    Args:
        first: features of one set, a tensor (clips, dim) per video.
        second: the other set, the same videos in the same order.
        distance: computed on all clips of each set.

    Returns:
        (low, high), low at least 0; None if there are too few videos for four groups.
    """
    num_groups = min(NUM_GROUPS, len(first))
    if num_groups < MIN_GROUPS:
        return None
    values: list[float] = []
    for left_out in range(num_groups):
        kept = [index for index in range(len(first)) if index % num_groups != left_out]
        sides = [torch.cat([side[index] for index in kept]) for side in (first, second)]
        if min(len(side) for side in sides) < 2:
            return None
        values.append(distance(*sides))
    deviations = np.asarray(values) - np.mean(values)
    error = np.sqrt((num_groups - 1) / num_groups * np.sum(deviations**2))
    point = distance(torch.cat(list(first)), torch.cat(list(second)))
    return max(0.0, float(point - NORMAL_95 * error)), float(point + NORMAL_95 * error)


def block_interval(
    first: Sequence[Tensor], second: Sequence[Tensor], distance: Distance
) -> Interval | None:
    """95 % interval of an unbiased set distance from its spread over disjoint blocks of videos.

    The arguments are those of ``jackknife_interval``. The interval is centred on the distance of
    all clips; None if four blocks of at least two clips cannot be formed.
    """
    for num_blocks in range(min(NUM_GROUPS, len(first)), MIN_GROUPS - 1, -1):
        blocks = [
            [torch.cat(list(side[start::num_blocks])) for side in (first, second)]
            for start in range(num_blocks)
        ]
        if min(len(side) for block in blocks for side in block) >= 2:
            values = [distance(*block) for block in blocks]
            error = np.std(values, ddof=1) / np.sqrt(num_blocks)
            point = distance(torch.cat(list(first)), torch.cat(list(second)))
            return float(point - NORMAL_95 * error), float(point + NORMAL_95 * error)
    return None
