"""Embeddings of latents, positions, timesteps and captions at the network's width.

Source: Open-Sora v1.0.0, ``opensora/models/layers/blocks.py``. Attribute names are a checkpoint
contract (``x_embedder.proj``, ``t_embedder.mlp``, ``y_embedder.y_proj``): do not rename them. What
differs from the source: positions are computed for the current grid instead of stored; timesteps
stay in float32 regardless of the weights' dtype; tokens leave the patch embedding in that dtype.
"""

import math
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

TIMESTEP_FREQUENCIES = 256
"""Width of a timestep's sinusoid."""


def sinusoid(positions: Float[Tensor, " n"], dim: int) -> Float[Tensor, "n {dim}"]:
    """``[sin | cos]`` of each position at ``dim / 2`` frequencies, 10000^(-i / (dim / 2))."""
    frequencies = torch.arange(dim // 2, dtype=positions.dtype, device=positions.device)
    angles = positions[:, None] * 10000.0 ** (-frequencies / (dim / 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@lru_cache(maxsize=64)
def spatial_positions(
    height: int, width: int, dim: int, scale: float, device: torch.device
) -> Float[Tensor, "{height}*{width} {dim}"]:
    """Positions of a token grid: the first half of ``dim`` encodes the column, the second the row.

    Computed in float64, cached in float32 per grid and device.

    Args:
        height: rows of tokens.
        width: columns of tokens.
        dim: width of the network, a multiple of 4.
        scale: divides an index (1.0 at 512 pixels, 0.5 at 256).
        device: of the result.
    """
    with torch.inference_mode(False), torch.no_grad():
        columns = sinusoid(torch.arange(width, dtype=torch.float64) / scale, dim // 2)
        rows = sinusoid(torch.arange(height, dtype=torch.float64) / scale, dim // 2)
        grid = torch.cat(
            [
                columns[None].expand(height, -1, -1),
                rows[:, None].expand(-1, width, -1),
            ],
            dim=-1,
        )
        return rearrange(grid, "h w d -> (h w) d").to(torch.float32).to(device)


@lru_cache(maxsize=64)
def temporal_positions(
    num_frames: int, dim: int, scale: float, device: torch.device
) -> Float[Tensor, "{num_frames} {dim}"]:
    """Positions of frames 0 .. num_frames - 1; computed in float64, cached in float32."""
    with torch.inference_mode(False), torch.no_grad():
        frames = sinusoid(torch.arange(num_frames, dtype=torch.float64) / scale, dim)
        return frames.to(torch.float32).to(device)


class PatchEmbedding(nn.Module):
    """Splits latents into patches and projects each: a convolution whose stride is its kernel."""

    def __init__(self, in_channels: int, dim: int, patch_size: list[int]) -> None:
        super().__init__()
        time, height, width = patch_size
        self.patch_size = (time, height, width)
        self.proj = nn.Conv3d(in_channels, dim, self.patch_size, self.patch_size)

    def forward(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b f s d"]:
        """Tokens by frame, then row by row, in the weights' dtype.

        Under autocast the residual stream that starts here is therefore float32, and so are all
        norms; only the products inside have lower precision.

        Raises:
            ValueError: a side of the latents is not a multiple of the patch.
        """
        if any(
            size % patch for size, patch in zip(latents.shape[2:], self.patch_size, strict=True)
        ):
            raise ValueError(
                f"latents of {tuple(latents.shape[2:])} (frames, height, width) cannot be cut into"
                f" patches of {self.patch_size}"
            )
        latents = latents.to(self.proj.weight.dtype)
        if self.patch_size[0] == 1:  # the same product, faster as a convolution of images
            weight = self.proj.weight.squeeze(2)
            images = rearrange(latents, "b c t h w -> (b t) c h w")
            tokens = F.conv2d(images, weight, self.proj.bias, stride=self.patch_size[1:])
            tokens = rearrange(tokens, "(b t) d h w -> b t (h w) d", b=latents.shape[0])
        else:
            tokens = rearrange(self.proj(latents), "b d t h w -> b t (h w) d")
        return tokens.to(self.proj.weight.dtype)


class FeedForward(nn.Module):
    """Linear, GELU (tanh form), Linear."""

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim_in, dim_hidden)
        self.fc2 = nn.Linear(dim_hidden, dim_out)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        """Acts on the last axis."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class TimestepEmbedding(nn.Module):
    """Timesteps -> vectors, always in float32.

    In bfloat16 only 507 of 1000 timesteps stay distinct, so autocast is switched off here.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(TIMESTEP_FREQUENCIES, dim), nn.SiLU(), nn.Linear(dim, dim)
        )

    def forward(self, timesteps: Num[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """``[cos | sin]`` at 128 frequencies exp(-ln(10000) i / 128), then the two layers."""
        half = TIMESTEP_FREQUENCIES // 2
        index = torch.arange(half, dtype=torch.float32, device=timesteps.device)
        frequencies = torch.exp(-math.log(10000.0) * index / half)
        angles = timesteps.to(torch.float32)[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        with torch.autocast(timesteps.device.type, enabled=False):
            return self.mlp(waves.to(next(self.mlp.parameters()).dtype))


class CaptionEmbedding(nn.Module):
    """Projects caption tokens to the network's width, and owns the null caption.

    ``y_embedding`` (length, caption_dim) is a buffer: part of every checkpoint, never trained.
    """

    y_embedding: Tensor

    def __init__(self, caption_dim: int, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("y_embedding", torch.randn(length, caption_dim) / caption_dim**0.5)
        self.y_proj = FeedForward(caption_dim, dim, dim)

    def forward(self, caption: Float[Tensor, "b l e"]) -> Float[Tensor, "b l d"]:
        """Caption tokens at the network's width."""
        return self.y_proj(caption.to(self.y_proj.fc1.weight.dtype))

    def null_caption(self, batch_size: int) -> Float[Tensor, "{batch_size} l e"]:
        """The null caption for each row of a batch."""
        return self.y_embedding[None].expand(batch_size, -1, -1)
