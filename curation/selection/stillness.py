"""How much the pixels of a person change between two looks: not at all on a poster.

A detector's points jitter on a picture of a person as much as on one who stands still. Pixels do
not: aligned to where it was before, a picture is the same; a face or a hand is not.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from curation.perception.boxes import box_overlap
from curation.perception.protocols import Person

LOOK_S = 0.4
"""Time between the two looks."""
SIDE = 64
"""Pixels of a box's longer side; finer changes are compression noise."""
MIN_SIDE = 96
"""Minimum longer side of a box in pixels: compression keeps smaller people as still as a picture
(people who sit in multi/classroom, up to 88 pixels: 0.2 to 3.6 gray levels)."""
REACH = 0.06
"""How far camera motion may have moved it, as a share of the box's height."""
EDGE_SHARE = 0.5
"""Share of the contrast around a pixel that is not change: half a pixel of misalignment."""
CELL = 6
"""Pixels of a cell whose mean change is measured; a body's most changed cell counts."""
NUM_CELLS = 10
"""Minimum number of cells with as much change: a single one is noise."""
MOVING = 5.0
"""Gray levels above which a person is certainly moving, and hides what is behind them."""
MIN_SEEN = 0.3
"""Minimum visible share of a box for a measurement."""
SAME_PLACE = 0.3


def looks_apart(fps: float) -> int:
    """Number of frames at this rate that are LOOK_S apart; at least 1."""
    return max(1, round(LOOK_S * fps))


def with_changes(
    frames: Sequence[np.ndarray],
    people: Sequence[Sequence[Person]],
    lag: int,
    *,
    is_whole: bool = False,
) -> list[list[Person]]:
    """People with ``change`` set where several are visible at once; a single person needs none.

    Args:
        frames: (height, width, 3) uint8 RGB each, in order of time.
        people: of each frame.
        lag: frames between two looks, LOOK_S apart.
        is_whole: nothing came before these frames, so the first ones are compared with later ones.
    """
    if all(len(seen) < 2 for seen in people):
        return [list(seen) for seen in people]
    filled: list[list[Person]] = []
    for index, seen in enumerate(people):
        other = index + lag if is_whole and index < lag else index - lag
        is_known = 0 <= other < len(frames) and frames[index].shape == frames[other].shape
        if len(seen) < 2 or not is_known:
            filled.append(list(seen))
            continue
        now, then = (cv2.cvtColor(frames[i], cv2.COLOR_RGB2GRAY) for i in (index, other))
        filled.append(_changed(now, then, list(seen), [person.box for person in people[other]]))
    return filled


def _changed(
    now: np.ndarray, before: np.ndarray, seen: list[Person], earlier: list[np.ndarray]
) -> list[Person]:
    """``seen`` with each person's change, ignoring areas covered by people moving in front."""
    boxes = [person.box for person in seen]
    alone = [change_of(now, before, box, ()) for box in boxes]
    moving = [b for b, change in zip(boxes, alone, strict=True) if change and change >= MOVING]
    gone = [box for box in earlier if any(box_overlap(box, b) > SAME_PLACE for b in moving)]
    changes: list[float | None] = []
    for box, change in zip(boxes, alone, strict=True):
        hiding = [b for b in moving if b is not box]
        hiding += [b for b in gone if box_overlap(b, box) <= SAME_PLACE]
        is_sure = change is None or change < MOVING or not any(box_overlap(b, box) for b in hiding)
        changes.append(change if is_sure else change_of(now, before, box, hiding))
    return [replace(p, change=c) for p, c in zip(seen, changes, strict=True)]


def change_of(
    now: np.ndarray, before: np.ndarray, box: np.ndarray, hiding: Sequence[np.ndarray]
) -> float | None:
    """Gray levels by which the most changed part of a box differs from its best earlier match.

    Args:
        now: (height, width) uint8 gray.
        before: the same, a look earlier.
        box: left, top, right, bottom in pixels.
        hiding: boxes to ignore.

    Returns:
        None if the box is small or too little of it is visible.
    """
    height, width = now.shape
    limits = np.array([width, height, width, height])
    left, top, right, bottom = np.clip(np.rint(box), 0, limits).astype(int).tolist()
    if min(right - left, bottom - top) < 8 or max(right - left, bottom - top) < MIN_SIDE:
        return None
    reach = max(2, round(REACH * (bottom - top)))
    around = before[max(top - reach, 0) : bottom + reach, max(left - reach, 0) : right + reach]
    scale = min(1.0, SIDE / max(right - left, bottom - top))
    patch, around = _smaller(now[top:bottom, left:right], scale), _smaller(around, scale)
    if (np.array(around.shape) < patch.shape).any():
        return None
    is_seen = np.ones(patch.shape, np.float32)
    for other in hiding:
        x, y, x_end, y_end = (
            max(int(value), 0) for value in (other - [left, top, left, top]) * scale
        )
        is_seen[y : y_end + 1, x : x_end + 1] = 0
    if is_seen.mean() < MIN_SEEN:
        return None
    misfit = cv2.matchTemplate(around, patch, cv2.TM_SQDIFF, mask=is_seen)
    x, y = cv2.minMaxLoc(misfit)[2]
    found = around[y : y + patch.shape[0], x : x + patch.shape[1]]
    contrast = cv2.morphologyEx(patch, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    change = np.maximum(np.abs(found - patch) - EDGE_SHARE * contrast, 0) * is_seen
    share = np.maximum(cv2.blur(is_seen, (CELL, CELL)), 0.5)
    cells = cv2.blur(change, (CELL, CELL)) / share * is_seen
    return float(np.sort(cells, axis=None)[-NUM_CELLS])


def _smaller(gray: np.ndarray, scale: float) -> np.ndarray:
    size = max(round(gray.shape[1] * scale), 4), max(round(gray.shape[0] * scale), 4)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float32)
