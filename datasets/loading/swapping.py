"""Random agnostic condition swapping: some frames are given to the network as known.

In known frames the agnostic image is replaced by the true frame and the mask by zeros, which
teaches the network what a known frame is (VITON-DiT, training). Inference relies on it: a segment
starts from known frames (auto-regression), or lies between two (interpolated auto-regression). The
patterns are those situations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from configs.checks import check_range

PATTERNS = ("none", "first", "first_last", "first_k", "scattered")


@dataclass(frozen=True, kw_only=True)
class SwapConfig:
    """Probabilities of the patterns; they add up to one. Single frames are never swapped."""

    none: float = 0.4
    first: float = 0.15
    first_last: float = 0.15
    first_k: float = 0.15
    scattered: float = 0.15
    max_known: float = 0.5  # first_k and scattered: at most this share of the frames

    def __post_init__(self) -> None:
        check_range(self, *PATTERNS, least=0, most=1)
        check_range(self, "max_known", above=0, below=1)
        if abs(sum(self.probabilities) - 1.0) > 1e-6:
            raise ValueError(
                f"the probabilities of the patterns {', '.join(PATTERNS)} add up to "
                f"{sum(self.probabilities):g}; they must add up to 1"
            )

    @property
    def probabilities(self) -> list[float]:
        """In the order of PATTERNS."""
        return [self.none, self.first, self.first_last, self.first_k, self.scattered]


def choose_pattern(config: SwapConfig, num_frames: int, random: np.random.Generator) -> str:
    """Draw a pattern; "none" if the window is too short for it."""
    pattern = PATTERNS[int(random.choice(len(PATTERNS), p=config.probabilities))]
    needed = {"none": 1, "first": 2, "first_last": 3, "first_k": 2, "scattered": 2}[pattern]
    return pattern if num_frames >= needed else "none"


def known_frames(
    pattern: str, num_frames: int, max_known: float, random: np.random.Generator
) -> Bool[Tensor, " t"]:
    """The frames of a window that a pattern makes known; at least one stays unknown."""
    known = np.zeros(num_frames, dtype=bool)
    most = min(max(1, int(num_frames * max_known)), num_frames - 1)
    if pattern == "first":
        known[0] = True
    elif pattern == "first_last":
        known[[0, -1]] = True
    elif pattern == "first_k":
        known[: int(random.integers(1, most + 1))] = True
    elif pattern == "scattered":
        count = int(random.integers(1, most + 1))
        known[random.choice(num_frames, size=count, replace=False)] = True
    elif pattern != "none":
        raise ValueError(f"unknown pattern {pattern!r}; use {', '.join(PATTERNS)}")
    return torch.from_numpy(known)


def swap_mask(
    mask: Float[Tensor, "*b t 1 h w"], known: Bool[Tensor, "*b t"]
) -> Float[Tensor, "*b t 1 h w"]:
    """Zero the mask of known frames, so that their agnostic image is the true frame."""
    return mask * (~known).to(mask.dtype)[..., None, None, None]
