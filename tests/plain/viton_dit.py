"""A plain reading of VITON-DiT: the same mathematics and the same weights, nothing made faster.

Written from the method (arXiv 2405.18326, and the trunk of Open-Sora v1.0) as a textbook would:
softmax attention spelled out, the garment's features repeated over the frames and projected for
every frame and at every step, full temporal attention also where there is one frame, extractor and
ControlNet run anew in every call. ``models.viton_dit`` must give the same numbers; ``make bench``
says how much sooner.

Parameter names are those of ``models``: a state dict of one loads into the other.
"""

import math

import torch
from torch import Tensor, nn

from models.viton_dit import VitonDiTConfig


def attend(q: Tensor, k: Tensor, v: Tensor, num_heads: int, keep: Tensor | None = None) -> Tensor:
    """softmax(q k' / sqrt(width)) v by heads; q (n l d), k and v (n m d), keep (n m) booleans."""
    n, length, dim = q.shape
    q, k, v = (x.reshape(n, -1, num_heads, dim // num_heads).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / math.sqrt(dim // num_heads)
    if keep is not None:
        scores = scores.masked_fill(~keep[:, None, None, :], float("-inf"))
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(n, length, dim)


class SelfAttention(nn.Module):
    """Tokens (n l d) attend to each other."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(attend(q, k, v, self.num_heads))


class CrossAttention(nn.Module):
    """Tokens (n l d) attend to a context (n m d)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear, self.kv_linear = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, keep: Tensor | None = None) -> Tensor:
        k, v = self.kv_linear(context).chunk(2, dim=-1)
        return self.proj(attend(self.q_linear(x), k, v, self.num_heads, keep))


class FeedForward(nn.Module):
    """Linear, GELU by tanh, Linear."""

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim_in, dim_hidden), nn.Linear(dim_hidden, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x), approximate="tanh"))


def layer_norm(x: Tensor) -> Tensor:
    """Without learned scale and shift."""
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + 1e-6)


class Block(nn.Module):
    """One ST-DiT block, with or without time, with or without a garment."""

    def __init__(self, dim: int, heads: int, ratio: float, temporal: bool, fusion: bool) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(6, dim))
        self.attn = SelfAttention(dim, heads)
        self.attn_temp = SelfAttention(dim, heads) if temporal else None
        self.cross_attn = CrossAttention(dim, heads)
        self.mlp = FeedForward(dim, int(dim * ratio), dim)
        self.fusion = CrossAttention(dim, heads) if fusion else None

    def forward(
        self,
        x: Tensor,  # (b t s d)
        caption: Tensor,  # (b l d)
        keep: Tensor | None,  # (b l)
        six: Tensor,  # (b f 6 d), f = 1 or t
        positions: Tensor | None = None,  # (t d)
        garment: Tensor | None = None,  # (b m d)
        sees_garment: Tensor | None = None,  # (b)
    ) -> Tensor:
        b, t, s, d = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            (self.scale_shift_table + six).unsqueeze(3).unbind(dim=2)
        )
        h = layer_norm(x) * (1 + scale1) + shift1
        h = h.reshape(b * t, s, d)
        r = self.attn(h).reshape(b, t, s, d)
        if self.fusion is not None and garment is not None:
            over_time = garment.unsqueeze(1).repeat(1, t, 1, 1).reshape(b * t, -1, d)
            looked = self.fusion(h, over_time).reshape(b, t, s, d)
            r = r + (looked if sees_garment is None else looked * sees_garment.reshape(-1, 1, 1, 1))
        x = x + gate1 * r
        if self.attn_temp is not None:
            h = x if positions is None else x + positions.unsqueeze(1)
            h = h.transpose(1, 2).reshape(b * s, t, d)
            x = x + gate1 * self.attn_temp(h).reshape(b, s, t, d).transpose(1, 2)
        x = x + self.cross_attn(x.reshape(b, t * s, d), caption, keep).reshape(b, t, s, d)
        return x + gate2 * self.mlp(layer_norm(x) * (1 + scale2) + shift2)


