"""What the codec costs: memory of its weights and activations on a device, and operations."""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from models.codecs.dct import BLOCK
from models.codecs.learned import SmallAutoencoder
from models.codecs.vae import CodecConfig
from training.planning.fake_tensor_bytes import LiveBytes, to_fake
from training.planning.kl_layers import KlLayers


@dataclass(frozen=True, kw_only=True)
class AutoencoderShape:
    """Sizes of diffusers' AutoencoderKL; the defaults are those of sd-vae-ft-ema.

    ``sample_size``: px, of the pictures that it learned from, and of its tiles.
    """

    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    sample_size: int = 256

    @property
    def factor(self) -> int:
        """Pixels per latent along a side."""
        return 2 ** (len(self.widths) - 1)


@dataclass(frozen=True, kw_only=True)
class CodecBytes:
    """Bytes of the weights, and peak bytes of encoding and of decoding."""

    weights: int
    encoding: int
    decoding: int


def autoencoder_shape(config: CodecConfig) -> AutoencoderShape:
    """The autoencoder's sizes: of its config.json if it exists, else sd-vae-ft-ema's."""
    file = Path(config.path or "") / "config.json"
    if not file.is_file():
        return AutoencoderShape(latent_channels=config.latent_channels)
    given = json.loads(file.read_text(encoding="utf-8"))
    size = given.get("sample_size", 32)  # diffusers' own default
    return AutoencoderShape(
        latent_channels=int(given["latent_channels"]),
        widths=tuple(given["block_out_channels"]),
        layers_per_block=int(given["layers_per_block"]),
        sample_size=int(size[0] if isinstance(size, list) else size),
    )


@lru_cache(maxsize=16)
def image_flops(config: CodecConfig, height: int, width: int) -> tuple[float, float]:
    """Operations of encoding and of decoding one image; those of the DCT count as 0."""
    if config.kind == "dct":
        return 0.0, 0.0
    if config.kind == "learned":
        network = SmallAutoencoder(config.latent_channels).to("meta")
        channels, factor = config.latent_channels, BLOCK
    else:
        shape = autoencoder_shape(config)
        channels, factor = shape.latent_channels, shape.factor
        with torch.device("meta"):
            network = kl_layers(shape)
    with torch.device("meta"), torch.no_grad():
        with FlopCounterMode(display=False) as encoding:
            network.encode(torch.empty(1, 3, height, width))
        with FlopCounterMode(display=False) as decoding:
            network.decode(torch.empty(1, channels, height // factor, width // factor))
    return float(encoding.get_total_flops()), float(decoding.get_total_flops())


def codec_bytes(config: CodecConfig, height: int, width: int, num_images: int) -> CodecBytes:
    """Run the autoencoder on fake tensors, with the number of images it processes at once.

    The DCT codec has no weights and stores only its result: it counts as 0 bytes.
    """
    if config.kind == "dct":
        return CodecBytes(weights=0, encoding=0, decoding=0)
    count = min(config.frames_per_call, num_images)
    if config.kind == "learned":
        return _run_small(config.latent_channels, height, width, count)
    half = config.precision == "bfloat16"
    return _run(autoencoder_shape(config), half, config.tiling, height, width, count)


@lru_cache(maxsize=16)
def _run(
    shape: AutoencoderShape, half: bool, tiling: bool, height: int, width: int, count: int
) -> CodecBytes:
    with torch.device("meta"):
        network = diffusers_network(shape) if tiling else kl_layers(shape)
    return run_bytes(network, shape, half, height, width, count, tiling=tiling)


def run_bytes(
    network: Any,
    shape: AutoencoderShape,
    half: bool,
    height: int,
    width: int,
    count: int,
    *,
    tiling: bool = False,
) -> CodecBytes:
    """Run an autoencoder, made on the meta device, on ``count`` images of fake tensors.

    ``half``: under autocast to bfloat16; ``tiling``: decode in tiles, which diffusers' can.
    """
    with torch.no_grad(), FakeTensorMode():
        to_fake(network)
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
        images = torch.empty(count, 3, height, width)
        size = (height // shape.factor, width // shape.factor)
        latents = torch.empty(count, shape.latent_channels, *size)
        known = [*network.parameters(), images, latents]
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=half)
        network.use_tiling = tiling
        with LiveBytes(known) as decoding, autocast, _GpuNorms():
            made = network.decode(latents)
            (made if isinstance(made, Tensor) else made.sample).float()
        network.use_tiling = False  # encoding is never tiled
        with LiveBytes(known) as encoding, autocast, _GpuNorms():
            network.encode(images)
    return CodecBytes(weights=weights, encoding=encoding.peak, decoding=decoding.peak)


def kl_layers(shape: AutoencoderShape) -> KlLayers:
    """The layers of an autoencoder of this shape."""
    groups = _groups(shape)
    return KlLayers(shape.latent_channels, shape.widths, shape.layers_per_block, groups)


def diffusers_network(shape: AutoencoderShape) -> Any:
    """The real one, which can tile; its import takes several times as long as the run."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # slow to import

    build: Any = AutoencoderKL  # its annotations say tuples of one
    depth = len(shape.widths)
    return build(
        block_out_channels=shape.widths,
        norm_num_groups=_groups(shape),
        layers_per_block=shape.layers_per_block,
        latent_channels=shape.latent_channels,
        sample_size=shape.sample_size,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
    )


def _groups(shape: AutoencoderShape) -> int:
    return math.gcd(32, *shape.widths)


@lru_cache(maxsize=16)
def _run_small(latent_channels: int, height: int, width: int, count: int) -> CodecBytes:
    """The same for the learned codec."""
    network = SmallAutoencoder(latent_channels)
    with torch.no_grad(), FakeTensorMode():
        to_fake(network)
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
        images = torch.empty(count, 3, height, width)
        latents = torch.empty(count, latent_channels, height // BLOCK, width // BLOCK)
        known = [*network.parameters(), images, latents]
        with LiveBytes(known) as decoding:
            network.decode(latents)
        with LiveBytes(known) as encoding:
            network.encode(images)
    return CodecBytes(weights=weights, encoding=encoding.peak, decoding=decoding.peak)


class _GpuNorms(TorchFunctionMode):
    """Group norms in float32, as in autocast on a GPU but not on a CPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.group_norm:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))
