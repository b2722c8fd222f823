"""What people look like in colours: tells them apart when they stand close by, or come back."""

import cv2
import numpy as np

from curation.perception.protocols import Person

_BINS = (6, 8, 8)  # of L, a, b
_RANGES = ((0, 256), (64, 192), (64, 192))
_UPPER = 0.6  # share of the box's height: clothes and hair, not what hides the legs
_LEAST_PIXELS = 30
_BANDS = ((0.0, 0.2), (0.2, 0.5), (0.5, 0.95))  # of the box's height: head, upper, lower clothes
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
    return _histogram(cut, None if person.mask is None else person.mask[rows, columns])


def bands_of(image: np.ndarray, person: Person) -> np.ndarray:
    """Histograms of head, upper and lower clothes, (3, NUM_BINS); zeros where too little is seen.

    Arguments as of ``appearance_of``.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = (float(value) for value in person.box)
    inset = 0.25 * (right - left) if person.mask is None else 0.0
    columns = slice(max(0, int(left + inset)), min(width, int(np.ceil(right - inset))))
    bands = np.zeros((len(_BANDS), NUM_BINS), np.float32)
    for band, (start, stop) in zip(bands, _BANDS, strict=True):
        first, last = top + start * (bottom - top), top + stop * (bottom - top)
        rows = slice(max(0, int(first)), min(height, max(0, int(last))))
        mask = None if person.mask is None else person.mask[rows, columns]
        found = _histogram(image[rows, columns], mask)
        if found is not None:
            band += found
    return bands


def _histogram(cut: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
    """Of the colours of a cut-out (where its mask is bright); None of too few pixels."""
    if not cut.size:
        return None
    pixels = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_RGB2LAB).reshape(-1, 3)
    if mask is not None:
        pixels = pixels[mask.reshape(-1) > 127]
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


def least_similarity(first: np.ndarray, second: np.ndarray) -> float | None:
    """Of the bands that both have, the similarity of the least alike; None if there is none.

    Of six people at one place (../shared/media/single/onebyone_person.mp4) two who both wear a
    black cap and black clothes have 0.97, all others 0.42-0.87; one person's single looks 0.95.

    Args:
        first: (3, NUM_BINS), sums of ``bands_of``.
        second: likewise.
    """
    totals = first.sum(axis=1), second.sum(axis=1)
    known = (totals[0] > 0) & (totals[1] > 0)
    if not known.any():
        return None
    one, other = (
        bands[known] / total[known, None]
        for bands, total in zip((first, second), totals, strict=True)
    )
    return float(np.sqrt(one * other).sum(axis=1).min())
