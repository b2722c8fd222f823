"""Sampling with the plain networks: guidance by a doubled batch, everything anew at each step.

Solvers and noise are ours (``inference``), so that the same solver gives the same clip.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from inference.sampling import draw_noise
from inference.solvers import SamplerConfig, build_solver
from models.diffusion import GaussianDiffusion
from tests.plain.network import PlainVitonDit


@torch.no_grad()
def sample_plain(
    network: PlainVitonDit,
    diffusion: GaussianDiffusion,
    config: SamplerConfig,
    caption: Tensor,
    garment: Tensor,
    control: Tensor,
    seed: int,
    extract_once: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """One window: ``control`` is (1, k, t, h, w), ``garment`` (1, c, h, w), ``caption`` (1, l, e).

    Returns:
        Clean latents (1, c, t, h, w).
    """
    device = control.device
    shape = (network.config.trunk.in_channels, *control.shape[-2:])
    frames = [list(range(control.shape[2]))]
    solver = build_solver(config, diffusion)
    latents = draw_noise(frames, "start", shape, seed).to(device)
    features = network.extract(garment, network.embed(caption), None) if extract_once else None
    for position, timestep in enumerate(solver.timesteps):
        rows = 2 if config.is_guided(position) else 1
        taps = None if features is None else [twice(tap, rows) for tap in features]
        both = network(
            twice(latents, rows),
            torch.full((rows,), timestep, device=device),
            twice(caption, rows),
            garment=twice(garment, rows),
            control=twice(control, rows),
            drop=torch.tensor([False, True][:rows], device=device) if rows == 2 else None,
            features=taps,
        ).float()
        prediction = both[:1]
        if rows == 2:
            channels = latents.shape[1]
            painted, null = both[:1, :channels], both[1:, :channels]
            guided = null + config.guidance_scale * (painted - null)
            prediction = torch.cat([guided, both[:1, channels:]], dim=1)
        index = torch.full((1,), timestep, device=device)
        prediction = diffusion.as_noise(prediction, latents, index)
        noise = None
        if solver.needs_noise:
            noise = draw_noise(frames, f"step {timestep}", shape, seed).to(device)
        latents = solver.step(position, prediction, latents, noise)
        if on_step is not None:
            on_step(position + 1, len(solver.timesteps))
    return latents


def twice(tensor: Tensor, rows: int) -> Tensor:
    """Copies along the batch."""
    return tensor.repeat(rows, *[1] * (tensor.dim() - 1))
