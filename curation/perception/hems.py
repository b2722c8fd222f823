"""Where the upper garment ends: the one change of colour between the waist and the thighs."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.perception.body_parts import BodyPart, PartPixels
from curation.perception.clip_colors import UNKNOWN, ClipColors, Material, bin_colors

NUM_PLACES = 10  # bins along a part, here and in the parser
WAIST_PLACES, THIGH_PLACES = range(5, 10), range(0, 6)
NUM_BANDS = len(WAIST_PLACES) + len(THIGH_PLACES)
MIN_PIXELS = 40  # for a band to be seen, over the whole clip
MIN_DIVERGENCE = 0.075
"""Jensen-Shannon, nats. On ../shared/media/single sweaters that fill the frame give 0.04-0.06,
the dullest shirt over trousers 0.10, most 0.15-0.4."""
HIGH_HEM_DOUBT = 0.1  # for each band that a hem lies above the hips: belts and badges are no hems
COARSE = (8, 32, 32)  # bins of lightness, a and b: coarser than the clip's, shading matters less


@dataclass(frozen=True, kw_only=True)
class Hem:
    """The split of the bands from waist to thighs."""

    first_lower_band: int | None  # NUM_BANDS: the upper garment hangs out of the frame;
    # None: nothing changes, or too little is seen


def band_of(located: PartPixels) -> np.ndarray:
    """Band of each pixel, (n,) int: 0 at the waist, growing downwards; -1 elsewhere."""
    place = np.minimum((located.along * NUM_PLACES).astype(int), NUM_PLACES - 1)
    band = np.full(len(place), -1)
    on_torso = (located.part == BodyPart.TORSO) & (place >= WAIST_PLACES[0])
    band[on_torso] = place[on_torso] - WAIST_PLACES[0]
    on_thigh = (located.part == BodyPart.UPPER_LEG_LEFT) | (
        located.part == BodyPart.UPPER_LEG_RIGHT
    )
    on_thigh &= place < len(THIGH_PLACES)
    band[on_thigh] = place[on_thigh] + len(WAIST_PLACES)
    return band


def find_hem(views: Sequence[tuple[PartPixels, np.ndarray]], skin: ClipColors) -> Hem:
    """Split the bands of a clip where the colours above and below differ most.

    Histograms are compared, not means: a print on the chest is no hem.

    Args:
        views: for each frame where its pixels lie on the body and their colour bins (n,).
        skin: colours learned so far; bare skin is left out.
    """
    cells = np.zeros((NUM_BANDS, *COARSE))
    in_frame = np.zeros(NUM_BANDS)
    for located, bins in views:
        band = band_of(located)
        wanted = (band >= 0) & (located.radii < 0.8)
        in_frame += np.bincount(band[wanted], minlength=NUM_BANDS)
        if skin.is_known[Material.SKIN]:
            wanted &= skin.log_likelihood[Material.SKIN, bins] < UNKNOWN
        color = (bin_colors(bins[wanted]) * np.array(COARSE) / 256).astype(int)
        np.add.at(cells, (band[wanted], color[:, 0], color[:, 1], color[:, 2]), 1)
    counts = cells.reshape(NUM_BANDS, -1).sum(1)
    seen = np.flatnonzero(counts >= MIN_PIXELS)
    if len(seen) < 4:
        return Hem(first_lower_band=None)  # nearly everything looks like skin, or is hidden
    shares = np.stack([_smoothed(cells[band]) / counts[band] for band in seen])
    splits = range(2, len(seen))
    whole = len(seen) * _entropy(shares.mean(0))
    gains = np.array(
        [
            whole
            - split * _entropy(shares[:split].mean(0))
            - (len(seen) - split) * _entropy(shares[split:].mean(0))
            for split in splits
        ]
    )
    doubts = HIGH_HEM_DOUBT * np.maximum(0, 5 - np.array(splits))
    if gains.max() / len(seen) >= MIN_DIVERGENCE:
        best = splits[int(np.argmax(gains * (1 - doubts)))]
        return Hem(first_lower_band=int(seen[best]))
    is_cut_off = in_frame[-1] < MIN_PIXELS
    return Hem(first_lower_band=NUM_BANDS if is_cut_off else None)


def hem_priors(priors: np.ndarray, hem: Hem) -> np.ndarray:
    """Priors (parts, places, materials) with the hem of this clip in them."""
    if hem.first_lower_band is None:
        return priors
    adapted = priors.copy()
    for band in range(NUM_BANDS):
        distance = band - hem.first_lower_band + 0.5  # below 0: above the hem
        lower = float(np.clip(0.5 + 0.3 * distance, 0.04, 0.96))
        on_torso = band < len(WAIST_PLACES)
        parts = (
            (BodyPart.TORSO,) if on_torso else (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT)
        )
        place = band + WAIST_PLACES[0] if on_torso else band - len(WAIST_PLACES)
        for part in parts:
            cloth = adapted[part, place, Material.UPPER] + adapted[part, place, Material.LOWER]
            adapted[part, place, Material.UPPER] = cloth * (1 - lower)
            adapted[part, place, Material.LOWER] = cloth * lower
    if hem.first_lower_band == NUM_BANDS:  # what else is seen of the thighs belongs to it too
        for part in (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT):
            cloth = adapted[part, :, Material.UPPER] + adapted[part, :, Material.LOWER]
            adapted[part, :, Material.UPPER] = 0.9 * cloth
            adapted[part, :, Material.LOWER] = 0.1 * cloth
    return adapted


def _smoothed(cells: np.ndarray) -> np.ndarray:
    planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in cells])
    padded = np.pad(planes, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return (0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]).ravel()


def _entropy(shares: np.ndarray) -> float:
    seen = shares[shares > 1e-9]
    return float(-(seen * np.log(seen)).sum())
