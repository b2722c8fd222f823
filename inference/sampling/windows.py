"""Sampling one batch of windows: noise, network, guidance, solver, known frames held in place.

Noise is a function of (seed, absolute frame, step). Therefore windows filled as a batch equal
windows filled one by one, and a resumed video equals an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from datasets.seeding import torch_generator
from inference.sampling.feature_cache import FeatureCache
from inference.sampling.solvers import SamplerConfig, build_solver, clip_prediction
from models.conditions import Conditions
from models.system import System


@dataclass(frozen=True, kw_only=True)
class KnownFrames:
    """Frames that are given, as latents."""

    latents: Float[Tensor, "b c t h w"]  # ignored where ``known`` is False
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
    noise_sharing: float = 0.0,
) -> Float[Tensor, "b c t h w"]:
    """Paint the frames that are not known.

    Args:
        system: the networks, in eval mode on their device.
        config: solver, steps, guidance.
        conditions: on the same device, best projected (``VitonDiT.project``); this function sets
            ``known``.
        frames: b windows of t absolute frame numbers, which select the noise.
        latent_size: height and width of the latents.
        seed: 0 or more.
        known: held at their latents during all steps, and returned exactly.
        on_step: called with (steps done, their total).
        noise_sharing: see ``draw_noise``.

    Returns:
        Clean latents in float32.
    """
    device = conditions.caption.tokens.device
    channels = system.codec.latent_channels
    shape = (channels, *latent_size)
    solver = build_solver(config, system.diffusion)
    start = draw_noise(frames, "start", shape, seed, noise_sharing).to(device)
    latents = start
    held: Tensor | None = None
    if known is not None:
        conditions = replace(conditions, known=known.known)
        held = known.known[:, None, :, None, None]
    null_side = make_null_side(system, conditions, config) if config.is_ever_guided else None
    cache = FeatureCache(system.network, config)
    for position, timestep in enumerate(solver.timesteps):
        index = torch.full((len(frames),), timestep, device=device)
        if known is not None and held is not None:
            level = system.diffusion.q_sample(known.latents, index, start)
            if system.config.network.modulates_known_frames:
                level = known.latents  # modulated as clean, so they enter clean
            latents = torch.where(held, level, latents)
        other_side = null_side if config.is_guided(position) else None
        cache.begin_step(position)
        prediction = predict(system, latents, index, conditions, other_side, config, cache)
        if config.clip is not None:
            prediction = clip_prediction(
                prediction, latents, timestep, system.diffusion, config.clip
            )
        noise = None
        if solver.needs_noise:
            purpose = f"step {timestep}"
            noise = draw_noise(frames, purpose, shape, seed, noise_sharing).to(device)
        latents = solver.step(position, prediction, latents, noise)
        if on_step is not None:
            on_step(position + 1, len(solver.timesteps))
    latents = system.keep_certain(latents, conditions)
    if known is None or held is None:
        return latents
    return torch.where(held, known.latents, latents)


def make_null_side(system: System, conditions: Conditions, config: SamplerConfig) -> Conditions:
    """What guidance moves away from: null caption, no garment; once for all steps."""
    null_mask = "prompt" if config.guidance == "legacy" else None
    return system.network.null_side(conditions, null_mask)


def predict(
    system: System,
    latents: Float[Tensor, "b c t h w"],
    timesteps: Tensor,
    conditions: Conditions,
    null_side: Conditions | None,
    config: SamplerConfig,
    cache: FeatureCache | None = None,
) -> Float[Tensor, "b k t h w"]:
    """Guided noise | variance in float32; the variance is the garment side's.

    A network that predicts velocity is guided on it, which is the same: both are linear in x0.

    The ControlNet sees garment and caption on both sides of guidance (as in training), so one pass
    serves both; the null side's trunk skips the garment.

    Args:
        system: the networks.
        latents: noisy ones.
        timesteps: their original indices.
        conditions: of the painted side.
        null_side: of the other; None is no guidance, and half the work.
        config: scale and kind of guidance.
        cache: features of earlier steps; None computes everything.
    """
    cache = cache or FeatureCache(system.network, config)
    residuals = cache.control_residuals(latents, timesteps, conditions)
    prediction = cache.predict("painted", latents, timesteps, conditions, residuals).float()
    if null_side is not None:
        null = cache.predict("null", latents, timesteps, null_side, residuals).float()
        prediction = guide(prediction, null, config.guidance_scale, config.num_guided(latents))
    prediction = system.refine(prediction, conditions, timesteps)
    return system.diffusion.as_noise(prediction, latents, timesteps)


def guide(
    painted: Float[Tensor, "b k t h w"],
    null: Float[Tensor, "b k t h w"],
    scale: float,
    num_channels: int,
) -> Float[Tensor, "b k t h w"]:
    """Move the first channels of a prediction away from the null side's; keep the others.

    Classifier-free guidance (Ho and Salimans 2022), null + scale (painted - null).
    """
    first, rest = painted[:, :num_channels], painted[:, num_channels:]
    pushed = null[:, :num_channels] + scale * (first - null[:, :num_channels])
    return torch.cat([pushed, rest], dim=1)


def draw_noise(
    frames: Sequence[Sequence[int]],
    purpose: str,
    shape: tuple[int, ...],
    seed: int,
    sharing: float = 0.0,
) -> Float[Tensor, "b c t h w"]:
    """Normal noise that depends only on seed, purpose and each absolute frame; on the CPU.

    Args:
        frames: b windows of t absolute frame numbers.
        purpose: each purpose gets its own noise.
        shape: of one frame.
        seed: 0 or more.
        sharing: share of the variance that all frames of the video have in common (the mixed noise
            of PYoCo, Ge et al. 2023, section 4.1): steadies what does not need to move.
    """
    drawn: dict[int, Tensor] = {}
    for frame in {frame for window in frames for frame in window}:
        drawn[frame] = torch.randn(shape, generator=torch_generator(seed, purpose, frame))
    noise = torch.stack([torch.stack([drawn[f] for f in window], dim=1) for window in frames])
    if sharing == 0:
        return noise
    common = torch.randn(shape, generator=torch_generator(seed, f"{purpose}, all frames", 0))
    return sharing**0.5 * common[None, :, None] + (1 - sharing) ** 0.5 * noise
