"""Where the upper garment ends: the one change of colour between the waist and the thighs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from curation.perception.embedded.body_parts import BodyPart, PartPixels
from curation.perception.embedded.clip_colours import (
    NUM_BINS,
    UNKNOWN,
    ClipColors,
    ColourClass,
    bin_colors,
)

NUM_PLACES = 10  # bins along a part, here and in the parser
WAIST_PLACES, THIGH_PLACES = range(5, 10), range(0, 10)  # tunics reach down to the knees
NUM_BANDS = len(WAIST_PLACES) + len(THIGH_PLACES)
MIN_PIXELS = 40  # for a band to count as visible, over the whole clip
CUT_OFF_SHARE = 0.05  # of the fullest band: a band with fewer pixels is at the frame's border
MIN_DIVERGENCE = 0.075
"""Jensen-Shannon, nats. On ../shared/media/single sweaters that fill the frame give 0.04-0.06,
the dullest shirt over trousers 0.10, most 0.15-0.4."""
MIN_NEW_SHARE = 0.18
"""Share of the pixels below a hem whose colours must be rare above it. A badge or a print on the
chest makes both sides differ, but brings nothing new below: the hoodies of asl_book and asl_learn
0.12-0.16, the dullest shirt over trousers (asl_bird) 0.21, most 0.3-0.9."""
SAME_CLOTH = 0.75
"""Share of its colours that a band must share with those above a hem to be above it too: the lowest
band of the hoodie of asl_learn 0.79, the first of trousers in eight other clips 0.1-0.66."""
RARE = 2.5  # a colour is new below if it is this many times more frequent there than above
HIGH_HEM_DOUBT = 0.1  # for each band that a hem is above the hips: belts and badges are not hems
LOW_HEM_DOUBT = 0.04  # for each band below mid-thigh: the end of shorts is not the hem of a top
MID_THIGH = len(WAIST_PLACES) + 5  # band
BELT_BANDS = 2  # above a hem: no belt or waistband is wider
BELT_SHARE = 0.6  # of a band in colours that are nowhere above: it is part of a belt
PART_OF_BAND = 0.15  # the same, of the band in which a belt begins
BELT_COLOUR = 1e-3  # of a band: rarer colours are noise
ABOVE_WAIST = (
    BodyPart.TORSO, BodyPart.NECK, BodyPart.UPPER_ARM_LEFT, BodyPart.UPPER_ARM_RIGHT,
    BodyPart.LOWER_ARM_LEFT, BodyPart.LOWER_ARM_RIGHT,
)  # fmt: skip
ABOVE_KNEE = NUM_BANDS - 2
"""Band; if a frame ends above it and shows no hem, the garment counts as cut off. Trousers of the
shirt's colours are then painted too, which is better than leaving a tunic's lower half visible."""
SATURATED, SHADE_LIGHTNESS = 20, 128.0  # chroma and lightness on OpenCV's scales
COARSE = (8, 32, 32)  # bins of lightness, a and b: coarser than the clip's, shading matters less


@dataclass(frozen=True, kw_only=True)
class Hem:
    """The split of the bands from waist to thighs."""

    first_lower_band: int | None  # NUM_BANDS: the upper garment extends beyond the frame;
    # None: no change of colour, or too little visible
    belt: np.ndarray | None = None  # (colours,) bool: ``coarse_cells`` of belts and waistbands


def band_of(located: PartPixels) -> np.ndarray:
    """Band of each pixel, (n,) int: 0 at the waist, growing downwards; -1 elsewhere."""
    place = np.minimum((located.along * NUM_PLACES).astype(int), NUM_PLACES - 1)
    band = np.full(len(place), -1)
    on_torso = (located.part == BodyPart.TORSO) & (place >= WAIST_PLACES[0])
    band[on_torso] = place[on_torso] - WAIST_PLACES[0]
    on_thigh = (located.part == BodyPart.UPPER_LEG_LEFT) | (
        located.part == BodyPart.UPPER_LEG_RIGHT
    )
    band[on_thigh] = place[on_thigh] + len(WAIST_PLACES)
    return band


def find_hem(views: Sequence[tuple[PartPixels, np.ndarray]], skin: ClipColors) -> Hem:
    """Split the bands of a clip where the colours above and below differ most.

    Compares histograms, not means: a print on the chest is not a hem.

    Args:
        views: for each frame the places of its pixels on the body, and their colour bins (n,).
        skin: colours learned so far; bare skin is excluded.
    """
    colours = int(np.prod(COARSE))
    cells, in_frame = np.zeros((NUM_BANDS, colours)), np.zeros(NUM_BANDS)
    worn_above = np.zeros(colours)
    for located, bins in views:
        band, is_deep = band_of(located), located.radii < 0.8
        in_frame += np.bincount(band[(band >= 0) & is_deep], minlength=NUM_BANDS)
        if skin.is_known[ColourClass.SKIN]:
            is_deep = is_deep & (skin.log_likelihood[ColourClass.SKIN, bins] < UNKNOWN)
        own, wanted = coarse_cells()[bins], (band >= 0) & is_deep
        cells += np.bincount(band[wanted] * colours + own[wanted], minlength=cells.size).reshape(
            cells.shape
        )
        above = is_deep & (band < 0) & np.isin(located.part, ABOVE_WAIST)
        worn_above += np.bincount(own[above], minlength=colours)
    cells = cells.reshape(NUM_BANDS, *COARSE)
    counts = cells.reshape(NUM_BANDS, -1).sum(1)
    seen = np.flatnonzero(counts >= MIN_PIXELS)
    if len(seen) < 4:
        return Hem(first_lower_band=None)  # nearly everything looks like skin or is hidden
    shares = np.stack([coarse_smoothed(cells[band]) / counts[band] for band in seen])
    splits = np.arange(2, len(seen))
    gains = np.array([_divergence(shares, int(split)) for split in splits])
    new_shares = np.array([_new_share(shares, int(split)) for split in splits])
    is_hem = (gains >= MIN_DIVERGENCE) & (new_shares >= MIN_NEW_SHARE)
    if is_hem.any():
        gains *= 1 - HIGH_HEM_DOUBT * np.maximum(0, 5 - splits)
        gains *= 1 - LOW_HEM_DOUBT * np.maximum(0, seen[splits] - MID_THIGH)
        gains[~is_hem] = -np.inf
        split = _below_same_cloth(shares, int(splits[int(np.argmax(gains))]))
        split, belt = _with_belt(shares, split, worn_above)
        return Hem(first_lower_band=int(seen[split]), belt=belt)
    is_cut_off = in_frame[ABOVE_KNEE] < max(MIN_PIXELS, CUT_OFF_SHARE * in_frame.max())
    return Hem(first_lower_band=NUM_BANDS if is_cut_off else None)


def _below_same_cloth(shares: np.ndarray, split: int) -> int:
    """The split, moved down past bands that resemble the ones above it and not the last ones."""
    above, last = shares[:split].mean(0), shares[-2:].mean(0)
    while split < len(shares) - 1:
        like_above = float(np.minimum(shares[split], above).sum())
        if like_above < max(SAME_CLOTH, float(np.minimum(shares[split], last).sum())):
            break
        split += 1
    return split


def _with_belt(
    shares: np.ndarray, split: int, worn_above: np.ndarray
) -> tuple[int, np.ndarray | None]:
    """The split, moved up over a belt, and the colours of belts, (colours,) bool or None.

    A belt is in colours that the upper garment has nowhere else, cuffs and collar included: so a
    stripe or a trimmed hem is none.

    Args:
        shares: (bands, colours) histograms, downwards.
        split: the first band below.
        worn_above: (colours,) counts of chest, neck and sleeves.
    """
    first = max(split - BELT_BANDS, 1)
    elsewhere = coarse_smoothed(worn_above.reshape(COARSE))
    elsewhere /= max(elsewhere.sum(), 1e-9)
    above = RARE * np.maximum(shares[:first].mean(0), elsewhere)
    new = np.maximum(shares - above, 0).sum(axis=1)
    while split > first and new[split - 1] > BELT_SHARE:
        split -= 1
    waist = shares[max(split - 1, 0) : split + 1]
    if new[max(split - 1, 0)] < PART_OF_BAND:
        return split, None
    return split, (waist > above).any(axis=0) & (waist.max(axis=0) > BELT_COLOUR)


@lru_cache(maxsize=1)
def coarse_cells() -> np.ndarray:
    """The coarse cell of each colour bin, shading taken out where possible, (NUM_BINS,) int."""
    scaled = unshaded(bin_colors(np.arange(NUM_BINS))) * np.array(COARSE) / 256
    first, second, third = np.minimum(scaled.astype(int), np.array(COARSE) - 1).T
    return (first * COARSE[1] + second) * COARSE[2] + third


def unshaded(lab: np.ndarray) -> np.ndarray:
    """Colours with the shading removed where possible: in saturated ones.

    Shaded cloth keeps its ratio of chroma to lightness, so saturated colours are scaled to one
    lightness; grays differ in nothing else and keep theirs.

    Args:
        lab: (n, 3) on OpenCV's 0..255 scales.
    """
    chroma = lab[:, 1:] - 128
    is_saturated = np.hypot(chroma[:, 0], chroma[:, 1]) > SATURATED
    scaled = chroma * (SHADE_LIGHTNESS / np.maximum(lab[:, :1], 32))
    flat = np.concatenate([np.full_like(lab[:, :1], SHADE_LIGHTNESS), scaled + 128], axis=1)
    return np.clip(np.where(is_saturated[:, None], flat, lab), 0, 255)


def hem_priors(priors: np.ndarray, hem: Hem) -> np.ndarray:
    """Priors (parts, places, materials) with the hem of this clip applied."""
    if hem.first_lower_band is None:
        return priors
    adapted = priors.copy()
    hangs_out = hem.first_lower_band == NUM_BANDS
    for band in range(NUM_BANDS):
        distance = band - hem.first_lower_band  # the hem's own band stays undecided: hems move
        lower = float(np.clip(0.5 + 0.3 * distance, 0.04, 0.96))
        on_torso = band < len(WAIST_PLACES)
        parts = (
            (BodyPart.TORSO,) if on_torso else (BodyPart.UPPER_LEG_LEFT, BodyPart.UPPER_LEG_RIGHT)
        )
        place = band + WAIST_PLACES[0] if on_torso else band - len(WAIST_PLACES)
        if hangs_out and not on_torso:
            lower = 0.1  # trousers may still be visible next to it
        for part in parts:
            cloth = (
                adapted[part, place, ColourClass.UPPER] + adapted[part, place, ColourClass.LOWER]
            )
            adapted[part, place, ColourClass.UPPER] = cloth * (1 - lower)
            adapted[part, place, ColourClass.LOWER] = cloth * lower
    return adapted


def coarse_smoothed(cells: np.ndarray) -> np.ndarray:
    """Counts of COARSE shape, blurred in all three axes, flat."""
    planes = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in cells])
    padded = np.pad(planes, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return (0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]).ravel()


def _entropy(shares: np.ndarray) -> float:
    seen = shares[shares > 1e-9]
    return float(-(seen * np.log(seen)).sum())


def _divergence(shares: np.ndarray, split: int) -> float:
    """Jensen-Shannon divergence between the bands above and below a split, per band.

    Args:
        shares: (bands, colours) histograms, downwards.
        split: the first band below.
    """
    above, below = shares[:split], shares[split:]
    apart = len(above) * _entropy(above.mean(0)) + len(below) * _entropy(below.mean(0))
    return _entropy(shares.mean(0)) - apart / len(shares)


def _new_share(shares: np.ndarray, split: int) -> float:
    """Share of the pixels below a split whose colours are rare above it, 0..1."""
    new = shares[split:].mean(0) - RARE * shares[:split].mean(0)
    return float(np.maximum(new, 0).sum())
