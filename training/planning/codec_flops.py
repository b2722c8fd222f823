"""Floating-point operations of a codec, a KL autoencoder's in closed form; FLOP = 2 multiply-adds.

Counted are convolutions and matrix products, as torch's ``FlopCounterMode`` counts them: a
convolution of side s from a to b channels on n places takes 2 n a b s^2. Source of the layout:
diffusers' ``AutoencoderKL``.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.codecs.dct import BLOCK
from models.codecs.learned import SmallAutoencoder


@dataclass(frozen=True, kw_only=True)
class AutoencoderShape:
    """Sizes of diffusers' AutoencoderKL; the defaults are Stable Diffusion's."""

    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2


def encode_flops(shape: AutoencoderShape, height: int, width: int) -> float:
    """One image of height x width pixels through the autoencoder's encoder."""
    area, wide = float(height * width), shape.widths[0]
    count = _conv(area, 3, wide)
    for level, out in enumerate(shape.widths):
        for _ in range(shape.layers_per_block):
            count += _resnet(area, wide, out)
            wide = out
        if level < len(shape.widths) - 1:
            area /= 4
            count += _conv(area, wide, wide)
    channels = 2 * shape.latent_channels
    return count + _middle(area, wide) + _conv(area, wide, channels) + 2 * area * channels**2


def decode_flops(shape: AutoencoderShape, height: int, width: int) -> float:
    """One image of height x width pixels out of the autoencoder's decoder."""
    area, wide = height * width / 4 ** (len(shape.widths) - 1), shape.widths[-1]
    channels = shape.latent_channels
    count = 2 * area * channels**2 + _conv(area, channels, wide) + _middle(area, wide)
    for level, out in enumerate(reversed(shape.widths)):
        for _ in range(shape.layers_per_block + 1):
            count += _resnet(area, wide, out)
            wide = out
        if level < len(shape.widths) - 1:
            area *= 4
            count += _conv(area, wide, wide)
    return count + _conv(area, wide, 3)


@lru_cache(maxsize=16)
def learned_flops(latent_channels: int, height: int, width: int) -> tuple[float, float]:
    """Encoding and decoding one image with the learned codec, as torch counts them."""
    network = SmallAutoencoder(latent_channels).to("meta")
    image = torch.empty(1, 3, height, width, device="meta")
    latents = torch.empty(1, latent_channels, height // BLOCK, width // BLOCK, device="meta")
    with torch.no_grad():
        with FlopCounterMode(display=False) as encoding:
            network.encode(image)
        with FlopCounterMode(display=False) as decoding:
            network.decode(latents)
    return float(encoding.get_total_flops()), float(decoding.get_total_flops())


def _conv(area: float, wide_in: int, wide_out: int, side: int = 3) -> float:
    return 2.0 * area * wide_in * wide_out * side**2


def _resnet(area: float, wide_in: int, wide_out: int) -> float:
    shortcut = _conv(area, wide_in, wide_out, 1) if wide_in != wide_out else 0.0
    return _conv(area, wide_in, wide_out) + _conv(area, wide_out, wide_out) + shortcut


def _middle(area: float, wide: int) -> float:
    """Residual block, attention of all places to all, residual block."""
    return 2 * _resnet(area, wide, wide) + 4 * _conv(area, wide, wide, 1) + 4 * area**2 * wide
