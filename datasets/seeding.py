"""Random draws that belong to a sample, not to a process.

A draw is a function of (seed, what it is for, the sample's number in the run), so that resuming,
other worker counts and other world sizes give every sample the same window, noise and dropout.
"""

import zlib

import numpy as np
import torch


def numpy_generator(seed: int, purpose: str, number: int) -> np.random.Generator:
    """The numpy generator of one purpose for one sample (or epoch, or step)."""
    return np.random.default_rng(_sequence(seed, purpose, number))


def torch_generator(seed: int, purpose: str, number: int) -> torch.Generator:
    """The torch generator (CPU, whatever the device of the run) of one purpose for one sample."""
    state = int(_sequence(seed, purpose, number).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def _sequence(seed: int, purpose: str, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), number])
