"""Floating-point operations of a KL autoencoder, counted by torch; FLOP = 2 multiply-adds."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.planning.codec_memory import AutoencoderShape, build_autoencoder


@lru_cache
def encode_flops(shape: AutoencoderShape, height: int, width: int) -> float:
    """One image of height x width pixels through the autoencoder's encoder."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_autoencoder(shape).encode(torch.empty(1, 3, height, width))
    return float(counter.get_total_flops())


@lru_cache
def decode_flops(shape: AutoencoderShape, height: int, width: int) -> float:
    """One image of height x width pixels out of the autoencoder's decoder."""
    factor = 2 ** (len(shape.widths) - 1)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        latents = torch.empty(1, shape.latent_channels, height // factor, width // factor)
        build_autoencoder(shape).decode(latents)
    return float(counter.get_total_flops())
