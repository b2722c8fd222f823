"""Rendered pictures that the codec learns from, and others that it is scored on.

Frames of dancers in garments of every pattern class, whole and from above the head to the thighs;
product pictures; and maps of body parts, flat with a gradient on each part, as DensePose pictures
are.
"""

import io
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from configs.console import Progress
from datasets.seeding import numpy_generator
from datasets.storage import settings_sha256, write_file
from datasets.synthetic.clips import render_frames, render_garment
from datasets.synthetic.config import DANCERS, SyntheticConfig
from datasets.synthetic.dataset import renderer_sources
from training.codec.config import CodecTraining

HEIGHT, WIDTH = 256, 192
_FRAMINGS = ("upper", "whole", "upper")
"""Two of three dancers fill the picture, as in the demo."""

Picture = UInt8[np.ndarray, "h w 3"]


def rendered_pictures(config: CodecTraining) -> list[Picture]:
    """What to learn from: frames, part maps and product pictures of split "train"."""
    jobs = [("clip", config.seed, index) for index in range(config.num_clips)]
    jobs += [("garment", config.seed, index) for index in range(config.num_garments)]
    return _rendered(config, "seen", jobs)


def unseen_rendered(config: CodecTraining) -> list[Picture]:
    """What to score on: one frame each of split "bench" of the next seed."""
    jobs = [("unseen", config.seed + 1, index) for index in range(config.num_unseen)]
    return _rendered(config, "unseen", jobs)


def _rendered(
    config: CodecTraining, name: str, jobs: Sequence[tuple[str, int, int]]
) -> list[Picture]:
    """Read from the work folder if it was rendered before with the same settings."""
    identity = settings_sha256([list(job) for job in jobs], *renderer_sources(), Path(__file__))
    file = Path(config.work) / f"{name}-{identity[:12]}.npy"
    if not file.is_file():
        content = io.BytesIO()
        np.save(content, np.stack(_render(jobs, config.workers, f"rendering {name} pictures")))
        write_file(file, content.getvalue())
    return list(np.load(file))


def _render(jobs: Sequence[tuple[str, int, int]], workers: int, what: str) -> list[Picture]:
    count = min(workers or os.cpu_count() or 1, len(jobs))
    pictures: list[Picture] = []
    with Progress(what, len(jobs)) as progress:
        if count == 1:
            for job in jobs:
                pictures += render_job(job)
                progress.advance()
            return pictures
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker) as pool:
            for made in pool.map(render_job, jobs):
                pictures += made
                progress.advance()
    return pictures


def _start_worker() -> None:
    cv2.setNumThreads(1)


def render_job(job: tuple[str, int, int]) -> list[Picture]:
    """Pictures of one job: (kind, seed, index)."""
    kind, seed, index = job
    settings = SyntheticConfig(
        dancers=DANCERS[(index // 3) % 2], framing=_FRAMINGS[index % 3], height=HEIGHT,
        width=WIDTH, seed=seed, duration_s=2.0, fps=1.0,
    )  # fmt: skip
    if kind == "unseen":
        return [list(render_frames(settings.clip("bench", index)))[1][0]]
    spec = settings.clip("train", index)
    if kind == "garment":
        garment = spec.dancers[0].figure.garment
        return [render_garment(settings.target(spec) if index % 2 else garment, HEIGHT, WIDTH)]
    frames = list(render_frames(spec))
    pictures = [frame for frame, _ in frames]
    if index % 4 == 0:
        pictures.append(part_map(frames[0][1], numpy_generator(seed, "codec part map", index)))
    return pictures


def part_map(labels: UInt8[np.ndarray, "h w"], rng: np.random.Generator) -> Picture:
    """Labels in random colours, with a linear gradient of two channels over each part."""
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]].astype(np.float32)
    picture = np.zeros((*labels.shape, 3), np.float32)
    for label in np.unique(labels):
        if label == 0 and rng.random() < 0.5:
            continue  # black, as DensePose's background
        region = labels == label
        colour = rng.uniform(0, 255, 3).astype(np.float32)
        slopes = rng.normal(0, 1.5, (2, 2)).astype(np.float32)
        ramps = np.stack([columns - columns[region].mean(), rows - rows[region].mean()], axis=-1)
        painted = np.broadcast_to(colour, picture.shape).copy()
        painted[..., 1:] += ramps @ slopes * (label != 0)
        picture[region] = painted[region]
    return np.clip(picture, 0, 255).astype(np.uint8)
