"""Memory of the codec on a device: its weights, and its activations in encoding and decoding."""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from models.codecs.vae import CodecConfig
from training.planning.fake_tensor_bytes import LiveBytes, to_fake


@dataclass(frozen=True, kw_only=True)
class AutoencoderShape:
    """Sizes of diffusers' AutoencoderKL; the defaults are Stable Diffusion's."""

    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2


@dataclass(frozen=True, kw_only=True)
class CodecBytes:
    """Bytes of the weights, and peak bytes of encoding and of decoding."""

    weights: int
    encoding: int
    decoding: int


def autoencoder_shape(config: CodecConfig) -> AutoencoderShape:
    """The autoencoder's sizes: of its config.json if it exists, else Stable Diffusion's."""
    file = Path(config.path or "") / "config.json"
    if not file.is_file():
        return AutoencoderShape(latent_channels=config.latent_channels)
    given = json.loads(file.read_text(encoding="utf-8"))
    return AutoencoderShape(
        latent_channels=int(given["latent_channels"]),
        widths=tuple(given["block_out_channels"]),
        layers_per_block=int(given["layers_per_block"]),
    )


def codec_bytes(config: CodecConfig, height: int, width: int, num_images: int) -> CodecBytes:
    """Run the autoencoder on fake tensors, with the number of images it processes at once.

    The DCT codec has no weights and stores only its result: it counts as 0 bytes.
    """
    if config.kind == "dct":
        return CodecBytes(weights=0, encoding=0, decoding=0)
    count = min(config.frames_per_call, num_images)
    half = config.precision == "bfloat16"
    return _run(autoencoder_shape(config), half, config.tiling, height, width, count)


@lru_cache(maxsize=16)
def _run(
    shape: AutoencoderShape, half: bool, tiling: bool, height: int, width: int, count: int
) -> CodecBytes:
    with torch.no_grad(), FakeTensorMode():
        with torch.device("meta"):
            network = build_autoencoder(shape)
        to_fake(network)
        network.use_tiling = tiling
        weights = sum(p.numel() * p.element_size() for p in network.parameters())
        images = torch.empty(count, 3, height, width)
        factor = 2 ** (len(shape.widths) - 1)
        latents = torch.empty(count, shape.latent_channels, height // factor, width // factor)
        known = [*network.parameters(), images, latents]
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=half)
        with LiveBytes(known) as decoding, autocast, _GpuNorms():
            network.decode(latents).sample.float()
        network.use_tiling = False  # encoding is never tiled
        with LiveBytes(known) as encoding, autocast, _GpuNorms():
            network.encode(images).latent_dist.mode()
    return CodecBytes(weights=weights, encoding=encoding.peak, decoding=decoding.peak)


def build_autoencoder(shape: AutoencoderShape) -> Any:
    """The autoencoder with random weights."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # slow to import

    build: Any = AutoencoderKL  # its annotations say tuples of one
    depth = len(shape.widths)
    return build(
        block_out_channels=shape.widths,
        norm_num_groups=math.gcd(32, *shape.widths),
        layers_per_block=shape.layers_per_block,
        latent_channels=shape.latent_channels,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
    )


class _GpuNorms(TorchFunctionMode):
    """Group norms in float32, as in autocast on a GPU but not on a CPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.group_norm:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))
