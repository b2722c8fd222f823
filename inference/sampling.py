"""Sampling one batch of windows: noise, network, guidance, solver, known frames held in place.

Noise is a function of (seed, absolute frame, step). That is what makes windows filled as a batch
equal to windows filled one by one, and a resumed video equal to an unbroken one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from datasets.draws import torch_generator
from inference.solvers import SamplerConfig, build_solver, clip_prediction
from models.system import System
from models.viton_dit import Conditions


@dataclass(frozen=True, kw_only=True)
class KnownFrames:
    """Frames that are given, by their latents."""

    latents: Float[Tensor, "b c t h w"]  # whatever where ``known`` is False
    known: Bool[Tensor, "b t"]


@torch.no_grad()
def sample_windows(
    system: System,
    config: SamplerConfig,
    conditions: Conditions,
    frames: Sequence[Sequence[int]],
    latent_size: tuple[int, int],
    seed: int,
    known: KnownFrames | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "b c t h w"]:
    """Paint the frames that are not known.

    Args:
        system: the networks, in eval mode on their device.
        config: solver, steps, guidance.
        conditions: on the same device; ``known`` and ``drop`` are set in here.
        frames: b windows of t absolute frame numbers, which name the noise.
        latent_size: height and width of the latents.
        seed: 0 or more.
        known: held at their latents through the walk, and handed back exactly.
        on_step: told (steps done, of how many).

    Returns:
        Clean latents in float32.
    """
    device = conditions.caption.device
    channels = system.codec.latent_channels
    shape = (channels, *latent_size)
    solver = build_solver(config, system.diffusion)
    start = draw_noise(frames, "start", shape, seed).to(device)
    latents = start
    held: Tensor | None = None
    if known is not None:
        conditions = replace(conditions, known=known.known)
        held = known.known[:, None, :, None, None]
    for position, timestep in enumerate(solver.timesteps):
        index = torch.full((len(frames),), timestep, device=device)
        if known is not None and held is not None:
            level = system.diffusion.q_sample(known.latents, index, start)
            if system.config.network.known_frames == "timestep":
                level = known.latents  # modulated as clean, so they enter clean
            latents = torch.where(held, level, latents)
        scale = config.guidance_scale if config.is_guided(position) else 1.0
        prediction = predict(system, latents, index, conditions, scale)
        if config.clip is not None:
            prediction = clip_prediction(
                prediction, latents, timestep, system.diffusion, config.clip
            )
        noise = None
        if solver.needs_noise:
            noise = draw_noise(frames, f"step {timestep}", shape, seed).to(device)
        latents = solver.step(position, prediction, latents, noise)
        if on_step is not None:
            on_step(position + 1, len(solver.timesteps))
    if known is None or held is None:
        return latents
    return torch.where(held, known.latents, latents)


def predict(
    system: System,
    latents: Float[Tensor, "b c t h w"],
    timesteps: Tensor,
    conditions: Conditions,
    guidance_scale: float,
) -> Float[Tensor, "b k t h w"]:
    """Guided noise | variance in float32; the variance is the garment side's.

    A network that predicts velocity is guided on it, which is the same: both are linear in x0.

    The ControlNet sees garment and caption on both sides of guidance (as in training), so one pass
    serves both; the null side's trunk skips the garment.
    """
    network = system.network
    residuals = network.control_residuals(latents, timesteps, conditions)
    prediction = network(latents, timesteps, conditions, residuals).float()
    if guidance_scale == 1.0:
        return system.diffusion.as_noise(prediction, latents, timesteps)
    dropped = torch.ones(latents.shape[0], dtype=torch.bool, device=latents.device)
    null_side = replace(conditions, drop=dropped)
    null = network(latents, timesteps, null_side, residuals).float()
    channels = latents.shape[1]
    painted, unpainted = prediction[:, :channels], null[:, :channels]
    guided = unpainted + guidance_scale * (painted - unpainted)
    prediction = torch.cat([guided, prediction[:, channels:]], dim=1)
    return system.diffusion.as_noise(prediction, latents, timesteps)


def draw_noise(
    frames: Sequence[Sequence[int]], purpose: str, shape: tuple[int, ...], seed: int
) -> Float[Tensor, "b c t h w"]:
    """Normal noise that depends on seed, purpose and each absolute frame alone; on the CPU."""
    drawn: dict[int, Tensor] = {}
    for frame in {frame for window in frames for frame in window}:
        drawn[frame] = torch.randn(shape, generator=torch_generator(seed, purpose, frame))
    return torch.stack([torch.stack([drawn[f] for f in window], dim=1) for window in frames])
