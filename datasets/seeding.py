"""Random draws that belong to a sample, not to a process.

A draw is a function of (seed, purpose, number of the sample in the run), so that every sample gets
the same window, noise and dropout after resuming, and for any number of workers or ranks.
"""

import zlib

import numpy as np
import torch


def numpy_generator(seed: int, purpose: str, number: int) -> np.random.Generator:
    """The numpy generator of one purpose for one sample (or epoch, or step)."""
    return np.random.default_rng(_sequence(seed, purpose, number))


def torch_generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """The torch generator (always on the CPU) of one purpose for one sample."""
    state = int(_sequence(seed, purpose, number).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def _sequence(seed: int, purpose: str, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), number])
