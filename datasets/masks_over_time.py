"""Masks of a clip whose frames help each other, where a part or the person was missed."""

import numpy as np


def fill_unseen(masks: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """Give frames without a detected person the union of the masks before and after.

    Args:
        masks: (t, height, width) uint8.
        is_seen: (t,) bool.
    """
    seen = np.flatnonzero(is_seen)
    if not len(seen) or len(seen) == len(masks):
        return masks
    filled = masks.copy()
    for index in np.flatnonzero(~is_seen):
        before, after = seen[seen < index], seen[seen > index]
        neighbours = [masks[rows[edge]] for rows, edge in ((before, -1), (after, 0)) if len(rows)]
        filled[index] = np.maximum.reduce(neighbours)
    return filled


def fill_lapses(masks: np.ndarray, num_frames: int, lapse: float) -> np.ndarray:
    """Close gaps in time where a part was missed: in frames whose mask is suddenly smaller.

    Closing every frame would also paint everything an arm swings over. A frame has a gap if the
    largest masks within reach before and after it both exceed its own by the share ``lapse``.

    Args:
        masks: (t, height, width) uint8.
        num_frames: reach on both sides.
        lapse: 0 closes every frame.
    """
    closed = close_in_time(masks, num_frames)
    areas = np.count_nonzero(masks.reshape(len(masks), -1), axis=1)
    is_lapse = np.zeros(len(masks), bool)
    for index, area in enumerate(areas):
        before = areas[max(0, index - num_frames) : index].max(initial=0)
        after = areas[index + 1 : index + 1 + num_frames].max(initial=0)
        is_lapse[index] = area <= (1 - lapse) * min(before, after)
    return np.where(is_lapse[:, None, None], closed, masks)


def close_in_time(masks: np.ndarray, num_frames: int) -> np.ndarray:
    """Morphological closing along time; the result always contains the frame's own mask.

    Args:
        masks: (t, height, width) uint8.
        num_frames: reach on both sides.
    """
    if num_frames == 0 or len(masks) < 3:
        return masks
    return _slide(_slide(masks, num_frames, np.maximum), num_frames, np.minimum)


def _slide(masks: np.ndarray, reach: int, combine: np.ufunc) -> np.ndarray:
    result = masks.copy()
    for shift in range(1, min(reach, len(masks) - 1) + 1):
        combine(result[shift:], masks[:-shift], out=result[shift:])
        combine(result[:-shift], masks[shift:], out=result[:-shift])
    return result
