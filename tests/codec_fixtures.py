"""A tiny autoencoder on disk, as diffusers stores them."""

from pathlib import Path

import torch


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
