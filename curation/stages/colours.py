"""A clip's colours in a few numbers: of its garment, its background, its person's hair and face.

Held-out clips are chosen to differ in these (``shards/held_out.py``). Measured once per folder of
tracks and stored in the ledger.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.checks import check_range
from curation.stages.clip_files import decoded_frames
from datasets.labels import ParseLabel

BINS = (4, 8, 8)
"""Bins for lightness and the two colour axes of CIELAB; the axes within CHROMA around gray."""
CHROMA = (88.0, 168.0)  # of OpenCV's 0..255; 128 is gray
SAME_COLOUR = 60.0
"""Distance in CIELAB at which two hair or skin colours count as entirely different."""
MIN_PIXELS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourProfile:
    """Histograms that sum to 1; colours are CIELAB with L in 0..100."""

    garment: np.ndarray  # (256,) float
    background: np.ndarray  # (256,) float
    person: np.ndarray  # (2, 3) float: hair and face; NaN if not visible

    def pack(self) -> dict[str, Any]:
        """As plain values for the ledger."""
        return {
            "garment": np.round(self.garment, 4).tolist(),
            "background": np.round(self.background, 4).tolist(),
            "person": [None if np.isnan(row).any() else np.round(row, 1).tolist()
                       for row in self.person],
        }  # fmt: skip


def read_profile(values: dict[str, Any]) -> ColourProfile:
    """The inverse of ``ColourProfile.pack``."""
    return ColourProfile(
        garment=np.array(values["garment"]),
        background=np.array(values["background"]),
        person=np.array([[np.nan] * 3 if row is None else row for row in values["person"]]),
    )


def measure_profile(folder: Path) -> ColourProfile:
    """The colours of a clip: of its first frame and its garment picture."""
    frame = next(decoded_frames(folder / "mp4", "rgb24"))
    labels = next(decoded_frames(folder / "parse.mp4", "gray"))
    garment = cv2.imread(str(folder / "garment.png"), cv2.IMREAD_COLOR)
    mask = cv2.imread(str(folder / "garment_mask.png"), cv2.IMREAD_GRAYSCALE)
    assert garment is not None, "encode_tracks wrote it"
    assert mask is not None
    lab = lab_of(frame)
    return ColourProfile(
        garment=lab_histogram(lab_of(garment[..., ::-1])[mask > 127]),
        background=lab_histogram(lab[labels == ParseLabel.BACKGROUND]),
        person=np.stack([_colour(lab[labels == part])
                         for part in (ParseLabel.HAIR, ParseLabel.FACE)]),
    )  # fmt: skip


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Total variation distance of two histograms, 0..1."""
    return float(np.abs(one - other).sum() / 2)


def people_apart(one: ColourProfile, other: ColourProfile) -> float:
    """Difference of hair and skin, 0..1; 0 if neither can be compared."""
    ways = np.linalg.norm(one.person - other.person, axis=1) / SAME_COLOUR
    known = ways[~np.isnan(ways)]
    return float(min(known.max(), 1.0)) if len(known) else 0.0


def lab_of(image: np.ndarray) -> np.ndarray:
    """CIELAB as OpenCV's bytes, (height, width, 3) float, of an RGB image."""
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB).astype(np.float64)


def lab_histogram(pixels: np.ndarray) -> np.ndarray:
    """Histogram of (n, 3) Lab bytes; bins overlap, so that small changes of light matter little."""
    if not len(pixels):
        return np.zeros(int(np.prod(BINS)))
    ranges = [(0.0, 255.0), CHROMA, CHROMA]
    inside = np.clip(pixels, [low for low, _ in ranges], [high for _, high in ranges])
    counts, _ = np.histogramdd(inside, bins=BINS, range=ranges)
    for axis in range(3):
        padded = np.pad(counts, [(int(a == axis),) * 2 for a in range(3)], mode="edge")
        size = counts.shape[axis]
        parts = [np.take(padded, range(start, start + size), axis) for start in range(3)]
        counts = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return counts.ravel() / counts.sum()


def _colour(pixels: np.ndarray) -> np.ndarray:
    if len(pixels) < MIN_PIXELS:
        return np.full(3, np.nan)
    return np.median(pixels, axis=0) * [100 / 255, 1, 1]


@dataclass(frozen=True, kw_only=True)
class HeldOutConfig:
    """When two clips show different people, garments and places; see configs/curate.yaml."""

    min_garment_apart: float = 0.15
    min_background_apart: float = 0.4
    min_person_apart: float = 0.05
    same_person: float = 0.1  # below, in the same place, a clip is removed from train
    same_garment: float = 0.05

    def __post_init__(self) -> None:
        check_range(self, *vars(self), least=0, most=1)

    def differ(self, one: ColourProfile, other: ColourProfile) -> bool:
        """Whether both may be scored: person, garment and place differ."""
        return (
            apart(one.garment, other.garment) >= self.min_garment_apart
            and apart(one.background, other.background) >= self.min_background_apart
            and people_apart(one, other) >= self.min_person_apart
        )

    def is_seen_in(self, one: ColourProfile, other: ColourProfile) -> dict[str, float] | None:
        """Evidence that a clip resembles a held-out one: same place, and same person or garment."""
        distances = {
            "background_apart": apart(one.background, other.background),
            "person_apart": people_apart(one, other),
            "garment_apart": apart(one.garment, other.garment),
        }
        is_same_place = distances["background_apart"] < self.min_background_apart
        is_same = distances["person_apart"] < self.same_person
        is_same |= distances["garment_apart"] < self.same_garment
        rounded = {name: round(value, 3) for name, value in distances.items()}
        return rounded if is_same_place and is_same else None
