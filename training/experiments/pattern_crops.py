"""Garments cropped from frames, as input of the pattern classifier.

A crop is the garment's bounding box, scaled equally in both directions and padded to a square of
``SIDE`` pixels. Its colours are centred and scaled over the garment, because the class does not
depend on colour; outside the garment it is zero.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.labels import ParseLabel
from datasets.storage import settings_sha256, sweep, write_file
from datasets.synthetic.cast import FRAMINGS
from datasets.synthetic.clips import render_frames
from datasets.synthetic.dataset import renderer_sources
from datasets.synthetic.hard_cast import CLASSES, draw_benchmark_clip

SIDE = 96
MIN_PIXELS = 500  # a garment with fewer visible pixels cannot be judged, at 256x192


@dataclass(frozen=True, kw_only=True)
class CropSetConfig:
    """Which true renders to crop: frames far apart, alternating both framings."""

    split: str
    num_clips: int
    num_frames: int = 8
    moment_s: float = 1.3  # seconds between two frames
    height: int = 256
    width: int = 192
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class CropSet:
    """Crops and their classes.

    Attributes:
        pictures: (n, SIDE, SIDE, 4) uint8: RGB, and 255 where the garment is.
        labels: (n,) int64, indices in ``CLASSES``.
        clips: (n,) int64, the clip of each.
    """

    pictures: np.ndarray
    labels: np.ndarray
    clips: np.ndarray


def cut_garment(
    frame: UInt8[np.ndarray, "h w 3"], mask: np.ndarray
) -> UInt8[np.ndarray, "side side 4"] | None:
    """The crop of one frame; None if too little of the garment is visible.

    Args:
        frame: RGB.
        mask: (h, w) bool, True on the garment.
    """
    if mask.sum() < MIN_PIXELS:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    picture = np.dstack([frame, mask.astype(np.uint8) * 255])[box]
    scale = SIDE / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, size, interpolation=way)
    crop = np.zeros((SIDE, SIDE, 4), np.uint8)
    top, left = (SIDE - scaled.shape[0]) // 2, (SIDE - scaled.shape[1]) // 2
    crop[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return crop


def to_input(crops: UInt8[np.ndarray, "n side side 4"]) -> Float[Tensor, "n 4 side side"]:
    """Colours of zero mean and unit spread over each garment, 0 outside; and the garment mask."""
    values = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    inside = (values[:, 3:] > 0.5).float()
    count = inside.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    colours = values[:, :3]
    centred = (colours - (colours * inside).sum(dim=(2, 3), keepdim=True) / count) * inside
    spread = (centred.square().sum(dim=(1, 2, 3), keepdim=True) / (3 * count)).sqrt()
    return torch.cat([centred / (spread + 0.02), inside], dim=1)


def make_crops(config: CropSetConfig, cache: Path, workers: int = 0) -> CropSet:
    """Render, crop and store; the file is named by a hash of what it was made from.

    Args:
        config: which renders.
        cache: the folder to store it in.
        workers: processes; 0: one per core.
    """
    path = cache / f"crops-{config.split}-{_fingerprint(config)}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            return CropSet(**{name: arrays[name] for name in arrays.files})
    workers = min(workers or os.cpu_count() or 1, config.num_clips)
    work = partial(_clip_crops, config)
    if workers == 1:
        parts = list(map(work, range(config.num_clips)))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(work, range(config.num_clips), chunksize=4))
    crops = CropSet(
        pictures=np.concatenate([pictures for pictures, _ in parts]),
        labels=np.repeat([label for _, label in parts], [len(p) for p, _ in parts]),
        clips=np.repeat(np.arange(len(parts)), [len(p) for p, _ in parts]),
    )
    sweep(cache)
    write_file(path, lambda file: np.savez_compressed(file, allow_pickle=False, **vars(crops)))
    return crops


def _clip_crops(config: CropSetConfig, index: int) -> tuple[np.ndarray, int]:
    cv2.setNumThreads(1)
    spec = draw_benchmark_clip(
        config.seed, config.split, index, height=config.height, width=config.width,
        num_frames=config.num_frames, fps=1 / config.moment_s,
        framing=FRAMINGS[index % len(FRAMINGS)],
    )  # fmt: skip
    found = [cut_garment(frame, parse == ParseLabel.UPPER) for frame, parse in render_frames(spec)]
    crops = [crop for crop in found if crop is not None]
    label = CLASSES.index(spec.dancers[0].figure.garment.pattern_class)
    return np.stack(crops) if crops else np.zeros((0, SIDE, SIDE, 4), np.uint8), label


def _fingerprint(config: CropSetConfig) -> str:
    return settings_sha256(asdict(config), *renderer_sources(), Path(__file__))[:16]
