"""The block that all three networks are built from, and the last layer of the trunk.

Source: Open-Sora v1.0.0, ``STDiTBlock`` (``opensora/models/stdit/stdit.py``) and
``T2IFinalLayer``. Attribute names are a checkpoint contract. What differs from the source:
``fusion``, the cross attention to a garment; modulation may differ from frame to frame; caption and
garment may come as precomputed keys and values; no drop path (its rate is 0 there).
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.attention import Attended, CrossAttention, PlaceAttention, SelfAttention
from models.embeddings import FeedForward
from models.places import Places

NORM_EPS = 1e-6
FUSIONS = ("attention", "places")


def normalise(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """LayerNorm over the last axis without learned scale and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)


def modulate(
    x: Float[Tensor, "b t s d"], shift: Float[Tensor, "b f 1 d"], scale: Float[Tensor, "b f 1 d"]
) -> Float[Tensor, "b t s d"]:
    """``normalise(x) (1 + scale) + shift``; f is 1, or t when frames have their own timestep."""
    return torch.addcmul(shift, normalise(x), 1 + scale)


class STBlock(nn.Module):
    """Spatial attention -> temporal attention -> caption attention -> feed forward.

    Args:
        dim: width of the tokens.
        num_heads: heads of every attention.
        mlp_ratio: hidden width of the feed forward over ``dim``.
        temporal: False omits the temporal attention (the garment extractor sees one image).
        fusion: kind of the attention to a garment (``build_fusion``), or None. Its output is added
            to that of the spatial attention before the gate: gate1 * (SSA(h) + SCA(h, garment)).
        index: of the block; fusion "places" starts differently in each.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float,
        *,
        temporal: bool,
        fusion: str | None = None,
        index: int = 0,
    ) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)
        self.attn = SelfAttention(dim, num_heads)
        self.attn_temp = SelfAttention(dim, num_heads) if temporal else None
        self.cross_attn = CrossAttention(dim, num_heads)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio), dim)
        self.fusion = build_fusion(fusion, dim, num_heads, index)

    def forward(
        self,
        x: Float[Tensor, "b t s d"],
        caption: Attended,
        modulation: Float[Tensor, "b f 6 d"],
        caption_mask: Bool[Tensor, "#b l"] | None = None,
        frame_positions: Float[Tensor, "t d"] | None = None,
        garment: Attended | None = None,
        garment_keep: Float[Tensor, " b"] | None = None,
        places: Places | None = None,
    ) -> Float[Tensor, "b t s d"]:
        """One step of the residual stream.

        Args:
            x: tokens of t frames with s places each.
            caption: embedded caption tokens, or keys and values of ``cross_attn``.
            modulation: six vectors from the timestep, one set for all frames (f = 1) or for each.
            caption_mask: True where a caption token exists.
            frame_positions: added to the temporal attention's input (only in block 0).
            garment: tokens for ``fusion``, or its keys and values; None skips ``fusion``.
            garment_keep: 1 for rows that see the garment, 0 for rows that do not.
            places: where the garment shows what each token needs; only ``PlaceAttention`` looks.
        """
        table = self.scale_shift_table + modulation
        shift1, scale1, gate1, shift2, scale2, gate2 = table[:, :, :, None].unbind(dim=2)
        num_frames = x.shape[1]

        h = modulate(x, shift1, scale1)
        spatial = self.attn.within_frames(h)
        if self.fusion is not None and garment is not None:
            queries = rearrange(h, "b t s d -> b (t s) d")
            if isinstance(self.fusion, PlaceAttention):
                fused = self.fusion(queries, garment, places=places)
            else:
                fused = self.fusion(queries, garment)
            fused = rearrange(fused, "b (t s) d -> b t s d", t=num_frames)
            if garment_keep is not None:
                fused = fused * garment_keep.to(fused.dtype)[:, None, None, None]
            spatial = spatial + fused
        x = torch.addcmul(x, gate1, spatial)

        if self.attn_temp is not None:  # not normalised, not modulated, the spatial gate again
            h = x if frame_positions is None else x + frame_positions[:, None]
            x = torch.addcmul(x, gate1, self.attn_temp.across_frames(h))

        tokens = rearrange(x, "b t s d -> b (t s) d")  # neither normalised nor gated
        captioned = self.cross_attn(tokens, caption, caption_mask)
        x = x + rearrange(captioned, "b (t s) d -> b t s d", t=num_frames)

        return torch.addcmul(x, gate2, self.mlp(modulate(x, shift2, scale2)))


def build_fusion(kind: str | None, dim: int, num_heads: int, index: int) -> CrossAttention | None:
    """A block's attention to a garment: one of ``FUSIONS``, or None.

    Args:
        kind: "attention" to all of the garment's tokens, as VITON-DiT draws it; "places", the same
            and reading the garment where its cloth lies (``PlaceAttention``); None.
        dim: width of the tokens.
        num_heads: heads.
        index: of the block.
    """
    if kind is None:
        return None
    if kind == "places":
        return PlaceAttention(dim, num_heads, index)
    return CrossAttention(dim, num_heads)


class FinalLayer(nn.Module):
    """Modulated LayerNorm and the projection of each token to its patch of the output."""

    def __init__(self, dim: int, patch_volume: int, out_channels: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)
        self.linear = nn.Linear(dim, patch_volume * out_channels)

    def forward(
        self, x: Float[Tensor, "b t s d"], timestep: Float[Tensor, "b f d"]
    ) -> Float[Tensor, "b t s p"]:
        """Flattened patches: the channel varies fastest."""
        shift, scale = (self.scale_shift_table + timestep[:, :, None])[:, :, :, None].unbind(dim=2)
        return self.linear(modulate(x, shift, scale))
