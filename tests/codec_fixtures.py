"""A tiny autoencoder on disk, as diffusers stores them."""

from pathlib import Path

import torch

from models.codecs.learned import SmallAutoencoder, pack
from models.weights.files import write_weights


def write_tiny_vae(folder: Path) -> Path:
    """An AutoencoderKL of diffusers with random weights: 8 pixels to a latent, 4 channels."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        mid_block_add_attention=False,
    ).save_pretrained(folder)
    return folder


def write_small_codec(path: Path, latent_channels: int = 4, mean: float = 0.0) -> Path:
    """The embedded learned codec before any training: the DCT, in its file's format."""
    torch.manual_seed(0)
    ones = torch.ones(latent_channels)
    write_weights(path, pack(SmallAutoencoder(latent_channels), mean * ones, ones, ones))
    return path
