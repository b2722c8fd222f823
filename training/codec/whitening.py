"""Statistics of a trained codec's latents, measured over pictures: what its file stores."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from models.codecs.learned import SmallAutoencoder

STEP = 0.5
"""By how many standard deviations a channel is moved to measure its gain."""
SPACING = 4
"""Latents between two that are moved at once: far enough that their effects hardly meet."""


@torch.no_grad()
def measure_latents(
    autoencoder: SmallAutoencoder, batches: Iterable[Float[Tensor, "b 3 h w"]]
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean, standard deviation and gain of each channel; the last two as ``pack`` defines them."""
    latents = torch.cat([autoencoder.encode(batch) for batch in batches])
    deviation, mean = torch.std_mean(latents.double(), dim=(0, 2, 3))
    std = deviation.float()
    sample = latents[:16]
    unmoved = autoencoder.decode(sample)
    gains: list[Tensor] = []
    for channel in range(latents.shape[1]):
        moved = sample.clone()
        places = moved[:, channel, SPACING // 2 :: SPACING, SPACING // 2 :: SPACING]
        places += STEP * std[channel]
        energy = (autoencoder.decode(moved) - unmoved).square().sum() / places.numel()
        gains.append(energy.sqrt() / (STEP * std[channel]))
    return mean.float(), std, torch.stack(gains)
