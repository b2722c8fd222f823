"""The colours of skin, hair, upper and lower garment in one clip.

Colours are learned per clip from places where the body predicts the material (the middle of the
face, the crown, the chest, the thighs), as smoothed histograms in Lab. A garment may have many
colours: histograms handle prints and stripes.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import cv2
import numpy as np

L_BINS, AB_BINS = 16, 64
NUM_BINS = L_BINS * AB_BINS * AB_BINS  # as many as 16 bits hold
FLOOR = 1e-5  # probability of an unseen colour, the same for every material
UNKNOWN = float(np.log(1 / 1500))  # log-likelihood of any colour for a material not seen in a clip
MIN_SEEDS = 150  # with fewer pixels a material counts as unseen


class ColourClass(IntEnum):
    """Materials that a person's pixel can show."""

    SKIN = 0
    HAIR = 1
    UPPER = 2
    LOWER = 3


NUM_MATERIALS = len(ColourClass)


def color_bins(frame: np.ndarray) -> np.ndarray:
    """Histogram bin of each pixel, (height, width) uint16, of an RGB uint8 image."""
    lab = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2Lab), np.uint8)
    bins = lab[..., 2] >> np.uint16(2)
    bins |= (lab[..., 1] >> 2).astype(np.uint16) << 6
    bins |= (lab[..., 0] >> 4).astype(np.uint16) << 12
    return bins


def bin_colors(bins: np.ndarray) -> np.ndarray:
    """Centre of each bin, (n, 3) float32 Lab on OpenCV's 0..255 scales."""
    bins = bins.astype(np.int32)
    lightness, a, b = bins // AB_BINS**2, bins // AB_BINS % AB_BINS, bins % AB_BINS
    steps = np.array([256 / L_BINS, 256 / AB_BINS, 256 / AB_BINS], np.float32)
    return (np.stack([lightness, a, b], axis=-1) + 0.5).astype(np.float32) * steps


def hue_and_saturation(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shading-invariant components of colours (n, 3), Lab on OpenCV's 0..255 scales.

    Returns:
        Angles in radians and chroma over lightness, (n,) each.
    """
    a, b = lab[:, 1] - 128, lab[:, 2] - 128
    return np.arctan2(b, a), np.hypot(a, b) / np.maximum(lab[:, 0], 16)


def could_be_skin(frame: np.ndarray) -> np.ndarray:
    """The broad range of human skin, (height, width) bool; it includes wood and sand.

    Chrominance limits after Chai and Ngan 1999 (77-127, 133-173), widened for coloured light.
    """
    ycrcb = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
    red, blue = ycrcb[..., 1], ycrcb[..., 2]
    return (red >= 133) & (red <= 185) & (blue >= 75) & (blue <= 130) & (ycrcb[..., 0] > 20)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipColors:
    """Log-likelihoods of colours, one row per material."""

    log_likelihood: np.ndarray  # (materials, NUM_BINS) float32
    is_known: np.ndarray  # (materials,) bool

    def evidence(self, bins: np.ndarray) -> np.ndarray:
        """Log-likelihood of pixels under each material, (materials, *bins.shape) float32.

        An unseen material has the same moderate value everywhere: it gets the pixels that no known
        material explains.
        """
        return self.log_likelihood[:, bins]

    @cached_property
    def of_bin(self) -> np.ndarray:
        """The same table as (NUM_BINS, materials): one look-up finds all materials of a pixel."""
        return np.ascontiguousarray(self.log_likelihood.T)

    def overlap(self, first: ColourClass, second: ColourClass) -> float:
        """Intersection of two materials' histograms, 0..1; 0 if either is unseen."""
        if not (self.is_known[first] and self.is_known[second]):
            return 0.0
        shares = np.exp(self.log_likelihood[[first, second]]) - FLOOR
        return float(np.maximum(shares.min(0), 0).sum())


class ColorCounter:
    """Accumulates seed pixels over a clip."""

    def __init__(self) -> None:
        self._counts = np.zeros((NUM_MATERIALS, NUM_BINS), np.float64)

    def add(
        self, material: ColourClass, bins: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Count the bins (n,) of seed pixels, each by its weight (n,)."""
        self._counts[material] += np.bincount(bins.ravel(), weights, minlength=NUM_BINS)

    def forget(self, material: ColourClass) -> None:
        """Reset a material."""
        self._counts[material] = 0

    def tone(self, material: ColourClass) -> tuple[float, float]:
        """Hue and saturation of the mean of a material's colours; see ``hue_and_saturation``."""
        weights = self._counts[material]
        mean = weights @ bin_colors(np.arange(NUM_BINS)) / max(weights.sum(), 1)
        hue, saturation = hue_and_saturation(mean[None])
        return float(hue[0]), float(saturation[0])

    def colors(self) -> ClipColors:
        """Smoothed histograms."""
        is_known = self._counts.sum(1) >= MIN_SEEDS
        table = np.full((NUM_MATERIALS, NUM_BINS), UNKNOWN, np.float32)
        for material in np.flatnonzero(is_known):
            table[material] = np.log(_smoothed(self._counts[material]) + FLOOR)
        return ClipColors(log_likelihood=table, is_known=is_known)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    cube = (counts / counts.sum()).reshape(L_BINS, AB_BINS, AB_BINS)
    planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in cube])
    padded = np.pad(planes, ((1, 1), (0, 0), (0, 0)), mode="edge")
    mixed = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return mixed.ravel()
