"""The embedded codec with learned weights: a small autoencoder that starts as the block DCT.

Not part of VITON-DiT. Both directions are the DCT's filters on wider, overlapping windows, free to
learn, plus a small convolutional network; overlapping windows leave no edges of blocks. Trained by
``make codec`` (training/codec). ``pretrained/codec.safetensors`` ships with its record, which has
its figures beside the DCT's. The file holds each channel's statistics: latents have mean 0 and
variance 1 over the training pictures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.codecs.dct import BLOCK, MAX_CHANNELS, MIN_CHANNELS, DctCodec
from models.weights.files import read_weights

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained" / "codec.safetensors"
"""The weights that ship with the project."""

STATISTICS = ("mean", "std", "gain")
"""Tensors of the file beside the weights, (c,): see ``pack``."""

MARGIN = BLOCK // 2
"""Pixels by which a window reaches over its block, on each side."""
ENCODER_WIDTH, ENCODER_DEPTH = 64, 2
DECODER_WIDTHS, DECODER_DEPTHS = (96, 48), (3, 2)
"""Channels and residual blocks of the decoder at 1/8 and 1/4 of the picture's size."""


class ConvBlock(nn.Module):
    """A residual block without normalisation: a picture's result does not depend on its batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(width, width, 3, padding=1)
        self.point = nn.Conv2d(width, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The input plus what the block adds."""
        return x + self.point(F.silu(self.wide(x)))


