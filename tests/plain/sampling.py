"""Sampling with the plain networks: guidance by a doubled batch, everything anew at each step.

Solvers and noise are ours (``inference``), so that the same solver gives the same clip.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inference.sampling.long_video import LongVideoConfig, plan_windows
from inference.sampling.solvers import SamplerConfig, build_solver
from inference.sampling.windows import draw_noise
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
    frames: Sequence[int] | None = None,
    known: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """One window: ``control`` is (1, k, t, h, w), ``garment`` (1, c, h, w), ``caption`` (1, l, e).

    ``frames`` are their numbers in the video; ``known`` is (latents (1, c, t, h, w), (1, t) bool):
    held at their noise level through the walk.

    Returns:
        Clean latents (1, c, t, h, w).
    """
    device = control.device
    shape = (network.config.trunk.in_channels, *control.shape[-2:])
    numbers = [list(range(control.shape[2]) if frames is None else frames)]
    solver = build_solver(config, diffusion)
    start = draw_noise(numbers, "start", shape, seed).to(device)
    latents = start
    features = network.extract(garment, network.embed(caption), None) if extract_once else None
    for position, timestep in enumerate(solver.timesteps):
        if known is not None:
            level = diffusion.q_sample(known[0], torch.full((1,), timestep, device=device), start)
            latents = torch.where(known[1][:, None, :, None, None], level, latents)
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
            noise = draw_noise(numbers, f"step {timestep}", shape, seed).to(device)
        latents = solver.step(position, prediction, latents, noise)
        if on_step is not None:
            on_step(position + 1, len(solver.timesteps))
    if known is not None:
        latents = torch.where(known[1][:, None, :, None, None], known[0], latents)
    return latents


def twice(tensor: Tensor, rows: int) -> Tensor:
    """Copies along the batch."""
    return tensor.repeat(rows, *[1] * (tensor.dim() - 1))


@torch.no_grad()
def paint_plain(
    network: PlainVitonDit,
    diffusion: GaussianDiffusion,
    config: SamplerConfig,
    long_video: LongVideoConfig,
    window: int,
    caption: Tensor,
    garment: Tensor,
    control: Tensor,
    seed: int,
) -> Tensor:
    """A long video, window by window in the plan's order, each by itself: (k, t, h, w) -> (c, ...).

    ``network.config.known_frames`` must be "control".
    """
    channels = garment.shape[1]
    latents = torch.zeros(channels, *control.shape[1:])
    done = torch.zeros(control.shape[1], dtype=torch.bool)
    for step in plan_windows(control.shape[1], window, long_video):
        for part in step:
            frames = list(part.frames)
            known = done[frames].clone()
            seen = control[:, frames].clone()
            seen[:channels, known] = latents[:, frames][:, known]
            seen[-1:, known] = 0
            painted = sample_plain(
                network, diffusion, config, caption, garment, seen[None], seed, frames=frames,
                known=(latents[None, :, frames], known[None]),
            )  # fmt: skip
            latents[:, frames] = painted[0]
            done[frames] = True
    return latents