def wave(positions: Tensor, dim: int) -> Tensor:
    """[sin | cos] at 10000^(-i / (dim / 2))."""
    omega = 10000.0 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = positions.to(torch.float64).unsqueeze(1) * omega
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def grid_positions(rows: int, columns: int, dim: int, scale: float) -> Tensor:
    """Column first, then row; (rows columns, dim)."""
    across = wave(torch.arange(columns) / scale, dim // 2).unsqueeze(0).repeat(rows, 1, 1)
    down = wave(torch.arange(rows) / scale, dim // 2).unsqueeze(1).repeat(1, columns, 1)
    return torch.cat([across, down], dim=-1).reshape(rows * columns, dim).float()


class Patches(nn.Module):
    """Latents (b c t h w) -> tokens (b t s d)."""

    def __init__(self, channels: int, dim: int, patch: list[int]) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels, dim, tuple(patch), tuple(patch))

    def forward(self, latents: Tensor) -> Tensor:
        tokens = self.proj(latents)
        return tokens.flatten(3).permute(0, 2, 3, 1)


class TimestepEmbedder(nn.Module):
    """[cos | sin] of the timestep, two layers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, timesteps: Tensor) -> Tensor:
        angles = timesteps.float().unsqueeze(-1) * torch.exp(
            -math.log(10000.0) * torch.arange(128, device=timesteps.device) / 128
        )
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class CaptionEmbedder(nn.Module):
    """Owns the null caption."""

    def __init__(self, wide: int, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("y_embedding", torch.zeros(length, wide))
        self.y_proj = FeedForward(wide, dim, dim)


class FinalLayer(nn.Module):
    """Modulated norm, then patches."""

    def __init__(self, dim: int, wide: int) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(2, dim))
        self.linear = nn.Linear(dim, wide)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + t.unsqueeze(2)).unsqueeze(3).unbind(dim=2)
        return self.linear(layer_norm(x) * (1 + scale) + shift)


class Denoiser(nn.Module):
    """Holds what belongs to the trunk."""

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        c = config.trunk
        self.x_embedder = Patches(c.in_channels, c.dim, c.patch_size)
        self.t_embedder = TimestepEmbedder(c.dim)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(c.dim, 6 * c.dim))
        self.y_embedder = CaptionEmbedder(c.caption_dim, c.caption_length, c.dim)
        self.blocks = nn.ModuleList(
            Block(c.dim, c.num_heads, c.mlp_ratio, True, True) for _ in range(c.depth)
        )
        self.final_layer = FinalLayer(c.dim, math.prod(c.patch_size) * c.out_channels)


class Garment(nn.Module):
    """Holds what belongs to the extractor."""

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        c = config.trunk
        self.x_embedder = Patches(c.in_channels, c.dim, c.patch_size)
        self.blocks = nn.ModuleList(
            Block(c.dim, c.num_heads, c.mlp_ratio, False, False) for _ in range(c.depth - 1)
        )


class Control(nn.Module):
    """Holds what belongs to the ControlNet."""

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        c, depth = config.trunk, config.num_control_blocks
        self.condition_embedder = Patches(2 * c.in_channels + 1, c.dim, c.patch_size)
        self.input_projection = nn.Linear(c.dim, c.dim)
        self.blocks = nn.ModuleList(
            Block(c.dim, c.num_heads, c.mlp_ratio, True, True) for _ in range(depth)
        )
        self.output_projections = nn.ModuleList(nn.Linear(c.dim, c.dim) for _ in range(depth))


class PlainVitonDiT(nn.Module):
    """The three networks, run one after the other in every call."""

    def __init__(self, config: VitonDiTConfig) -> None:
        super().__init__()
        self.config = config
        self.denoiser, self.garment = Denoiser(config), Garment(config)
        self.control = Control(config)

    def forward(
        self,
        latents: Tensor,  # (b c t h w)
        timesteps: Tensor,  # (b)
        caption: Tensor,  # (b l e)
        keep: Tensor | None = None,  # (b l) booleans
        garment_latents: Tensor | None = None,  # (b c h w)
        control: Tensor | None = None,  # (b k t h w)
        drop: Tensor | None = None,  # (b) booleans
        known: Tensor | None = None,  # (b t) booleans, where known frames have timestep 0
    ) -> Tensor:
        c, trunk = self.config.trunk, self.denoiser
        frames, height, width = latents.shape[2], latents.shape[3] // 2, latents.shape[4] // 2
        space = grid_positions(height, width, c.dim, c.space_scale).to(latents.device)
        time = wave(torch.arange(frames) / c.time_scale, c.dim).float().to(latents.device)
        steps = timesteps.unsqueeze(1)
        if known is not None:
            steps = torch.where(known, torch.zeros_like(steps), steps)
        t = trunk.t_embedder(steps)
        six = trunk.t_block(t).unflatten(-1, (6, c.dim))
        true_caption = trunk.y_embedder.y_proj(caption)

        taps: list[Tensor] | None = None
        if garment_latents is not None:
            taps = self.extract(garment_latents, true_caption, keep)
        x = trunk.x_embedder(latents) + space
        residuals: list[Tensor] = []
        if control is not None:
            net = self.control
            y = x + net.input_projection(net.condition_embedder(control))
            for i, (block, project) in enumerate(
                zip(net.blocks, net.output_projections, strict=True)
            ):
                tap = None if taps is None else taps[i]
                y = block(y, true_caption, keep, six, time if i == 0 else None, tap)
                residuals.append(project(y))

        seen_caption, seen_keep, sees = true_caption, keep, None
        if drop is not None:
            null = trunk.y_embedder.y_proj(trunk.y_embedder.y_embedding).unsqueeze(0)
            seen_caption = torch.where(drop.reshape(-1, 1, 1), null, true_caption)
            if keep is not None and self.config.null_mask == "full":
                seen_keep = keep | drop.unsqueeze(1)
            sees = (~drop).float()
        for i, block in enumerate(trunk.blocks):
            tap = None if taps is None else taps[i]
            x = block(x, seen_caption, seen_keep, six, time if i == 0 else None, tap, sees)
            if i < len(residuals):
                x = x + residuals[i]
        patches = trunk.final_layer(x, t)  # (b t s, 2 2 out)
        patches = patches.unflatten(-1, (2, 2, c.out_channels)).unflatten(2, (height, width))
        # (b t y x ph pw o) -> (b o t y ph x pw)
        return patches.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def extract(self, latents: Tensor, caption: Tensor, keep: Tensor | None) -> list[Tensor]:
        """The garment's taps: the normalised input of every block, the last block left out."""
        c, trunk = self.config.trunk, self.denoiser
        space = grid_positions(
            latents.shape[2] // 2, latents.shape[3] // 2, c.dim, c.space_scale
        ).to(latents.device)
        zero = torch.zeros(latents.shape[0], 1, device=latents.device)
        six = trunk.t_block(trunk.t_embedder(zero)).unflatten(-1, (6, c.dim))
        x = self.garment.x_embedder(latents.unsqueeze(2)) + space
        taps = [layer_norm(x[:, 0])]
        for block in self.garment.blocks:
            x = block(x, caption, keep, six)
            taps.append(layer_norm(x[:, 0]))
        return taps
