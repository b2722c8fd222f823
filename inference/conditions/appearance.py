"""Colour histograms of people: tell them apart when they stand close together or come back.

Curation compares whole clips by colours (``curation/stages/colours.py``), with other bins and
blurring.
"""

import cv2
import numpy as np

from curation.perception.protocols import Person

_BINS = (6, 8, 8)  # of L, a, b
_RANGES = ((0, 256), (64, 192), (64, 192))
_UPPER = 0.6  # share of the box's height: clothes and hair, without what may hide the legs
_LEAST_PIXELS = 30
_BANDS = ((0.0, 0.2), (0.2, 0.5), (0.5, 0.95))  # of the box's height: head, upper, lower clothes
NUM_BINS = _BINS[0] * _BINS[1] * _BINS[2]


def appearance_of(image: np.ndarray, person: Person) -> np.ndarray | None:
    """A colour histogram, (NUM_BINS,) float32 with sum 1; None if too few pixels are seen.

    Args:
        image: RGB (height, width, 3) uint8.
        person: detected in it; without a mask the middle of their box is used.
    """
    _, top, _, bottom = (float(value) for value in person.box)
    last = top + _UPPER * (bottom - top)
    if person.mask is None:
        top += 0.15 * (bottom - top)
    rows = slice(max(0, int(top)), min(image.shape[0], int(np.ceil(last))))
    return _histogram(image, person, rows)


def bands_of(image: np.ndarray, person: Person) -> np.ndarray:
    """Histograms of head, upper and lower clothes, (3, NUM_BINS); zeros if too few pixels are seen.

    Arguments as for ``appearance_of``.
    """
    _, top, _, bottom = (float(value) for value in person.box)
    bands = np.zeros((len(_BANDS), NUM_BINS), np.float32)
    for band, (start, stop) in zip(bands, _BANDS, strict=True):
        first, last = top + start * (bottom - top), top + stop * (bottom - top)
        rows = slice(max(0, int(first)), min(image.shape[0], max(0, int(last))))
        found = _histogram(image, person, rows)
        if found is not None:
            band += found
    return bands


def _histogram(image: np.ndarray, person: Person, rows: slice) -> np.ndarray | None:
    """Histogram of a person's pixels in some rows of their box; None for too few pixels."""
    left, right = float(person.box[0]), float(person.box[2])
    inset = 0.25 * (right - left) if person.mask is None else 0.0
    columns = slice(max(0, int(left + inset)), min(image.shape[1], int(np.ceil(right - inset))))
    cut = image[rows, columns]
    if not cut.size:
        return None
    pixels = cv2.cvtColor(np.ascontiguousarray(cut), cv2.COLOR_RGB2LAB).reshape(-1, 3)
    if person.mask is not None:
        pixels = pixels[person.mask[rows, columns].reshape(-1) > 127]
    if len(pixels) < _LEAST_PIXELS:
        return None
    counts, _ = np.histogramdd(pixels, bins=_BINS, range=_RANGES)
    for axis in range(3):  # so that a colour on the border of two bins counts in both
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

    On ../shared/media/multi the same person has 0.85-1.0 from sample to sample, others 0.1-0.8.
    """
    if first is None or second is None:
        return None
    return float(np.sqrt(first * second).sum())


def least_similarity(first: np.ndarray, second: np.ndarray) -> float | None:
    """The similarity of the least similar band that both have; None if there is no such band.

    Of six people at one place (../shared/media/single/onebyone_person.mp4) two who both wear a
    black cap and black clothes have 0.97, all others 0.42-0.87; one person's single samples 0.95.

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