class SmallAutoencoder(nn.Module):
    """Pictures in [-1, 1] <-> latents, one per 8 x 8 pixels, not yet whitened.

    At first it is exactly the DCT of ``DctCodec(latent_channels)``: both networks add zero.

    Args:
        latent_channels: 4 to 192.
    """

    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        width, depth = ENCODER_WIDTH, ENCODER_DEPTH
        window = BLOCK + 2 * MARGIN
        self.analysis = nn.Conv2d(3, latent_channels, window, stride=BLOCK, bias=False)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, width, 4, stride=2, padding=1),
            *(ConvBlock(width) for _ in range(depth)),
            nn.SiLU(),
            nn.Conv2d(width, latent_channels, 1),
        )
        eighth, quarter = DECODER_WIDTHS
        self.synthesis = nn.Sequential(
            nn.Conv2d(latent_channels, 3 * BLOCK * BLOCK, 3, padding=1, bias=False),
            nn.PixelShuffle(BLOCK),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, eighth, 3, padding=1),
            *(ConvBlock(eighth) for _ in range(DECODER_DEPTHS[0])),
            nn.Conv2d(eighth, 4 * quarter, 1),
            nn.PixelShuffle(2),
            *(ConvBlock(quarter) for _ in range(DECODER_DEPTHS[1])),
            nn.SiLU(),
            nn.Conv2d(quarter, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.init_weights(latent_channels)

    def init_weights(self, latent_channels: int) -> None:
        """Start as the DCT: a good codec from the first step, with whitened latents."""
        dct = DctCodec(latent_channels)
        inside = slice(MARGIN, MARGIN + BLOCK)
        nn.init.zeros_(self.analysis.weight)
        self.analysis.weight.data[:, :, inside, inside] = dct.analysis
        spread = cast(nn.Conv2d, self.synthesis[0])
        nn.init.zeros_(spread.weight)
        spread.weight.data[:, :, 1, 1] = rearrange(dct.synthesis, "c p y x -> (p y x) c")
        for network, position in ((self.encoder, -1), (self.decoder, -2)):
            last = network[position]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h/8 w/8"]:
        """Latents before whitening."""
        windows = F.pad(images, (MARGIN,) * 4, mode="replicate")
        return self.analysis(windows) + self.encoder(images)

    def decode(self, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h*8 w*8"]:
        """Pictures, not clamped."""
        return self.synthesis(latents) + self.decoder(latents)


class LearnedCodec(nn.Module):
    """The trained autoencoder as a codec: latents of mean 0, frame by frame.

    Never trained further; it works on its input's device, in float32.

    Args:
        latent_channels: as the file has.
        whitening: as in ``DctCodec``: 1 gives every channel variance 1; 0 the proportions in which
            channels move pixels. The mean variance over channels is 1 either way.
        path: weights written by ``make codec``; None: the ones that ship.
        frames_per_call: frames processed at once: memory against speed.

    Raises:
        ValueError: no such file, or one that holds something else.
    """

    factor = BLOCK
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        latent_channels: int,
        whitening: float = 1.0,
        path: str | Path | None = None,
        frames_per_call: int = 8,
    ) -> None:
        super().__init__()
        file = Path(path or PRETRAINED)
        tensors = read_weights(file)
        self.autoencoder = _rebuild(tensors, file)
        mean, std, gain = (tensors[name].float() for name in STATISTICS)
        held = len(mean)
        if held != latent_channels:
            raise ValueError(
                f"the codec in {file} has {held} latent channels, codec.latent_channels says"
                f" {latent_channels}"
            )
        self.latent_channels = latent_channels
        self.frames_per_call = frames_per_call
        self.name = f"learned{latent_channels}" + ("" if whitening == 1 else f"-w{whitening:g}")
        left = (std * gain) ** (1 - whitening)  # RMS of the channels, up to one common factor
        scale = std * left.square().mean().sqrt() / left
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("scale", scale[:, None, None], persistent=False)

    def encode(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b c t h/8 w/8"]:
        """Latents of about unit variance.

        Raises:
            ValueError: height or width is not a multiple of 8.
        """
        latents = self.encode_images(rearrange(video, "b t c h w -> (b t) c h w"))
        return rearrange(latents, "(b t) c h w -> b c t h w", b=video.shape[0])

    @torch.no_grad()
    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h/8 w/8"]:
        """Latents of single images."""
        if images.shape[-2] % BLOCK or images.shape[-1] % BLOCK:
            raise ValueError(
                f"height and width must be multiples of {BLOCK}, not {tuple(images.shape[-2:])}"
            )
        self.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            parts = [
                self.autoencoder.encode(part.contiguous(memory_format=torch.channels_last))
                for part in torch.split(images.float(), self.frames_per_call)
            ]
            return ((torch.cat(parts) - self.mean) / self.scale).contiguous()

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b c t y x"]) -> Float[Tensor, "b t 3 y*8 x*8"]:
        """The video, clamped to [-1, 1]."""
        frames = rearrange(latents.float(), "b c t h w -> (b t) c h w")
        self.to(latents.device)
        with torch.autocast(latents.device.type, enabled=False):
            parts = [
                self.autoencoder.decode(part.contiguous(memory_format=torch.channels_last))
                for part in torch.split(frames * self.scale + self.mean, self.frames_per_call)
            ]
        images = torch.cat(parts).clamp(-1.0, 1.0)
        return rearrange(images, "(b t) c h w -> b t c h w", b=latents.shape[0])


def pack(
    autoencoder: SmallAutoencoder,
    mean: Float[Tensor, " c"],
    std: Float[Tensor, " c"],
    gain: Float[Tensor, " c"],
) -> dict[str, Tensor]:
    """The tensors of a codec's file: weights as float16, statistics as float32.

    Args:
        autoencoder: trained.
        mean: of each channel before whitening.
        std: of each channel before whitening.
        gain: root of the sum of squares by which the decoded picture moves, per unit of a channel.
    """
    weights = {name: each.detach().half() for name, each in autoencoder.state_dict().items()}
    return {**weights, **dict(zip(STATISTICS, (mean, std, gain), strict=True))}


def _rebuild(tensors: Mapping[str, Tensor], file: Path) -> SmallAutoencoder:
    """The autoencoder of a codec's file, frozen.

    Raises:
        ValueError: its tensors are not exactly a codec's.
    """
    mean = tensors.get("mean")
    if mean is not None and mean.ndim == 1 and MIN_CHANNELS <= len(mean) <= MAX_CHANNELS:
        with cast(Any, torch.random).fork_rng(
            devices=[]
        ):  # a run's draws do not depend on its codec
            built = SmallAutoencoder(len(mean))
        shapes = {name: tuple(each.shape) for name, each in built.state_dict().items()}
        shapes |= dict.fromkeys(STATISTICS, (len(mean),))
        if shapes == {name: tuple(each.shape) for name, each in tensors.items()}:
            weights = {name: tensors[name].float() for name in built.state_dict()}
            built.load_state_dict(weights)
            return built.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    raise ValueError(f"{file} does not hold a codec of this version; write one with `make codec`")
