"""The random draws of a training step, and its loss.

Loss: mean squared error of the noise plus the variational bound of the learned variance (Improved
DDPM, Nichol and Dhariwal 2021, L_hybrid as Open-Sora v1.0 weighs it: one to one, in bits). Known
frames are left out: at inference they are clamped to the truth.
"""

from dataclasses import dataclass

import torch
from einops import reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from configs.checks import check_choices, check_range
from datasets.seeding import numpy_generator, torch_generator
from models.diffusion import DiffusionLosses

TIMESTEPS = ("uniform", "stratified")
GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio fill the unit interval evenly, however many are taken."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The loss and the dropout that guidance needs."""

    vlb_weight: float = 1.0
    painted_weight: float = 1.0  # weight of the noise error inside the mask; 1 outside
    drop_probability: float = 0.1  # null caption and no garment, for classifier-free guidance
    timesteps: str = "uniform"  # stratified: spread evenly over consecutive samples, less noise
    timestep_bias: float = 1.0  # above 1: noisy timesteps are drawn more often; they set colours
    matched_places: float = 1.0  # share of rows that read the garment at its true places

    def __post_init__(self) -> None:
        check_range(self, "vlb_weight", least=0)
        check_range(self, "painted_weight", "timestep_bias", above=0)
        check_range(self, "drop_probability", least=0, below=1)
        check_range(self, "matched_places", least=0, most=1)
        check_choices(self, timesteps=TIMESTEPS)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The random draws of a step, row by row."""

    timesteps: Int[Tensor, " b"]
    noise: Float[Tensor, "b c t h w"]
    drop: Bool[Tensor, " b"]
    matched: Bool[Tensor, " b"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss and its two terms, in total and per row."""

    loss: Float[Tensor, ""]
    mse: Float[Tensor, ""]
    vlb: Float[Tensor, ""]
    rows: Float[Tensor, " b"]
    row_mse: Float[Tensor, " b"]
    row_vlb: Float[Tensor, " b"]


def draw(
    config: ObjectiveConfig,
    seed: int,
    numbers: Int[Tensor, " b"],
    latents: Float[Tensor, "b c t h w"],
    num_timesteps: int,
) -> Draws:
    """Timestep, noise and dropout of each row, a function of (seed, the row's number in the run).

    Noise is drawn on the CPU, so that a GPU run can be repeated anywhere.
    """
    timesteps, noise, drop, matched = [], [], [], []
    for number in numbers.tolist():
        random = numpy_generator(seed, "objective", number)
        uniform, chance = float(random.random()), float(random.random())
        if config.timesteps == "stratified":
            uniform = (number * GOLDEN + seed * GOLDEN**2) % 1.0
        share = uniform ** (1.0 / config.timestep_bias)
        timesteps.append(min(int(share * num_timesteps), num_timesteps - 1))
        drop.append(chance < config.drop_probability)
        matched.append(float(random.random()) < config.matched_places)
        generator = torch_generator(seed, "noise", number)
        noise.append(torch.randn(latents.shape[1:], generator=generator))
    device = latents.device
    return Draws(
        timesteps=torch.tensor(timesteps, device=device),
        noise=torch.stack(noise).to(device, latents.dtype),
        drop=torch.tensor(drop, device=device),
        matched=torch.tensor(matched, device=device),
    )


def reduce_losses(
    config: ObjectiveConfig,
    losses: DiffusionLosses,
    known: Bool[Tensor, "b t"],
    mask: Float[Tensor, "b 1 t h w"] | None = None,
) -> Objective:
    """Mean over the frames that count, then over rows.

    Args:
        config: weights of the terms.
        losses: of every value.
        known: frames that are given; they do not count.
        mask: 1 = to be painted, on the latents' grid; used if ``painted_weight`` is not 1. Weights
            are normalised to a mean of 1 in every row, so that the loss keeps its scale.
    """
    counts = ~known
    weights = counts.to(losses.mse.dtype) / counts.sum(dim=1, keepdim=True).clamp(min=1)
    errors = losses.mse
    if config.painted_weight != 1 and mask is not None:
        places = 1 + (config.painted_weight - 1) * mask
        framed = weights[:, None, :, None, None]
        size = mask[0, 0, 0].numel()
        mean = (places * framed).sum(dim=(1, 2, 3, 4), keepdim=True) / size
        errors = errors * places / mean.clamp(min=1e-6)
    mse = (reduce(errors, "b c t h w -> b t", "mean") * weights).sum(dim=1)
    vlb = (reduce(losses.vlb, "b c t h w -> b t", "mean") * weights).sum(dim=1)
    rows = mse + config.vlb_weight * vlb
    return Objective(
        loss=rows.mean(), mse=mse.mean(), vlb=vlb.mean(), rows=rows, row_mse=mse, row_vlb=vlb
    )
