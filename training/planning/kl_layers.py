"""A KL autoencoder's layers for the plan, without weights: what they allocate, and for how long.

Source: diffusers' ``AutoencoderKL``, whose import alone takes 4 s. What differs: latents are not
drawn, and there is no tiling. Weights and peaks are the same (a test).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6


class KlLayers(nn.Module):
    """Encoder and decoder; images are (b, 3, h, w), moments and latents (b, ..., h/8, w/8).

    Args:
        latent_channels: of the latents.
        widths: channels of each level, the finest first.
        layers_per_block: residual blocks of a level; the decoder has one more.
        groups: of every normalisation.
    """

    def __init__(
        self, latent_channels: int, widths: Sequence[int], layers_per_block: int, groups: int
    ) -> None:
        super().__init__()
        finest, coarsest, moments = widths[0], widths[-1], 2 * latent_channels
        last = len(widths) - 1
        down: list[nn.Module] = []
        wide = finest
        for level, out in enumerate(widths):
            layers = _residuals(wide, out, layers_per_block, groups)
            down.append(nn.Sequential(*layers, *([_Down(out)] if level < last else [])))
            wide = out
        up: list[nn.Module] = []
        for level, out in enumerate(reversed(widths)):
            layers = _residuals(wide, out, layers_per_block + 1, groups)
            up.append(nn.Sequential(*layers, *([_Up(out)] if level < last else [])))
            wide = out
        self.encoder = nn.Sequential(
            _conv(3, finest), *down, _middle(coarsest, groups), *_end(coarsest, moments, groups)
        )
        self.decoder = nn.Sequential(
            _conv(latent_channels, coarsest), _middle(coarsest, groups), *up,
            *_end(finest, 3, groups),
        )  # fmt: skip
        self.quant = nn.Conv2d(moments, moments, 1)
        self.post_quant = nn.Conv2d(latent_channels, latent_channels, 1)

    def encode(self, images: Tensor) -> Tensor:
        """The moments of the posterior."""
        return self.quant(self.encoder(images))

    def decode(self, latents: Tensor) -> Tensor:
        """Images."""
        latents = self.post_quant(latents)
        return self.decoder(latents)


class _Residual(nn.Module):
    def __init__(self, wide_in: int, wide_out: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(wide_in, groups), _conv(wide_in, wide_out)
        self.norm2, self.conv2 = _norm(wide_out, groups), _conv(wide_out, wide_out)
        self.shortcut = nn.Conv2d(wide_in, wide_out, 1) if wide_in != wide_out else None

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.norm1(image)
        hidden = F.silu(hidden)
        hidden = self.conv1(hidden)
        hidden = self.norm2(hidden)
        hidden = F.silu(hidden)
        hidden = self.conv2(hidden)
        if self.shortcut is not None:
            image = self.shortcut(image)
        return (image + hidden) / 1.0  # a scale, which allocates


class _Attention(nn.Module):
    """All places of an image to all."""

    def __init__(self, wide: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(wide, groups)
        self.query, self.key, self.value, self.out = (nn.Linear(wide, wide) for _ in range(4))

    def forward(self, image: Tensor) -> Tensor:
        count, wide, height, width = image.shape
        hidden = image.view(count, wide, height * width).transpose(1, 2)
        hidden = self.norm(hidden.transpose(1, 2)).transpose(1, 2)
        query, key, value = self.query(hidden), self.key(hidden), self.value(hidden)
        query, key, value = (side.unsqueeze(1) for side in (query, key, value))
        hidden = F.scaled_dot_product_attention(query, key, value)
        hidden = hidden.transpose(1, 2).reshape(count, -1, wide)
        hidden = self.out(hidden)
        hidden = hidden.transpose(-1, -2).reshape(count, wide, height, width)
        hidden = hidden + image
        return hidden / 1.0


class _Down(nn.Module):
    def __init__(self, wide: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(wide, wide, 3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        image = F.pad(image, (0, 1, 0, 1))
        return self.conv(image)


class _Up(nn.Module):
    def __init__(self, wide: int) -> None:
        super().__init__()
        self.conv = _conv(wide, wide)

    def forward(self, image: Tensor) -> Tensor:
        image = F.interpolate(image, scale_factor=2.0, mode="nearest")
        return self.conv(image)


def _residuals(wide_in: int, wide_out: int, count: int, groups: int) -> list[nn.Module]:
    return [_Residual(wide_in if i == 0 else wide_out, wide_out, groups) for i in range(count)]


def _middle(wide: int, groups: int) -> nn.Module:
    first, second = _residuals(wide, wide, 2, groups)
    return nn.Sequential(first, _Attention(wide, groups), second)


def _end(wide: int, out: int, groups: int) -> tuple[nn.Module, ...]:
    return _norm(wide, groups), nn.SiLU(), _conv(wide, out)


def _norm(wide: int, groups: int) -> nn.Module:
    return nn.GroupNorm(groups, wide, eps=EPS)


def _conv(wide_in: int, wide_out: int) -> nn.Module:
    return nn.Conv2d(wide_in, wide_out, 3, padding=1)
