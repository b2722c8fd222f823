"""A plain reading of the method, in textbook PyTorch: the baseline of ``make bench``.

Written from the design's words (what each network computes), not from ``models/``. It loads
VitonDiT's state dict unchanged and gives the same numbers (``test_plain.py``). Every call does all
the work again, which is what the sources say and no more:

- attention is softmax(q k^T / sqrt(width)) v, written out; temporal attention also for one frame;
- the garment extractor runs in every call, its features are repeated over time, and every frame
  has keys and values of its own;
- captions are embedded and projected in every call;
- guidance doubles the batch (``sampling.py``), ControlNet and extractor with it; the row without a
  garment computes its garment attention and multiplies it by zero, as in training.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.viton_dit import VitonDiTConfig


def attend(q: Tensor, k: Tensor, v: Tensor, num_heads: int, keep: Tensor | None = None) -> Tensor:
    """Softmax attention of (batch, n, dim) to (batch, m, dim); ``keep`` (batch, m) or None."""
    batch, n, dim = q.shape
    width = dim // num_heads

    def split(x: Tensor) -> Tensor:
        return x.reshape(batch, -1, num_heads, width).transpose(1, 2)

    scores = split(q) @ split(k).transpose(-2, -1) / math.sqrt(width)
    if keep is not None:
        scores = scores.masked_fill(~keep[:, None, None, :], -math.inf)
    mixed = scores.softmax(dim=-1) @ split(v)
    return mixed.transpose(1, 2).reshape(batch, n, dim)


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return layer_norm(x) * (1 + scale) + shift


def waves(index: Tensor, dim: int) -> Tensor:
    """[sin | cos] of an index at dim / 2 frequencies, in the index's type."""
    omega = 10000.0 ** (-torch.arange(dim // 2, dtype=index.dtype) / (dim // 2))
    angles = index[:, None] * omega
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def place_table(rows: int, columns: int, dim: int, scale: float) -> Tensor:
    """(rows * columns, dim): the column in the first half, the row in the second."""
    table = torch.empty(rows, columns, dim, dtype=torch.float64)
    table[..., : dim // 2] = waves(torch.arange(columns).double() / scale, dim // 2)[None]
    table[..., dim // 2 :] = waves(torch.arange(rows).double() / scale, dim // 2)[:, None]
    return table.reshape(rows * columns, dim).float()


class PlainSelfAttention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(attend(q, k, v, self.num_heads))


class PlainCrossAttention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear = nn.Linear(dim, dim)
        self.kv_linear = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, keep: Tensor | None = None) -> Tensor:
        k, v = self.kv_linear(context).chunk(2, dim=-1)
        return self.proj(attend(self.q_linear(x), k, v, self.num_heads, keep))


class PlainFeedForward(nn.Module):
    def __init__(self, dim_in: int, hidden: int, dim_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim_in, hidden)
        self.fc2 = nn.Linear(hidden, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class PlainPatches(nn.Module):
    def __init__(self, channels: int, dim: int, patch: list[int]) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels, dim, tuple(patch), tuple(patch))

    def forward(self, latents: Tensor) -> Tensor:
        """(b, c, t, h, w) -> (b, t, s, dim), in the weights' type also under autocast."""
        embedded = self.proj(latents).to(self.proj.weight.dtype)
        return embedded.flatten(3).permute(0, 2, 3, 1)


class PlainBlock(nn.Module):
    """SSA (+ SCA) -> TSA -> PCA -> feed forward, each added to the residual stream."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, temporal: bool, fusion: bool
    ) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(6, dim))
        self.attn = PlainSelfAttention(dim, num_heads)
        if temporal:
            self.attn_temp = PlainSelfAttention(dim, num_heads)
        self.cross_attn = PlainCrossAttention(dim, num_heads)
        self.mlp = PlainFeedForward(dim, int(dim * mlp_ratio), dim)
        if fusion:
            self.fusion = PlainCrossAttention(dim, num_heads)

    def forward(
        self,
        x: Tensor,
        caption: Tensor,
        six: Tensor,
        keep: Tensor | None = None,
        positions: Tensor | None = None,
        garment: Tensor | None = None,
        sees: Tensor | None = None,
    ) -> Tensor:
        """(b, t, s, d) -> the same; ``six`` is (b, 1 or t, 6, d), ``garment`` (b, s', d)."""
        b, t, s, d = x.shape
        parts = (self.scale_shift_table + six).unsqueeze(3)  # b, f, 6, 1, d
        shift1, scale1, gate1, shift2, scale2, gate2 = (parts[:, :, i] for i in range(6))

        h = modulated(x, shift1, scale1)
        frames = h.reshape(b * t, s, d)
        r = self.attn(frames).reshape(b, t, s, d)
        if garment is not None:
            repeated = garment[:, None].repeat(1, t, 1, 1).reshape(b * t, -1, d)
            sca = self.fusion(frames, repeated).reshape(b, t, s, d)
            r = r + (sca if sees is None else sca * sees[:, None, None, None])
        x = x + gate1 * r

        if hasattr(self, "attn_temp"):
            h = x if positions is None else x + positions[:, None]
            columns = h.transpose(1, 2).reshape(b * s, t, d)
            r = self.attn_temp(columns).reshape(b, s, t, d).transpose(1, 2)
            x = x + gate1 * r

        x = x + self.cross_attn(x.reshape(b, t * s, d), caption, keep).reshape(b, t, s, d)
        return x + gate2 * self.mlp(modulated(x, shift2, scale2))


class PlainTimesteps(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, timesteps: Tensor) -> Tensor:
        """(n,) -> (n, dim): [cos | sin] at 128 frequencies."""
        exponents = torch.arange(128, device=timesteps.device).float() / 128
        angles = timesteps.float()[:, None] * torch.exp(-math.log(10000.0) * exponents)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))


class PlainCaptions(nn.Module):
    def __init__(self, caption_dim: int, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("y_embedding", torch.zeros(length, caption_dim))
        self.y_proj = PlainFeedForward(caption_dim, dim, dim)


class PlainLast(nn.Module):
    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(2, dim))
        self.linear = nn.Linear(dim, out)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + timestep[:, :, None]).chunk(2, dim=2)
        return self.linear(modulated(x, shift, scale))


class PlainVitonDit(nn.Module):
    """The three networks; parameter names are VitonDiT's."""

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        self.config, trunk = config, config.trunk
        dim, patch = trunk.dim, trunk.patch_size

        def blocks(count: int, temporal: bool, fusion: bool) -> nn.ModuleList:
            sizes = (dim, trunk.num_heads, trunk.mlp_ratio, temporal, fusion)
            return nn.ModuleList(PlainBlock(*sizes) for _ in range(count))

        self.denoiser = nn.Module()
        self.denoiser.x_embedder = PlainPatches(trunk.in_channels, dim, patch)
        self.denoiser.t_embedder = PlainTimesteps(dim)
        self.denoiser.t_block = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.denoiser.y_embedder = PlainCaptions(trunk.caption_dim, trunk.caption_length, dim)
        self.denoiser.blocks = blocks(trunk.depth, True, True)
        self.denoiser.final_layer = PlainLast(dim, math.prod(patch) * trunk.out_channels)

        self.garment = nn.Module()
        self.garment.x_embedder = PlainPatches(trunk.in_channels, dim, patch)
        self.garment.blocks = blocks(trunk.depth - 1, False, False)

        depth = config.num_control_blocks
        self.control = nn.Module()
        self.control.condition_embedder = PlainPatches(2 * trunk.in_channels + 1, dim, patch)
        self.control.input_projection = nn.Linear(dim, dim)
        self.control.blocks = blocks(depth, True, True)
        self.control.output_projections = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))

    def timestep(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """(b, f) -> (b, f, d) and (b, f, 6, d), in float32."""
        b, f = timesteps.shape
        with torch.autocast(timesteps.device.type, enabled=False):
            t = self.denoiser.t_embedder(timesteps.flatten())
            six = self.denoiser.t_block(t)
        return t.reshape(b, f, -1), six.reshape(b, f, 6, -1)

    def places(self, latents: Tensor) -> Tensor:
        _, height, width = self.config.trunk.patch_size
        rows, columns = latents.shape[-2] // height, latents.shape[-1] // width
        trunk = self.config.trunk
        return place_table(rows, columns, trunk.dim, trunk.space_scale).to(latents.device)

    def extract(
        self, garment_latents: Tensor, caption: Tensor, keep: Tensor | None
    ) -> list[Tensor]:
        """Hidden states at the input of each block's SSA, normalised; at timestep 0."""
        clean = torch.zeros(garment_latents.shape[0], 1, device=garment_latents.device)
        _, six = self.timestep(clean)
        x = self.garment.x_embedder(garment_latents[:, :, None]) + self.places(garment_latents)
        taps = [layer_norm(x[:, 0])]
        for block in self.garment.blocks:
            x = block(x, caption, six, keep)
            taps.append(layer_norm(x[:, 0]))
        return taps

    def embed(self, caption: Tensor) -> Tensor:
        return self.denoiser.y_embedder.y_proj(caption)

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        caption: Tensor,
        mask: Tensor | None = None,
        garment: Tensor | None = None,
        control: Tensor | None = None,
        known: Tensor | None = None,
        drop: Tensor | None = None,
        features: list[Tensor] | None = None,
    ) -> Tensor:
        """Noise | variance, everything computed anew.

        Args:
            latents: (b, c, t, h, w), noisy.
            timesteps: (b,).
            caption: (b, l, e), raw.
            mask: (b, l), True where a caption token exists.
            garment: (b, c, h', w') latents of the garment.
            control: (b, k, t, h, w).
            known: (b, t), frames with timestep 0 where the config says so.
            drop: (b,), rows whose trunk sees the null caption and no garment.
            features: what ``extract`` gave, for the gain of running it once.
        """
        config, trunk = self.config, self.config.trunk
        b, _, t, height, width = latents.shape
        steps = timesteps[:, None]
        if known is not None and config.known_frames == "control+timestep":
            steps = torch.where(known, torch.zeros_like(steps), steps)
        timestep, six = self.timestep(steps)
        index = torch.arange(t).double() / trunk.time_scale
        frames = waves(index, trunk.dim).float().to(latents.device)
        true_caption = self.embed(caption)
        if garment is not None and features is None:
            features = self.extract(garment, true_caption, mask)
        tokens = self.denoiser.x_embedder(latents) + self.places(latents)

        residuals: list[Tensor] = []
        if control is not None:
            x = self.control.input_projection(self.control.condition_embedder(control)) + tokens
            for i, block in enumerate(self.control.blocks):
                tap = None if features is None else features[i]
                x = block(x, true_caption, six, mask, frames if i == 0 else None, tap)
                residuals.append(self.control.output_projections[i](x))

        seen_caption, seen_mask, sees = true_caption, mask, None
        if drop is not None:
            null = self.embed(self.denoiser.y_embedder.y_embedding[None].repeat(b, 1, 1))
            seen_caption = torch.where(drop[:, None, None], null, true_caption)
            sees = (~drop).to(tokens.dtype)
            if mask is not None and config.null_mask == "full":
                seen_mask = mask | drop[:, None]
        x = tokens
        for i, block in enumerate(self.denoiser.blocks):
            tap = None if features is None else features[i]
            x = block(x, seen_caption, six, seen_mask, frames if i == 0 else None, tap, sees)
            if i < len(residuals):
                x = x + residuals[i]

        patches = self.denoiser.final_layer(x, timestep)  # channels fastest
        _, ph, pw = trunk.patch_size
        out = patches.reshape(b, t, height // ph, width // pw, ph, pw, trunk.out_channels)
        return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(b, trunk.out_channels, t, height, width)
