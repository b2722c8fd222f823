"""DINOv2, the network behind garment likeness: a vision transformer and its picture features.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023; blocks as
in Dosovitskiy et al. 2021 with LayerScale (Touvron et al. 2021, equation 2). Attribute names are a
checkpoint contract: they are the keys of the published ``dinov2_vitb14_pretrain.pth``.
``published_state`` brings the keys of Hugging Face's files to them.

What differs from the published code: position embeddings are interpolated to the exact size of the
grid, as transformers does today; the code of 2023 passed the scale factor (side + 0.1) / grid.
Equal to transformers' ``Dinov2Model`` on random weights (``tests/golden/dinov2_golden.json``).
"""

import re
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from datasets.sample import bytes_to_signed

PICTURES_AT_ONCE = 16
SIDE = 224
"""Pixels of a picture's side: 16 x 16 patches, the size of the published linear evaluation."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in [0, 1]; the network was trained with them."""
NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class DinoConfig:
    """Sizes of the network; the defaults are ViT-B/14's."""

    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    patch: int = 14
    grid: int = 37  # patches of a side in training: 518 pixels
    mlp_ratio: int = 4


class PatchEmbed(nn.Module):
    """Patches become tokens."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        """(b 3 h w) -> (b tokens dim)."""
        return rearrange(self.proj(images), "b d h w -> b (h w) d")


class DinoAttention(nn.Module):
    """Multi-head attention of all tokens."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b n d) -> (b n d)."""
        qkv = rearrange(self.qkv(tokens), "b n (k h d) -> k b h n d", k=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(*qkv)
        return self.proj(rearrange(mixed, "b h n d -> b n (h d)"))


class DinoMlp(nn.Module):
    """Two layers with an exact GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b n d) -> (b n d)."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """A learned factor for each channel of a branch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """(b n d) -> (b n d)."""
        return tokens * self.gamma


class DinoBlock(nn.Module):
    """Attention, then MLP; each normalised before and scaled after."""

    def __init__(self, config: DinoConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = DinoAttention(dim, config.num_heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = DinoMlp(dim, config.mlp_ratio * dim)
        self.ls2 = LayerScale(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b n d) -> (b n d)."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class DinoVisionTransformer(nn.Module):
    """The network; its feature is the class token after the last norm."""

    def __init__(self, config: DinoConfig | None = None) -> None:
        """Random weights."""
        super().__init__()
        self.config = config = config or DinoConfig()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.grid**2, config.dim))
        self.mask_token = nn.Parameter(torch.zeros(1, config.dim))  # for training; a file has it
        self.patch_embed = PatchEmbed(config.dim, config.patch)
        self.blocks = nn.ModuleList(DinoBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=NORM_EPS)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b dim"]:
        """The class token of images normalised by ``MEAN`` and ``STD``, sides multiples of 14."""
        rows, columns = (side // self.config.patch for side in images.shape[-2:])
        cls = self.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([cls, self.patch_embed(images)], dim=1)
        tokens = tokens + self._positions(rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def _positions(self, rows: int, columns: int) -> Tensor:
        grid = self.config.grid
        if rows == columns == grid:
            return self.pos_embed
        cls, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        plane = rearrange(patches, "1 (h w) d -> 1 d h w", h=grid)
        plane = F.interpolate(plane, (rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([cls, rearrange(plane, "1 d h w -> 1 (h w) d")], dim=1)


class PictureFeatures:
    """Features of RGB pictures by one DINOv2 network."""

    def __init__(self, network: DinoVisionTransformer) -> None:
        """The network is set to evaluation."""
        self.network = network.eval()

    @torch.no_grad()
    def of(self, pictures: UInt8[np.ndarray, "n 224 224 3"]) -> Float[np.ndarray, "n dim"]:
        """One feature of length 1 for each picture."""
        device = next(self.network.parameters()).device
        mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
        found: list[np.ndarray] = []
        for start in range(0, len(pictures), PICTURES_AT_ONCE):
            chosen = np.ascontiguousarray(pictures[start : start + PICTURES_AT_ONCE])
            images = rearrange(torch.from_numpy(chosen), "n h w c -> n c h w").to(device)
            unit = (bytes_to_signed(images) + 1) / 2
            features = self.network((unit - mean) / std)
            found.append(F.normalize(features.double(), dim=1).cpu().numpy())
        return np.concatenate(found)


_RENAMED = (
    (r"^(dinov2\.)?embeddings\.(cls_token|mask_token)$", r"\2"),
    (r"^(dinov2\.)?embeddings\.position_embeddings$", "pos_embed"),
    (r"^(dinov2\.)?embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(dinov2\.)?encoder\.layer\.", "blocks."),
    (r"^(dinov2\.)?layernorm\.", "norm."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
)
"""Hugging Face's names, and the published ones."""
_QKV = re.compile(r"^(.*)\.attention\.attention\.(query|key|value)\.(weight|bias)$")


def published_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the published code's keys, from those or from Hugging Face's.

    Keys that are neither are kept, for the comparison of keys to name.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, name in _RENAMED:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    for key in [key for key in renamed if _QKV.match(key)]:
        found = _QKV.match(key)
        if found is None or found[2] != "query":
            continue
        names = [
            f"{found[1]}.attention.attention.{k}.{found[3]}" for k in ("query", "key", "value")
        ]
        if all(name in renamed for name in names):
            parts = [renamed.pop(name) for name in names]
            renamed[f"{found[1]}.attn.qkv.{found[3]}"] = torch.cat(parts)
    return renamed
