"""What a person's upper half looks like in colours: tells two people apart who stand close by."""

import cv2
import numpy as np

from curation.perception.protocols import Person

_BINS = (6, 8, 8)  # of L, a, b
_RANGES = ((0, 256), (64, 192), (64, 192))
_UPPER = 0.6  # share of the box's height: clothes and hair, not what hides the legs
_LEAST_PIXELS = 30
NUM_BINS = _BINS[0] * _BINS[1] * _BINS[2]


def appearance_of(image: np.ndarray, person: Person) -> np.ndarray | None:
    """A histogram of colours, (NUM_BINS,) float32 with sum 1; None where too little is seen.

    Args:
        image: RGB (height, width, 3) uint8.
        person: found in it; without a mask the middle of their box is taken.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = (float(value) for value in person.box)
    last = top + _UPPER * (bottom - top)
    if person.mask is None:
        inset = 0.25 * (right - left)
        left, right, top = left + inset, right - inset, top + 0.15 * (bottom - top)
    rows = slice(max(0, int(top)), min(height, int(np.ceil(last))))
    columns = slice(max(0, int(left)), min(width, int(np.ceil(right))))
    cut = image[rows, columns]
    if not cut.size:
        return None
    pixels = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_RGB2LAB).reshape(-1, 3)
    if person.mask is not None:
        pixels = pixels[person.mask[rows, columns].reshape(-1) > 127]
    if len(pixels) < _LEAST_PIXELS:
        return None
    counts, _ = np.histogramdd(pixels, bins=_BINS, range=_RANGES)
    for axis in range(3):  # so that a colour on the edge of two bins is in both
        counts = _blurred(counts, axis)
    total = max(float(counts.sum()), 1.0)
    return (counts.reshape(-1) / total).astype(np.float32)


def _blurred(counts: np.ndarray, axis: int) -> np.ndarray:
    padded = np.moveaxis(
        np.pad(counts, [(1, 1) if i == axis else (0, 0) for i in range(3)]), axis, 0
    )
    mixed = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.moveaxis(mixed, 0, axis)


def similarity(first: np.ndarray | None, second: np.ndarray | None) -> float | None:
    """Bhattacharyya coefficient, 0 (nothing in common) .. 1; None if one is unknown.

    On ../shared/media/multi the same person has 0.85-1.0 from look to look, others 0.1-0.8.
    """
    if first is None or second is None:
        return None
    return float(np.sqrt(first * second).sum())
