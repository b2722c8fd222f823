"""Trivial methods as reference rows of every table."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.sample import AGNOSTIC_GRAY, signed_to_bytes
from training.evaluation.pasting import paste_garment
from training.metrics.colour import garment_pixels

Video = UInt8[np.ndarray, "t h w 3"]
GRAY = signed_to_bytes(torch.full((3,), float(AGNOSTIC_GRAY))).numpy()


def fill(video: Video, mask: Bool[np.ndarray, "t h w"], colour: UInt8[np.ndarray, " 3"]) -> Video:
    """The video with one colour inside the mask."""
    return np.where(mask[..., None], colour, video)


def copy_source(item: BenchmarkItem, pairing: str) -> Video:
    """The unchanged input. Paired, it is the ground truth: the best possible score of a metric."""
    return item.video


def gray_out(item: BenchmarkItem, pairing: str) -> Video:
    """The agnostic video: gray where the garment has to be generated."""
    return fill(item.video, item.mask > 127, GRAY)


def paste_mean_colour(item: BenchmarkItem, pairing: str) -> Video:
    """The mask filled with the target garment's mean colour."""
    colour = garment_pixels(item.garment(pairing)).mean(axis=0).round().astype(np.uint8)
    return fill(item.video, item.mask > 127, colour)


def paste_by_densepose(item: BenchmarkItem, pairing: str) -> Video:
    """The garment's picture pasted onto the body, without a network that paints."""
    return paste_garment(item.video, item.mask > 127, item.iuv, item.garment(pairing))


BASELINES: dict[str, Callable[[BenchmarkItem, str], Video]] = {
    "source copied": copy_source,
    "agnostic": gray_out,
    "mean garment colour": paste_mean_colour,
    "garment pasted": paste_by_densepose,
}
