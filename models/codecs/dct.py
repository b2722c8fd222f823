"""The codec without weights: an orthonormal 8 x 8 block DCT whose lowest frequencies are latents.

For the demo, tests and learning without an autoencoder. Not part of VITON-DiT. Reconstruction by
number of channels (PSNR in dB; photos and clips of people | rendered dancers):

====================  =============  =============  =============
channels              128 x 96       256 x 192      512 x 384
====================  =============  =============  =============
4                     21.8 | 22.4    23.9 | 23.8    26.1 | 25.6
16                    27.1 | 27.5    29.9 | 30.2    33.7 | 32.7
24                    28.9 | 29.2    32.0 | 32.0    36.3 | 34.7
32                    30.6 | 30.5    33.9 | 33.1    38.6 | 35.7
48                    34.1 | 33.0    37.5 | 35.7    42.6 | 38.2
192                   exact to float32
====================  =============  =============  =============

16 channels blur faces and stripes of four pixels; 24 to 32 show both at 128 x 96.
"""

from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 8
MAX_CHANNELS = 3 * BLOCK * BLOCK
MIN_CHANNELS = 4

PLANES = (
    (1.0, 1.0, 1.0),  # lightness
    (1.0, 0.0, -1.0),  # red against blue
    (1.0, -2.0, 1.0),  # red and blue against green
)
"""Opponent colours of RGB; with normalised rows the colour transform is orthonormal."""

DC_STD = (5.5, 1.5, 0.9)
AC_STD = (1.4, 0.3, 0.19)
AC_EXPONENT = 1.25
"""Between the values measured on 27 natural pictures of people and garments and on 24 rendered
dancers, at 128 x 96 to 512 x 384; with them each channel's root mean square is 0.5 to 1.7."""


def coefficient_std(plane: int, row: int, column: int) -> float:
    """Expected root mean square of a coefficient of video in [-1, 1], about gray.

    DC: a constant per plane; else AC_STD / (row + column) ^ AC_EXPONENT.
    """
    if row == column == 0:
        return DC_STD[plane]
    return AC_STD[plane] / (row + column) ** AC_EXPONENT


@lru_cache(maxsize=1)
def filters() -> tuple[Float[Tensor, "192 3 8 8"], Float[Tensor, " 192"]]:
    """All 192 filters, those of greatest expected variance first, and their expected stds.

    The filters are an orthonormal basis of a block's 192 numbers; float64.
    """
    index = torch.arange(BLOCK, dtype=torch.float64)
    waves = torch.cos(torch.pi * (2 * index[None] + 1) * index[:, None] / (2 * BLOCK))
    waves = waves * torch.where(index == 0, (1 / BLOCK) ** 0.5, (2 / BLOCK) ** 0.5)[:, None]
    planes = torch.tensor(PLANES, dtype=torch.float64)
    planes = F.normalize(planes, dim=1)
    basis = torch.einsum("pc,uy,vx->puvcyx", planes, waves, waves)
    names = [(p, u, v) for p in range(3) for u in range(BLOCK) for v in range(BLOCK)]
    # ties: filters that vary along one axis only come first, then by plane and row
    names.sort(key=lambda name: (-coefficient_std(*name), -abs(name[1] - name[2])))
    stds = torch.tensor([coefficient_std(*name) for name in names], dtype=torch.float64)
    return torch.stack([basis[name] for name in names]), stds


class DctCodec(nn.Module):
    """Block DCT of opponent colours; channel i is the i-th filter's response over its expected std.

    Gray (0 in [-1, 1]) is latent 0. The codec works on its input's device.

    Args:
        latent_channels: number of coefficients kept, 4 to 192.
        whitening: 1 gives every channel the same expected variance, so that noise hides all of them
            at the same timestep. 0 keeps the pixels' own proportions: fine detail is lost first and
            colours last, as in pixel diffusion. The mean variance over channels is 1 either way.
    """

    factor = BLOCK
    analysis: Tensor
    synthesis: Tensor

    def __init__(self, latent_channels: int, whitening: float = 1.0) -> None:
        super().__init__()
        if not MIN_CHANNELS <= latent_channels <= MAX_CHANNELS:
            raise ValueError(
                f"the DCT codec keeps {MIN_CHANNELS} to {MAX_CHANNELS} channels,"
                f" not {latent_channels}"
            )
        self.latent_channels = latent_channels
        self.name = f"dct{latent_channels}" + ("" if whitening == 1 else f"-w{whitening:g}")
        kernels, stds = filters()
        kernels, stds = kernels[:latent_channels], stds[:latent_channels, None, None, None]
        left = stds ** (1 - whitening)  # RMS of the channels, up to one common factor
        stds = stds**whitening * left.square().mean().sqrt()
        self.register_buffer("analysis", (kernels / stds).float(), persistent=False)
        self.register_buffer("synthesis", (kernels * stds).float(), persistent=False)

    def encode(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b c t h/8 w/8"]:
        """Latents of about unit variance.

        Raises:
            ValueError: height or width is not a multiple of 8.
        """
        latents = self.encode_images(rearrange(video, "b t c h w -> (b t) c h w"))
        return rearrange(latents, "(b t) c h w -> b c t h w", b=video.shape[0])

    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h/8 w/8"]:
        """Latents of single images."""
        if images.shape[-2] % BLOCK or images.shape[-1] % BLOCK:
            raise ValueError(
                f"height and width must be multiples of {BLOCK}, not {tuple(images.shape[-2:])}"
            )
        with torch.autocast(images.device.type, enabled=False):
            return F.conv2d(images.float(), self.analysis.to(images.device), stride=BLOCK)

    def decode(self, latents: Float[Tensor, "b c t y x"]) -> Float[Tensor, "b t 3 y*8 x*8"]:
        """The video, clamped to [-1, 1]."""
        frames = rearrange(latents, "b c t h w -> (b t) c h w")
        with torch.autocast(latents.device.type, enabled=False):
            images = F.conv_transpose2d(
                frames.float(), self.synthesis.to(latents.device), stride=BLOCK
            )
        return rearrange(images, "(b t) c h w -> b t c h w", b=latents.shape[0]).clamp(-1.0, 1.0)
