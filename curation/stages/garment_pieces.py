"""Pieces of a photo that are no part of its garment, and the colours that tell."""

import cv2
import numpy as np

from curation.stages.garment_gaps import SHADOWS

_NUM_COLOURS = 4  # clusters of a ground: cloth, its shadow, floor, wall
_STRANGE = 25.0  # weighted Delta E to the colours of the largest piece: no part of the garment
_STRANGE_AREA = 0.03  # of the largest piece, at most


def common_colours(pixels: np.ndarray) -> np.ndarray:
    """Colours of the larger clusters: of the border, one that a garment touches is small."""
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    cv2.setRNGSeed(0)
    start = np.linspace(0, _NUM_COLOURS - 1e-3, len(pixels)).astype(np.int32)[:, None]
    _, labels, centres = cv2.kmeans(
        np.ascontiguousarray(pixels),
        _NUM_COLOURS,
        start,
        criteria,
        1,
        cv2.KMEANS_USE_INITIAL_LABELS,
    )
    shares = np.bincount(labels[:, 0], minlength=_NUM_COLOURS) / len(pixels)
    return centres[shares >= min(0.15, shares.max())]


def without_border_pieces(mask: np.ndarray) -> np.ndarray:
    """Drop pieces at the photo's border (furniture, shadows), unless one is the largest."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else 0
    dropped = np.setdiff1d(edge, [largest])
    return np.where(np.isin(labels, dropped), 0, mask).astype(np.uint8)


def without_strange_pieces(mask: np.ndarray, lab: np.ndarray) -> np.ndarray:
    """Drop small pieces in none of the largest one's colours: spots of light, things nearby."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return mask
    largest = 1 + int(areas.argmax())
    colours = common_colours(lab[labels == largest].astype(np.float32))
    kept = mask.copy()
    for number in 1 + np.flatnonzero(areas < _STRANGE_AREA * areas.max()):
        own = np.median(lab[labels == number].astype(np.float32), axis=0)
        if np.linalg.norm((own - colours) * SHADOWS, axis=-1).min() > _STRANGE:
            kept[labels == number] = 0
    return kept
