"""Boxes of people: overlap, area, margin, and matching detections to tracks.

A box is (left, top, right, bottom) in pixels. Pure functions, for curation and try-on.
"""

from collections.abc import Iterable

import numpy as np

NEAR = 0.35
"""Box centres of one person a moment apart are within this share of the smaller diagonal."""


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(...) areas of (..., 4) boxes; 0 for an inverted box."""
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1))


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (4,), 0..1, divided in float64."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(first[2:] - first[:2])) + float(np.prod(second[2:] - second[:2]))
    return shared / max(areas - shared, 1e-9)


def closeness(first: np.ndarray, second: np.ndarray, overlap: float) -> float:
    """Above 0 if two boxes may be one person a moment apart; ``overlap`` weighs most."""
    apart = np.hypot(*((first[:2] + first[2:] - second[:2] - second[2:]) / 2))
    size = min(np.hypot(*(first[2:] - first[:2])), np.hypot(*(second[2:] - second[:2])))
    return overlap + max(0.0, NEAR - float(apart) / max(float(size), 1e-6))


def grown_box(box: np.ndarray, share: float, height: int, width: int) -> tuple[int, int, int, int]:
    """A box with a margin of ``share`` of its sides, in whole pixels of a (height, width) frame."""
    margin = share * (box[2:] - box[:2])
    corners = np.concatenate([np.floor(box[:2] - margin), np.ceil(box[2:] + margin)])
    left, top, right, bottom = np.clip(corners, 0, [width, height] * 2).astype(int).tolist()
    return left, top, right, bottom


def match_best_first(scored: Iterable[tuple[float, int, int]]) -> dict[int, int]:
    """Greedily pair rows with columns, highest score first, each used once: {row: column}.

    Args:
        scored: (score, row, column) of every possible pair; ties are taken in order of row, then
            column.
    """
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, column in sorted((-score, row, column) for score, row, column in scored):
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return matched
