"""Methods that do nothing clever: rows of every table, so that a number can be judged."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8

from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.sample import compose_agnostic
from training.metrics.colour import garment_pixels

Video = UInt8[np.ndarray, "t h w 3"]


def copy_source(item: BenchmarkItem, pairing: str) -> Video:
    """The input as it is. Paired, this IS the truth and marks the best a metric can say."""
    return item.video


def gray_out(item: BenchmarkItem, pairing: str) -> Video:
    """The agnostic video: gray where the garment has to be painted."""
    video = rearrange(torch.from_numpy(item.video).float() / 127.5 - 1, "t h w c -> t c h w")
    mask = rearrange(torch.from_numpy(item.mask > 127).float(), "t h w -> t 1 h w")
    agnostic = rearrange(compose_agnostic(video, mask), "t c h w -> t h w c")
    return ((agnostic + 1) * 127.5).round().to(torch.uint8).numpy()


def paste_mean_colour(item: BenchmarkItem, pairing: str) -> Video:
    """The mask filled with the mean colour of the garment that is asked for."""
    colour = garment_pixels(item.garment(pairing)).mean(axis=0).round().astype(np.uint8)
    return np.where(item.mask[..., None] > 127, colour, item.video)


BASELINES: dict[str, Callable[[BenchmarkItem, str], Video]] = {
    "source copied": copy_source,
    "agnostic": gray_out,
    "mean garment colour": paste_mean_colour,
}
