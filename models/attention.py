"""The two kinds of attention that every block consists of.

Source: Open-Sora v1.0.0, ``Attention`` and ``MultiHeadCrossAttention`` in
``opensora/models/layers/blocks.py``. Attribute names are a checkpoint contract. What differs from
the source: every product is ``scaled_dot_product_attention``; temporal attention of one frame is
simplified; keys and values of the context can be computed in advance.
"""

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each (batch, heads, tokens, head width), computed once and reused."""

Attended = Tensor | KeysValues
"""The context of cross attention: tokens (b l d), or their keys and values."""


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

    def across_frames(self, x: Float[Tensor, "b t s d"]) -> Float[Tensor, "b t s d"]:
        """Temporal attention: each place attends to the same place in all frames.

        With one frame the softmax is over one number, so the result is exactly ``proj(v(x))``, and
        only that is computed.
        """
        if x.shape[1] == 1:
            value = F.linear(x, self.qkv.weight[2 * self.dim :], self.qkv.bias[2 * self.dim :])
            return self.proj(value)
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
        keep_mask: Bool[Tensor, "#b l"] | Bool[Tensor, "#b n l"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attend.

        Args:
            x: the query tokens.
            context: tokens, or their ``keys_values``; a batch of one is used for every row.
            keep_mask: True where a context token exists, or for each query token where it may
                attend; None: everywhere.
        """
        q = rearrange(self.q_linear(x), "b n (h d) -> b h n d", h=self.num_heads)
        pair = self.keys_values(context) if isinstance(context, Tensor) else context
        k, v = (side.expand(x.shape[0], -1, -1, -1) for side in pair)
        mask = keep_mask
        if mask is not None:
            mask = mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(rearrange(mixed, "b h n d -> b n (h d)"))
