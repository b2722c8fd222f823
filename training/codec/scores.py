"""How well codecs reproduce frames that none of them saw: PSNR, SSIM, and edges of blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8

from datasets.sample import bytes_to_signed, signed_to_bytes
from datasets.seeding import torch_generator
from models.codecs.dct import BLOCK
from models.codecs.vae import Codec
from training.metrics.ssim import ssim_map

SIZES = ((128, 96), (256, 192))
"""Heights and widths of the scored frames."""
NOISE = 0.2
"""Standard deviation of the noise of ``psnr_noisy``."""

Frames = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True, kw_only=True)
class CodecScores:
    """Means over frames.

    Attributes:
        psnr: dB, of bytes.
        ssim: over RGB, Gaussian windows of 11 pixels.
        edges: mean step across the borders of 8 x 8 blocks over the mean step inside them, minus
            that of the frames themselves: 0 for a codec that shows no blocks.
        psnr_noisy: PSNR when noise of std 0.2 was added to the latents.
        frames: how many.
    """

    psnr: float
    ssim: float
    edges: float
    psnr_noisy: float
    frames: int


def score_codecs(codecs: Mapping[str, Codec], frames: Frames) -> dict[str, dict[str, float]]:
    """The scores of several codecs on the same frames, by the codecs' names here."""
    return {name: asdict(score_codec(codec, frames)) for name, codec in codecs.items()}


def score_codec(codec: Codec, frames: Frames) -> CodecScores:
    """The scores of one codec on frames whose sides are multiples of 8."""
    video = rearrange(bytes_to_signed(torch.from_numpy(frames)), "t h w c -> 1 t c h w")
    latents = codec.encode(video)
    noise = torch.randn(latents.shape, generator=torch_generator(0, "codec scores", 0))
    plain, noisy = (_bytes_of(codec, each) for each in (latents, latents + NOISE * noise))
    return CodecScores(
        psnr=float(np.mean([psnr(one, two) for one, two in zip(plain, frames, strict=True)])),
        ssim=float(np.mean([_ssim(one, two) for one, two in zip(plain, frames, strict=True)])),
        edges=block_edges(plain) - block_edges(frames),
        psnr_noisy=float(np.mean([psnr(one, two) for one, two in zip(noisy, frames, strict=True)])),
        frames=len(frames),
    )


def psnr(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> float:
    """Peak signal-to-noise ratio of bytes, in dB; 99 for equal pictures."""
    error = np.square(first.astype(np.float64) - second).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def block_edges(frames: Frames) -> float:
    """Mean absolute step across borders of 8 x 8 blocks, over the mean step elsewhere."""
    values = frames.astype(np.float64)
    across, within = [], []
    for axis in (1, 2):
        steps = np.abs(np.diff(values, axis=axis)).mean(axis=(0, 3 - axis, 3))
        is_border = np.arange(1, len(steps) + 1) % BLOCK == 0
        across.append(steps[is_border].mean())
        within.append(steps[~is_border].mean())
    return float(np.mean(across) / max(np.mean(within), 1e-9))


def framed(
    pictures: Sequence[UInt8[np.ndarray, "h w 3"]], size: tuple[int, int]
) -> UInt8[np.ndarray, "t height width 3"]:
    """The middle of each picture in the size's aspect, scaled to it; smaller ones are left out."""
    height, width = size
    kept: list[np.ndarray] = []
    for picture in pictures:
        scale = max(height / picture.shape[0], width / picture.shape[1])
        if scale > 1:
            continue
        rows, columns = round(height / scale), round(width / scale)
        top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
        part = picture[top : top + rows, left : left + columns]
        kept.append(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))
    return np.stack(kept) if kept else np.zeros((0, height, width, 3), np.uint8)


def _bytes_of(codec: Codec, latents: Float[torch.Tensor, "b c t y x"]) -> Frames:
    frames = rearrange(codec.decode(latents), "1 t c h w -> t h w c")
    return signed_to_bytes(frames).numpy()


def _ssim(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> float:
    return float(ssim_map(first / 255.0, second / 255.0).mean())
