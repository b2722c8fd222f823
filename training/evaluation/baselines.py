"""Methods that do nothing clever: rows of every table, so that a number can be judged."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8

from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.sample import bytes_to_signed, compose_agnostic, signed_to_bytes
from training.metrics.colour import garment_pixels

Video = UInt8[np.ndarray, "t h w 3"]


def copy_source(item: BenchmarkItem, pairing: str) -> Video:
    """The input as it is. Paired, this IS the truth and marks the best a metric can say."""
    return item.video


def gray_out(item: BenchmarkItem, pairing: str) -> Video:
    """The agnostic video: gray where the garment has to be painted."""
    video = rearrange(bytes_to_signed(torch.from_numpy(item.video)), "t h w c -> t c h w")
    mask = rearrange(torch.from_numpy(item.mask > 127).float(), "t h w -> t 1 h w")
    agnostic = rearrange(compose_agnostic(video, mask), "t c h w -> t h w c")
    return signed_to_bytes(agnostic).numpy()


def paste_mean_colour(item: BenchmarkItem, pairing: str) -> Video:
    """The mask filled with the mean colour of the garment that is asked for."""
    colour = garment_pixels(item.garment(pairing)).mean(axis=0).round().astype(np.uint8)
    return np.where(item.mask[..., None] > 127, colour, item.video)


BASELINES: dict[str, Callable[[BenchmarkItem, str], Video]] = {
    "source copied": copy_source,
    "agnostic": gray_out,
    "mean garment colour": paste_mean_colour,
}
