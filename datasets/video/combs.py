"""Interlaced frames in files that call them progressive, as old programs copied camcorder tapes.

A frame of such a file holds two moments: one in its even lines, one in its odd lines. Where
something moves, it shows which lines belong together. Progressive: the even and odd lines of one
frame fit, those of two frames do not. Interlaced: those of one frame fit as badly as the later
lines of a frame and the earlier ones of the next. Both ways of mixing two frames are compared:
stripes on clothes, which look like combs in one picture, are the same both ways.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

TOP_FIRST, BOTTOM_FIRST, WHOLE = "tff", "bff", "whole"
"""The even lines (0, 2, ...) are the earlier moment; the odd ones are; both are one moment."""
MOST_LINES, MOST_FPS = 1088, 31
"""Larger or faster video is never interlaced."""
PLACES, RUN = 8, 8
"""Moments of a video that are looked at, and frames in a row there."""
MOST_IN_ORDER = 64  # frames from the start, of a video with few places to seek to
LEAST_VOTES, LEAST_SHARE = 4, 0.5
"""Pairs of frames that must have the same order, and their share of those that show any."""
_COLUMNS, _LEAST_LINES = 320, 16
_MOVES = 12  # levels
_LEAST_MOVING = 0.002  # share of the pixels
_LEAST_GAIN = 0.15  # by which the worse way of mixing frames exceeds the frame itself
_MOST_RATIO = 0.4  # gain of the better way of mixing over that of the worse one
_LEAST_TEETH = 0.1  # of a frame, as a share of the worse way's


def hidden_order(open_stream: Callable[[], tuple[Any, Any]]) -> str | None:
    """Which lines of a video's frames come first, though its coder did not mark them.

    Args:
        open_stream: opens the video; gives PyAV's container and stream.

    Returns:
        TOP_FIRST, BOTTOM_FIRST, or None: progressive, marked as interlaced, or not clear.
    """
    seen: set[int] = set()
    runs: list[Counter[str | None]] = []
    try:
        container, stream = open_stream()
        with container:
            for start in (None, *_places(container, stream)[1:]):
                run = _votes(_luma_from(container, stream, start, seen), RUN)
                runs += [run] if run else []
        if len(runs) < PLACES // 2:
            container, stream = open_stream()
            with container:
                runs = [_votes(_luma_from(container, stream, None, set()), MOST_IN_ORDER)]
    except (FFmpegError, OverflowError):  # a damaged file's time stamps need more than 64 bits
        pass  # what was seen until then counts
    votes = sum(runs, Counter[str | None]())
    best = TOP_FIRST if votes[TOP_FIRST] > votes[BOTTOM_FIRST] else BOTTOM_FIRST
    num_clear = votes.total() - votes[None]
    is_clear = votes[best] >= max(LEAST_VOTES, LEAST_SHARE * num_clear)
    return best if is_clear else None


def field_order(first: np.ndarray, second: np.ndarray) -> str | None:
    """What two frames in a row are: TOP_FIRST, BOTTOM_FIRST or WHOLE; None: too little moves.

    Args:
        first: (height, width) uint8, luma; lines as coded.
        second: the next frame.
    """
    if first.shape != second.shape or len(first) < _LEAST_LINES:
        return None
    a, b = (image[: len(image) // 2 * 2].astype(np.int16) for image in (first, second))
    even, odd, next_even, next_odd = a[::2], a[1::2], b[::2], b[1::2]
    moving = (np.abs(next_even - even) > _MOVES) | (np.abs(next_odd - odd) > _MOVES)
    if moving.mean() < _LEAST_MOVING:
        return None
    mixes = [_misfit(*lines, moving) for lines in ((even, odd), (next_even, odd), (even, next_odd))]
    orders = set[str]()
    for own, top, bottom in np.stack(mixes, axis=1):
        worse, better = max(top, bottom), min(top, bottom)
        if worse - own <= _LEAST_GAIN * worse:
            return None
        if better - own > _MOST_RATIO * (worse - own):
            return WHOLE
        orders.add(TOP_FIRST if top < bottom else BOTTOM_FIRST)
    (_, own_teeth), worst_teeth = mixes[0], max(teeth for _, teeth in mixes)
    return orders.pop() if len(orders) == 1 and own_teeth >= _LEAST_TEETH * worst_teeth else WHOLE


def _misfit(even: np.ndarray, odd: np.ndarray, moving: np.ndarray) -> tuple[float, float]:
    """How badly even lines fit between odd ones and the other way round, where something moves.

    Returns:
        Sums of second differences, which any detail has, and of teeth: what a line differs by from
        those above and below in the same direction, beyond what these differ by.
    """
    bends = teeth = 0.0
    for line, above, below, where in (
        (even[1:], odd[:-1], odd[1:], moving[1:]),
        (odd[:-1], even[:-1], even[1:], moving[:-1]),
    ):
        up, down = (line - above)[where], (line - below)[where]
        bends += float(np.abs(up + down).sum())
        least = np.minimum(np.abs(up), np.abs(down)) - np.abs(up - down) // 2
        teeth += float(least[(least > 0) & ((up > 0) == (down > 0))].sum())
    return bends, teeth


def _votes(images: Iterator[np.ndarray], count: int) -> Counter[str | None]:
    return Counter(field_order(*pair) for pair in pairwise(islice(images, count)))


def _places(container: Any, stream: Any) -> list[int]:
    """Time stamps of moments all over a video; none where it does not state its length."""
    length = stream.duration
    if not length and container.duration and stream.time_base:
        length = int(Fraction(container.duration, av.time_base) / stream.time_base)
    return [(stream.start_time or 0) + (length or 0) * i // PLACES for i in range(PLACES)]


def _luma_from(
    container: Any, stream: Any, start: int | None, seen: set[int]
) -> Iterator[np.ndarray]:
    """Luma from the keyframe before a time stamp on, until frames whose stamps were ``seen``.

    None: from where the container is, its start; not every container can go back there.
    """
    if start is not None:
        container.seek(start, stream=stream)
    for frame in container.decode(stream):
        if frame.interlaced_frame or frame.height > MOST_LINES or frame.pts in seen:
            return
        seen |= set() if frame.pts is None else {frame.pts}
        image = _luma(frame)
        if image is None:
            return
        yield image


def _luma(frame: Any) -> np.ndarray | None:
    """(height, about _COLUMNS) uint8 of the first plane; None: it is not luma alone."""
    kind = frame.format
    if kind.is_rgb or kind.is_big_endian or not (kind.is_planar or len(kind.components) == 1):
        return None
    plane, extra_bits = frame.planes[0], kind.components[0].bits - 8
    if not 0 <= extra_bits <= 8:  # black and white; floating point
        return None
    values = np.frombuffer(plane, np.uint16 if extra_bits else np.uint8)
    lines = values.reshape(plane.height, -1)[:, : plane.width : max(plane.width // _COLUMNS, 1)]
    return (lines >> extra_bits).astype(np.uint8)
