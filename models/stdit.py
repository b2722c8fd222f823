"""The trunk: Open-Sora v1.0's space-time diffusion transformer, numerically identical to it.

Source: Open-Sora v1.0.0 (Apache-2.0), ``opensora/models/stdit/stdit.py``. A bare ``STDiT`` has
exactly the keys of its checkpoints except ``pos_embed*``: positions are recomputed for each grid.
What differs from the source: inside VitonDiT every block also has a ``fusion``; timesteps may
differ from frame to frame; captions are dropped by ``VitonDiT``, not here; no sequence parallelism.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from models.attention import Attended, PlaceAttention
from models.blocks import FinalLayer, STBlock
from models.embeddings import (
    CaptionEmbedding,
    PatchEmbedding,
    TimestepEmbedding,
    spatial_positions,
    temporal_positions,
)
from models.places import Places


@dataclass(frozen=True, kw_only=True)
class STDiTConfig:
    """Sizes of a trunk. The defaults are STDiT-XL/2, 759,620,768 parameters."""

    in_channels: int = 4
    out_channels: int = 8  # noise | variance: twice in_channels when the variance is learned
    dim: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    # frames, height, width; tuples become lists, which YAML and OmegaConf support (hence Any)
    patch_size: Any = field(default_factory=lambda: [1, 2, 2])
    caption_dim: int = 4096
    caption_length: int = 120
    space_scale: float = 1.0  # divides a token's index: 1.0 at 512 pixels, 0.5 at 256
    time_scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", read_patch(self.patch_size))
        sizes = ("in_channels", "out_channels", "depth", "num_heads", "caption_dim")
        for name in (*sizes, "caption_length", "mlp_ratio", "space_scale", "time_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.dim <= 0 or self.dim % self.num_heads or self.dim % 4:
            raise ValueError(
                f"dim must be a positive multiple of num_heads ({self.num_heads}) and of 4,"
                f" not {self.dim}"
            )


def read_patch(value: object) -> list[int]:
    """A list or tuple of frames, height and width, as a list.

    Raises:
        ValueError: any other value.
    """
    sides: Sequence[object] = cast(Any, value) if isinstance(value, (list, tuple)) else ()
    whole = [side for side in sides if isinstance(side, int) and side >= 1]
    if len(sides) != 3 or len(whole) != 3:
        raise ValueError(
            f"patch_size must be three whole numbers from 1 (frames, height, width), not {value!r}"
        )
    return whole


class STDiT(nn.Module):
    """Noisy latents, timesteps and a caption -> predicted noise and variance.

    Args:
        config: the sizes.
        fusion: every block's attention to a garment (``build_fusion``); None for a bare trunk.
    """

    def __init__(self, config: STDiTConfig, *, fusion: str | None = None) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        time, height, width = config.patch_size
        self.x_embedder = PatchEmbedding(config.in_channels, dim, config.patch_size)
        self.t_embedder = TimestepEmbedding(dim)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.y_embedder = CaptionEmbedding(config.caption_dim, config.caption_length, dim)
        self.blocks = nn.ModuleList(
            STBlock(
                dim,
                config.num_heads,
                config.mlp_ratio,
                temporal=True,
                fusion=fusion,
                index=index,
            )
            for index in range(config.depth)
        )
        self.final_layer = FinalLayer(dim, time * height * width, config.out_channels)
        self.init_weights()

    def init_weights(self) -> None:
        """Open-Sora's initialisation, and the reason for each zero."""
        initialise_linears(self)
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.flatten(1))
        y_proj = self.y_embedder.y_proj
        for layer in (
            self.t_embedder.mlp[0],
            self.t_embedder.mlp[2],
            self.t_block[1],
            y_proj.fc1,
            y_proj.fc2,
        ):
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, STBlock)
            zero_new_branches(block)
        nn.init.zeros_(self.final_layer.linear.weight)  # the first prediction is zero

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        timesteps: Num[Tensor, " b"],
        caption: Float[Tensor, "b l e"],
        caption_mask: Num[Tensor, "b l"] | Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b o t h w"]:
        """The bare trunk: no garment, no control.

        Args:
            latents: noisy latents, on any grid that is divisible into patches.
            timesteps: 0 (clean) .. num_timesteps - 1.
            caption: caption tokens at their encoder's width.
            caption_mask: nonzero where a token exists; None if all do.

        Returns:
            Prediction on the grid of ``latents``: noise | variance along the channels.
        """
        tokens = self.embed_latents(latents)
        timestep, modulation = self.embed_timesteps(timesteps[:, None])
        mask = None if caption_mask is None else caption_mask.to(torch.bool)
        embedded = [self.y_embedder(caption)] * len(self.blocks)
        tokens = self.run_blocks(tokens, embedded, modulation, mask)
        return self.predict(tokens, timestep, latents)

    def embed_latents(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b f s d"]:
        """Patch tokens plus their spatial positions."""
        tokens = self.x_embedder(latents)
        return tokens + self.grid_positions(latents).to(tokens.dtype)

    def grid_positions(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "s d"]:
        """Spatial positions of the tokens of a frame of these latents."""
        _, height, width = self.config.patch_size
        rows, columns = latents.shape[3] // height, latents.shape[4] // width
        config = self.config
        return spatial_positions(rows, columns, config.dim, config.space_scale, latents.device)

    def embed_timesteps(
        self, timesteps: Num[Tensor, "b f"]
    ) -> tuple[Float[Tensor, "b f d"], Float[Tensor, "b f 6 d"]]:
        """Timesteps, one per row or per frame -> vectors, and six modulation vectors; float32."""
        vectors = self.t_embedder(timesteps.flatten())
        with torch.autocast(timesteps.device.type, enabled=False):
            six = self.t_block(vectors)
        batch_size = timesteps.shape[0]
        return (
            rearrange(vectors, "(b f) d -> b f d", b=batch_size),
            rearrange(six, "(b f) (six d) -> b f six d", b=batch_size, six=6),
        )

    def run_blocks(
        self,
        tokens: Float[Tensor, "b f s d"],
        caption: Sequence[Attended],
        modulation: Float[Tensor, "b #f 6 d"],
        caption_mask: Bool[Tensor, "#b l"] | None = None,
        garment: Sequence[Attended] | None = None,
        garment_keep: Float[Tensor, " b"] | None = None,
        residuals: Sequence[Float[Tensor, "b f s d"]] = (),
        places: Places | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> Float[Tensor, "b f s d"]:
        """Blocks ``start`` up to, but not including, ``stop``; by default all of them.

        Block i sees ``caption[i]`` and ``garment[i]``; ``residuals[i]`` is added to its output.
        """
        config = self.config
        positions = temporal_positions(
            tokens.shape[1], config.dim, config.time_scale, tokens.device
        )
        for index, block in islice(enumerate(self.blocks), start, stop):
            tokens = block(
                tokens,
                caption[index],
                modulation,
                caption_mask,
                frame_positions=positions.to(tokens.dtype) if index == 0 else None,
                garment=None if garment is None else garment[index],
                garment_keep=garment_keep,
                places=places,
            )
            if index < len(residuals):
                tokens = tokens + residuals[index]
        return tokens

    def predict(
        self,
        tokens: Float[Tensor, "b f s d"],
        timestep: Float[Tensor, "b #f d"],
        latents: Float[Tensor, "b c t h w"],
    ) -> Float[Tensor, "b o t h w"]:
        """The final layer, with its patches rearranged to the grid of ``latents``."""
        time, height, width = self.config.patch_size
        return rearrange(
            self.final_layer(tokens, timestep),
            "b f (y x) (pt ph pw o) -> b o (f pt) (y ph) (x pw)",
            y=latents.shape[3] // height,
            pt=time,
            ph=height,
            pw=width,
        )


def initialise_linears(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every linear layer and patch embedding."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
        elif isinstance(layer, PatchEmbedding):
            nn.init.xavier_uniform_(layer.proj.weight.flatten(1))
            layer = layer.proj
        else:
            continue
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


def zero_new_branches(block: STBlock) -> None:
    """Zero the output projections of the branches that must add nothing at first.

    Caption and temporal attention: so that a block starts as an image model's (PixArt-alpha's
    weights work unchanged). Fusion: so that a pretrained trunk starts unchanged, bit for bit.
    """
    for branch in (block.cross_attn, block.attn_temp, block.fusion):
        if branch is not None:
            nn.init.zeros_(branch.proj.weight)
            nn.init.zeros_(branch.proj.bias)
    if isinstance(block.fusion, PlaceAttention):
        block.fusion.start_places()
