"""The kinds of attention that every block consists of.

Source: Open-Sora v1.0.0, ``Attention`` and ``MultiHeadCrossAttention`` in
``opensora/models/layers/blocks.py``. Attribute names are a checkpoint contract. What differs from
the source: every product is ``scaled_dot_product_attention``; temporal attention of one frame is
simplified; keys and values of the context can be computed in advance.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.places import Places

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each (batch, heads, tokens, head width), computed once and reused."""

Attended = Tensor | KeysValues
"""The context of cross attention: tokens (b l d), or their keys and values."""

_SPREAD = (0.7548776662466927, 0.5698402909980532)
"""Multiples of these fill a square evenly (Roberts 2018, the R2 sequence)."""
_REACH = 0.6  # tokens of the frame: how far the heads' offsets start from the place
_STEP = 0.05  # of what a token adds to its offsets: Adam would move them by tokens a step otherwise


class SelfAttention(nn.Module):
    """Multi-head attention of a set of tokens to itself."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.dim = dim
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def within_frames(self, x: Float[Tensor, "b t s d"]) -> Float[Tensor, "b t s d"]:
        """Spatial attention: the tokens of each frame attend to those of the same frame."""
        q, k, v = rearrange(self.qkv(x), "b t s (k h d) -> k (b t) h s d", k=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(mixed, "(b t) h s d -> b t s (h d)", t=x.shape[1]))

    def values(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """The values of ``qkv`` alone."""
        return F.linear(x, self.qkv.weight[2 * self.dim :], self.qkv.bias[2 * self.dim :])

    def across_frames(self, x: Float[Tensor, "b t s d"]) -> Float[Tensor, "b t s d"]:
        """Temporal attention: each place attends to the same place in all frames.

        With one frame the softmax is over one number, so the result is exactly ``proj(v(x))``, and
        only that is computed.
        """
        if x.shape[1] == 1:
            return self.proj(self.values(x))
        if x.device.type == "cpu":
            # few frames: the plain kernel on strided views beats the fused one, which needs four
            # axes and so a transposed copy (docs/performance.md)
            q, k, v = rearrange(self.qkv(x), "b t s (k h d) -> k b s h t d", k=3, h=self.num_heads)
            mixed = F.scaled_dot_product_attention(q, k, v)
            return self.proj(rearrange(mixed, "b s h t d -> b t s (h d)"))
        q, k, v = rearrange(self.qkv(x), "b t s (k h d) -> k (b s) h t d", k=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(mixed, "(b s) h t d -> b t s (h d)", s=x.shape[2]))


class CrossAttention(nn.Module):
    """Multi-head attention of tokens to another set: caption tokens, or a garment's."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear = nn.Linear(dim, dim)
        self.kv_linear = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def keys_values(self, context: Float[Tensor, "b l d"]) -> KeysValues:
        """Project the context; the result can be used for any number of queries."""
        keys, values = rearrange(
            self.kv_linear(context), "b l (k h d) -> k b h l d", k=2, h=self.num_heads
        )
        return keys, values

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Attended,
        keep_mask: Bool[Tensor, "#b l"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend.

        Args:
            x: the query tokens.
            context: tokens, or their ``keys_values``; each of its g rows serves b / g consecutive
                rows of x.
            keep_mask: True where a context token exists; None: everywhere.
        """
        pair = self.keys_values(context) if isinstance(context, Tensor) else context
        return self.proj(self.mix(x, pair, keep_mask))

    def mix(
        self, x: Float[Tensor, "b n d"], pair: KeysValues, mask: Bool[Tensor, "#b l"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """The values that each token attends to, heads side by side."""
        q = rearrange(self.q_linear(x), "b n (h d) -> b h n d", h=self.num_heads)
        k, v = (_serve(side, x.shape[0]) for side in pair)
        if mask is not None:
            mask = mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return rearrange(mixed, "b h n d -> b n (h d)")


class PlaceAttention(CrossAttention):
    """Attention to a garment that also reads it at one place per token and head.

    What it reads (bilinearly, as deformable attention does: Zhu et al. 2021, arXiv 2010.04159) is
    added to what plain attention finds. Where no place is known only plain attention is left. A
    head reads at its own offset from the place. Offsets are measured in the frame: the slope of the
    places turns and scales them, so that a raised sleeve is read along its own direction.

    Args:
        dim: width of the tokens.
        num_heads: heads.
        index: of the block; blocks start with different offsets.
    """

    def __init__(self, dim: int, num_heads: int, index: int = 0) -> None:
        super().__init__(dim, num_heads)
        self.index = index
        self.place = nn.Linear(dim, 2 * num_heads)
        self.start_places()

    @torch.no_grad()
    def start_places(self) -> None:
        """Offsets that do not depend on the token yet."""
        head = torch.arange(self.num_heads) + 1 + self.num_heads * self.index
        spread = torch.stack([head * number % 1.0 for number in _SPREAD], dim=-1) * 2 - 1
        nn.init.zeros_(self.place.weight)
        self.place.bias.copy_(_REACH * spread.flatten())

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Attended,
        keep_mask: Bool[Tensor, "#b l"] | None = None,
        places: Places | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend, and read at ``places``; None is plain attention."""
        pair = self.keys_values(context) if isinstance(context, Tensor) else context
        mixed = self.mix(x, pair, keep_mask)
        if places is not None:
            mixed = mixed + self.read(x, pair[1], places)
        return self.proj(mixed)

    def read(
        self, x: Float[Tensor, "b n d"], values: Float[Tensor, "g h l e"], places: Places
    ) -> Float[Tensor, "b n d"]:
        """The garment's values at each token's place, heads side by side; 0 where unknown."""
        moves = self.place(_STEP * x).float()
        moves = rearrange(moves, "b n (h two) -> b h n two 1", h=self.num_heads)
        points = places.points[:, None] + (moves * places.slopes[:, None]).sum(dim=-2)
        pictures = rearrange(values.float(), "g h (y x) e -> (g h) e y x", y=places.grid[0])
        where = rearrange(points * 2 - 1, "(g r) h n two -> (g h) (r n) 1 two", g=values.shape[0])
        found = F.grid_sample(
            pictures, where, mode="bilinear", padding_mode="border", align_corners=False
        )
        found = rearrange(
            found, "(g h) e (r n) 1 -> (g r) n (h e)", g=values.shape[0], n=x.shape[1]
        )
        return (found * places.known[..., None]).to(x.dtype)


def _serve(side: Float[Tensor, "g h l e"], rows: int) -> Float[Tensor, "b h l e"]:
    """Keys or values of g contexts for ``rows`` rows."""
    if side.shape[0] == 1:
        return side.expand(rows, -1, -1, -1)
    return side if side.shape[0] == rows else side.repeat_interleave(rows // side.shape[0], dim=0)
