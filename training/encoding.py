"""Batches -> latents: the only place where training calls the codec or uses cached latents."""

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from configs.errors import ConfigError
from datasets.loading.latents import CacheKey, LatentBatch
from datasets.sample import NumberedBatch, SampleFormat, TryOnBatch
from models.codecs.vae import codec_identity, pin_codec
from models.system import System, SystemConfig
from training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class EncodedBatch:
    """Inputs of a training step; k = 2 c + 1: agnostic | DensePose | mask.

    Each of g garments serves b / g consecutive rows.
    """

    latents: Float[Tensor, "b c t y x"]
    control: Float[Tensor, "b k t y x"]
    garment: Float[Tensor, "g c y2 x2"]
    known: Bool[Tensor, "b t"]
    numbers: Int[Tensor, " b"]
    body: Float[Tensor, "b 4 t y x"] | None = None
    matched: Float[Tensor, "b t y x 3"] | None = None
    outline: Float[Tensor, "g 16 12"] | None = None

    def as_images(self) -> "EncodedBatch":
        """Every frame as a row of its own."""
        t = self.latents.shape[2]

        def rows(part: Tensor) -> Tensor:
            return rearrange(part, "b c t y x -> (b t) c 1 y x")

        each = torch.arange(t, device=self.numbers.device)
        return replace(
            self,
            latents=rows(self.latents),
            control=rows(self.control),
            known=rearrange(self.known, "b t -> (b t) 1"),
            numbers=(self.numbers[:, None] * t + each).flatten(),
            body=None if self.body is None else rows(self.body),
            matched=None
            if self.matched is None
            else rearrange(self.matched, "b t y x c -> (b t) 1 y x c"),
        )


def cache_key(config: TrainConfig) -> CacheKey:
    """The settings that a latent cache for this run must have been made with.

    Raises:
        ConfigError: the codec's files are missing.
    """
    try:
        codec = codec_identity(config.system.codec)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sizes = config.data.sizes(config.system.height, config.system.width)
    return CacheKey(
        codec=codec,
        sizes=[list(size) for size in sizes],
        dtype=config.data.latent_dtype,
        format=sample_format(config.system),
    )


def sample_format(system: SystemConfig) -> SampleFormat:
    """How a system wants its conditions."""
    return SampleFormat(
        drawing=system.densepose,
        garment_scale=system.garment_scale,
        places=system.network.finds_places,
    )


def pinned(config: TrainConfig) -> TrainConfig:
    """The settings with the learned codec's hash, which the run's checkpoints keep.

    Raises:
        ConfigError: the codec's file is missing, or another one than the settings name.
    """
    try:
        codec = pin_codec(config.system.codec)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return replace(config, system=replace(config.system, codec=codec))


@torch.no_grad()
def encode_batch(system: System, batch: NumberedBatch | LatentBatch) -> EncodedBatch:
    """Latents of the ground truth and the conditions; conditions of known frames are swapped.

    Args:
        system: its codec encodes pixels; unused for cached latents.
        batch: pixels or cached latents.
    """
    if isinstance(batch, LatentBatch):
        latents, control, garment = batch.video, batch.control, batch.garment
    else:
        latents = system.codec.encode(batch.video)
        control, garment = encode_conditions(system, batch)
    encoded = EncodedBatch(
        latents=latents, control=control, garment=garment, known=batch.known, numbers=batch.numbers,
        body=batch.body, matched=batch.places, outline=batch.outline,
    )  # fmt: skip
    return encoded.as_images() if batch.is_images else encoded


@torch.no_grad()
def encode_conditions(
    system: System, batch: TryOnBatch
) -> tuple[Float[Tensor, "b k t y x"], Float[Tensor, "b c y2 x2"]]:
    """Only the conditions: control input and garment latents."""
    return system.encode_conditions(batch.agnostic, batch.mask, batch.densepose, batch.garment)
