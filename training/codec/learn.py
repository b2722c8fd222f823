"""The codec's training: one step reads as the algorithm; resumable from its own checkpoint."""

import logging
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from configs.console import Progress
from configs.errors import ConfigError
from datasets.seeding import torch_generator
from datasets.storage import write_file
from models.codecs.dct import filters
from models.codecs.learned import SmallAutoencoder
from models.weights.files import read_torch_file
from training.callbacks.stopping import StopSignals
from training.codec.config import CodecTraining
from training.codec.crops import Crops

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
SMOOTHING = 0.03
"""Below this error, in [-1, 1], the loss is nearly quadratic; above, nearly linear."""
WHITENESS_WEIGHT = 0.02
"""Of the distance of latents' mean and variance from 0 and 1. What is left of it is removed after
training by measuring both."""
_FREE_TO_CHANGE = ("max_steps", "out", "work", "workers", "num_unseen", "checkpoint_every_steps")


def learn(config: CodecTraining, crops: Crops, signals: StopSignals) -> SmallAutoencoder | None:
    """Train, resuming from the work folder; the averaged weights, or None if a signal stopped it.

    Raises:
        ConfigError: the work folder holds a run with other settings.
    """
    torch.manual_seed(config.seed)
    network = SmallAutoencoder(config.latent_channels).to(memory_format=torch.channels_last)
    average = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), config.lr, (0.9, 0.99), weight_decay=1e-4)
    file = Path(config.work) / CHECKPOINT
    first, schedule = _resume(config, file, network, average, optimizer)
    save = partial(_save, config, file, network, average, optimizer, schedule)
    with Progress("training the codec", config.max_steps, done=first) as progress:
        signals.listen()
        for step in range(first, config.max_steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            loss, error = training_loss(config, network, crops.batch(step), step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            _follow(average, network, min(config.ema_decay, (1 + step) / (10 + step)))
            done = step + 1
            progress.update(done, note=f"error {error:.4f}, loss {loss.item():.4f}")
            if done % config.checkpoint_every_steps == 0 or signals.received:
                save(done)
            if signals.received and done < config.max_steps:
                signals.is_stopping = True
                break
        signals.ignore()
    if signals.is_stopping:
        return None
    save(config.max_steps)
    return average.eval()


def schedule_of(config: CodecTraining) -> list[list[int]]:
    """(from step, max_steps) of each part of a run: more than one if max_steps was changed."""
    return read_torch_file(Path(config.work) / CHECKPOINT)["schedule"]


def learning_rate(config: CodecTraining, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    rise = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    share = min(1.0, step / config.max_steps)
    return config.lr * rise * (0.01 + 0.99 * 0.5 * (1 + cos(pi * share)))


def training_loss(
    config: CodecTraining, network: SmallAutoencoder, images: Float[Tensor, "b 3 h w"], step: int
) -> tuple[Tensor, float]:
    """The loss of one batch, and the root mean square error of its pictures in [-1, 1]."""
    images = images.contiguous(memory_format=torch.channels_last)
    latents = network.encode(images)
    noise = latent_noise(latents.shape, config.latent_noise, config.seed, step)
    decoded = network.decode(latents + noise)
    error = decoded - images
    loss = smooth_error(error) + WHITENESS_WEIGHT * unwhiteness(latents)
    if config.edge_weight:
        edges = smooth_error(error.diff(dim=-1)) + smooth_error(error.diff(dim=-2))
        loss = loss + 0.5 * config.edge_weight * edges
    if config.ssim_weight:
        loss = loss + config.ssim_weight * (1.0 - box_ssim(decoded, images))
    return loss, float(error.detach().square().mean().sqrt())


def smooth_error(error: Tensor) -> Tensor:
    """Charbonnier: sqrt(error^2 + s^2) - s, averaged."""
    return (torch.sqrt(error.square() + SMOOTHING**2) - SMOOTHING).mean()


def unwhiteness(latents: Float[Tensor, "b c h w"]) -> Tensor:
    """Squared distance of each channel's mean and log-variance from 0, averaged."""
    variance, mean = torch.var_mean(latents, dim=(0, 2, 3))
    return (mean.square() + torch.log(variance + 1e-6).square()).mean()


def latent_noise(
    shape: torch.Size, largest: float, seed: int, step: int
) -> Float[Tensor, "b c h w"]:
    """Noise as a diffusion network's errors: none in a third of the pictures, else up to largest.

    It has equal variance in every channel at whitening 0.5; latents here are fully whitened, so
    channels that move the picture more get less.
    """
    generator = torch_generator(seed, "codec latent noise", step)
    stds = filters()[1][: shape[1]].float()
    shares = (1.0 / stds).sqrt()
    shares = shares / shares.square().mean().sqrt()
    levels = largest * (1.5 * torch.rand(shape[0], generator=generator) - 0.5).clamp(min=0.0)
    noise = torch.randn(shape, generator=generator)
    return noise * shares[:, None, None] * levels[:, None, None, None]


def box_ssim(first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Tensor:
    """Mean SSIM of pictures in [-1, 1] over windows of 7 x 7, for the loss only."""
    means = F.avg_pool2d(torch.cat([first, second, first * second, first**2 + second**2], 1), 7, 1)
    one, two, product, squares = means.chunk(4, dim=1)
    likeness = (2 * one * two + 4e-4) * (2 * (product - one * two) + 3.6e-3)
    size = (one**2 + two**2 + 4e-4) * (squares - one**2 - two**2 + 3.6e-3)
    return (likeness / size).mean()


@torch.no_grad()
def _follow(average: SmallAutoencoder, network: SmallAutoencoder, decay: float) -> None:
    for own, other in zip(average.parameters(), network.parameters(), strict=True):
        own.lerp_(other, 1.0 - decay)


def _save(
    config: CodecTraining,
    file: Path,
    network: SmallAutoencoder,
    average: SmallAutoencoder,
    optimizer: torch.optim.Optimizer,
    schedule: list[list[int]],
    step: int,
) -> None:
    content = {
        "step": step, "schedule": schedule, "config": asdict(config),
        "network": network.state_dict(), "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }  # fmt: skip
    write_file(file, partial(torch.save, content))


def _resume(
    config: CodecTraining,
    file: Path,
    network: SmallAutoencoder,
    average: SmallAutoencoder,
    optimizer: torch.optim.Optimizer,
) -> tuple[int, list[list[int]]]:
    """Load the checkpoint, if there is one: steps done, and (from step, max_steps) of each run."""
    if not file.is_file():
        return 0, [[0, config.max_steps]]
    content: dict[str, Any] = read_torch_file(file)
    stored, now = content["config"], asdict(config)
    for key in {**now, **stored}:  # also what this version does not have
        if key not in _FREE_TO_CHANGE and stored.get(key) != now.get(key):
            raise ConfigError(
                f"{file} was trained with {key}={stored.get(key)}, now {now.get(key)}; resume with"
                " the same settings, give another work=DIR, or remove it"
            )
    network.load_state_dict(content["network"])
    average.load_state_dict(content["average"])
    optimizer.load_state_dict(content["optimizer"])
    logger.info("%s: resuming from step %d of %d", file, content["step"], config.max_steps)
    step, schedule = int(content["step"]), content.get("schedule", [[0, stored["max_steps"]]])
    if schedule[-1][1] != config.max_steps:
        schedule = [*schedule, [step, config.max_steps]]
    return step, schedule
