"""Pixels <-> latents: the codec's interface, and the KL autoencoder of real runs.

Source: stabilityai/sd-vae-ft-ema through diffusers, as Open-Sora v1.0 uses it; what differs: the
posterior's mean is used instead of a sample. All codecs work frame by frame, at one latent per
8 x 8 pixels, and are frozen. The embedded codecs are in ``dct.py`` and ``learned.py``. To save
memory, frames are processed in configured batches (diffusers' slicing), and decoding may be tiled.
"""

import hashlib
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.codecs.dct import MAX_CHANNELS, DctCodec
from models.codecs.learned import PRETRAINED, LearnedCodec
from models.weights.files import file_sha256

FACTOR = 8
"""Pixels per latent, in height and in width; the same for every codec."""

KINDS = ("dct", "learned", "kl")
CODEC_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
"""Files of a diffusers AutoencoderKL, in its folder."""
PRECISIONS = ("float32", "bfloat16")

logger = logging.getLogger(__name__)


@runtime_checkable
class Codec(Protocol):
    """Converts video to latents and back. Video is in [-1, 1]; decoding clamps to it."""

    latent_channels: int
    factor: int
    name: str

    def encode(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b c t h/8 w/8"]:
        """Latents of about unit variance."""
        ...

    def decode(self, latents: Float[Tensor, "b c t y x"]) -> Float[Tensor, "b t 3 y*8 x*8"]:
        """The video, in [-1, 1]."""
        ...

    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h/8 w/8"]:
        """Latents of single images."""
        ...


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """Which codec.

    Attributes:
        kind: "kl", diffusers' AutoencoderKL from a local folder; "dct", the block DCT that needs
            no weights (demo, tests, learning); "learned", the small autoencoder that ships.
        path: for kind "kl" the folder of the autoencoder (config.json,
            diffusion_pytorch_model.safetensors); for kind "learned" a file of ``make codec``, or
            None for the one that ships.
        latent_channels: 4 for Stable Diffusion's autoencoders; 4 to 192 for "dct"; as the file has
            for "learned".
        whitening: only for kinds "dct" and "learned" (see ``DctCodec``), 0 to 1.
        sha256: only for kind "learned": the file's. Runs fill it in, and their checkpoints keep it,
            so that latents are never read with another file; None accepts any file.
        frames_per_call: frames that the autoencoder processes at once: memory against speed.
        precision: the autoencoder computes in "float32" or "bfloat16"; weights and results are
            float32. If bfloat16 overflows, the rest of the run computes in float32, with a warning.
        tiling: decode frames larger than the autoencoder's training size in overlapping, blended
            tiles: much less memory, slightly different pixels. Encoding is never tiled: a tile's
            normalisation would differ from what the network learned.
    """

    kind: str = "kl"
    path: str | None = None
    latent_channels: int = 4
    whitening: float = 1.0
    frames_per_call: int = 8
    precision: str = "float32"
    tiling: bool = False
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, not {self.kind!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, not {self.precision!r}")
        if self.frames_per_call < 1:
            raise ValueError(f"frames_per_call must be at least 1, not {self.frames_per_call}")
        if not 1 <= self.latent_channels <= MAX_CHANNELS:
            raise ValueError(
                f"latent_channels must be between 1 and {MAX_CHANNELS}, not {self.latent_channels}"
            )
        if not 0 <= self.whitening <= 1:
            raise ValueError(f"whitening must be between 0 and 1, not {self.whitening:g}")
        if self.kind == "kl" and self.whitening != 1:
            raise ValueError(
                f"whitening is only for kind 'dct' or 'learned': 1, not {self.whitening:g}"
            )
        if self.kind != "learned" and self.sha256 is not None:
            raise ValueError(f"sha256 is only for kind 'learned': empty, not {self.sha256!r}")
        if self.kind == "dct" and self.path is not None:
            raise ValueError(f"kind 'dct' has no weights: path must be empty, not {self.path!r}")
        if self.kind != "kl" and self.tiling:
            raise ValueError(
                f"kind {self.kind!r} works in windows of a few blocks: tiling has no effect"
            )


class KlCodec(nn.Module):
    """diffusers' AutoencoderKL; latents are the posterior's means, shifted and scaled.

    It moves to its input's device.

    Args:
        autoencoder: an ``AutoencoderKL``.
        name: for reports.
        frames_per_call: see CodecConfig.
        precision: see CodecConfig.
        tiling: see CodecConfig.
    """

    factor = FACTOR

    def __init__(
        self,
        autoencoder: Any,
        name: str,
        frames_per_call: int,
        precision: str = "float32",
        tiling: bool = False,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.name = name
        self.frames_per_call = frames_per_call
        self.uses_bfloat16 = precision == "bfloat16"
        self.tiling = tiling
        self.latent_channels = int(autoencoder.config.latent_channels)
        self.scale = float(autoencoder.config.scaling_factor)
        self.shift = float(getattr(autoencoder.config, "shift_factor", None) or 0.0)

    def encode(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b c t h/8 w/8"]:
        """The posterior's means, frame by frame."""
        latents = self.encode_images(rearrange(video, "b t c h w -> (b t) c h w"))
        return rearrange(latents, "(b t) c h w -> b c t h w", b=video.shape[0])

    @torch.no_grad()
    def encode_images(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h/8 w/8"]:
        """The posterior's means."""
        autoencoder = self._ready(images)
        means = self._in_parts(lambda part: autoencoder.encode(part).latent_dist.mode(), images)
        return (means - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "b c t y x"]) -> Float[Tensor, "b t 3 y*8 x*8"]:
        """The video, clamped to [-1, 1]."""
        autoencoder = self._ready(latents)
        frames = rearrange(latents / self.scale + self.shift, "b c t h w -> (b t) c h w")
        with _tiled(autoencoder, self.tiling):
            images = self._in_parts(lambda part: autoencoder.decode(part).sample, frames)
        video = rearrange(images, "(b t) c h w -> b t c h w", b=latents.shape[0])
        return video.clamp(-1.0, 1.0)

    def _in_parts(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """``function`` over a few images at a time, in the configured precision, as float32."""
        parts = torch.split(images.float(), self.frames_per_call)
        return torch.cat([self._computed(function, part) for part in parts])

    def _computed(self, function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
        device = part.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=self.uses_bfloat16):
            result = function(part).float()
        if not self.uses_bfloat16 or bool(torch.isfinite(result).all()):
            return result
        if not bool(torch.isfinite(part).all()):  # the input is not finite: precision cannot help
            return result
        logger.warning(
            "%s overflows in bfloat16; from here on it computes in float32, which takes about twice"
            " the time and memory", self.name,
        )  # fmt: skip
        self.uses_bfloat16 = False
        return self._computed(function, part)

    def _ready(self, like: Tensor) -> Any:
        if self.autoencoder.device != like.device:
            self.autoencoder.to(like.device)
        return self.autoencoder


def build_codec(config: CodecConfig) -> Codec:
    """Build the configured codec.

    Raises:
        ValueError: no folder, no autoencoder in it, or one with other latents than configured; or
            another file than ``sha256`` names.
    """
    if config.kind == "dct":
        return DctCodec(config.latent_channels, config.whitening)
    if config.kind == "learned":
        pin_codec(config)
        return LearnedCodec(
            config.latent_channels, config.whitening, config.path, config.frames_per_call
        )
    if config.path is None:
        raise ValueError(
            "codec.path must name the folder of a diffusers AutoencoderKL (or use codec.kind=dct,"
            " which needs no weights)"
        )
    folder = Path(config.path)
    _codec_files(folder)
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # slow to import

    autoencoder = cast(Any, AutoencoderKL).from_pretrained(
        str(folder), local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
    )
    codec = KlCodec(
        autoencoder,
        f"kl:{folder.name}",
        config.frames_per_call,
        config.precision,
        config.tiling,
    )
    if codec.latent_channels != config.latent_channels:
        raise ValueError(
            f"the autoencoder in {folder} has {codec.latent_channels} latent channels,"
            f" codec.latent_channels says {config.latent_channels}"
        )
    return codec


def codec_identity(config: CodecConfig) -> dict[str, str | float]:
    """Everything that determines a codec's latents: codecs of equal identity encode alike.

    Raises:
        ValueError: the autoencoder's files are missing, or not those that ``sha256`` names.
    """
    known: dict[str, str | float] = {"kind": config.kind, "latent_channels": config.latent_channels}
    if config.kind == "dct":
        return {**known, "whitening": config.whitening}
    if config.kind == "learned":
        pinned = pin_codec(config).sha256 or ""
        return {**known, "whitening": config.whitening, "sha256": pinned}
    digest = hashlib.sha256()
    for file in _codec_files(Path(config.path or "")):
        digest.update(bytes.fromhex(file_sha256(file)))
    return {**known, "precision": config.precision, "sha256": digest.hexdigest()}


def pin_codec(config: CodecConfig) -> CodecConfig:
    """The same settings with the file's ``sha256``, which a run's checkpoints keep.

    Raises:
        ValueError: the file is missing, or not the one that ``sha256`` names already.
    """
    if config.kind != "learned":
        return config
    file = Path(config.path or PRETRAINED)
    if not file.is_file():
        raise ValueError(
            f"codec.path: there is no codec in {file}; train one with `make codec`, or use"
            " codec.kind=dct, which needs no weights"
        )
    found = file_sha256(file)
    if config.sha256 not in (None, found):
        raise ValueError(
            f"the latents were made with the codec of sha256 {config.sha256:.12}, but {file} is"
            f" {found:.12}; name the file that they were made with as codec.path, or train again"
        )
    return replace(config, sha256=found)


def check_same_codec(config: CodecConfig, stored: Mapping[str, Any], where: str) -> None:
    """Check that weights that go on training saw this codec's latents.

    Args:
        config: the codec now.
        stored: the settings of the codec that the weights were trained with; a setting that is
            missing had its default.
        where: the weights' origin, for the message.

    Raises:
        ValueError: they saw another codec's.
    """
    then = CodecConfig(**stored)
    for name in ("kind", "latent_channels", "whitening", "sha256"):
        old, new = getattr(then, name), getattr(config, name)
        if old != new and not (name == "sha256" and None in (old, new)):
            raise ValueError(
                f"{where} was trained with codec.{name}={old}, now {new}: its latents mean"
                " something else; use the same codec, or start from other weights"
            )


def _codec_files(folder: Path) -> list[Path]:
    for name in CODEC_FILES:
        if not (folder / name).is_file():
            found = (
                f"is not an AutoencoderKL: {name} is missing" if folder.exists() else "is absent"
            )
            raise ValueError(
                f"codec.path {folder} {found}; `make weights FETCH=vae` downloads"
                " weights/sd-vae-ft-ema, and codec.kind=dct needs no weights"
            )
    return [folder / name for name in CODEC_FILES]


@contextmanager
def _tiled(autoencoder: Any, tiling: bool) -> Generator[None]:
    """Enable tiling within the block only: encoding is never tiled."""
    autoencoder.use_tiling = tiling
    try:
        yield
    finally:
        autoencoder.use_tiling = False


def mask_to_latents(mask: Float[Tensor, "b t 1 h w"]) -> Float[Tensor, "b 1 t h/8 w/8"]:
    """A mask on the latent grid: a latent is to be painted if any of its pixels is."""
    pooled = F.max_pool2d(rearrange(mask, "b t c h w -> (b t) c h w"), FACTOR)
    return rearrange(pooled, "(b t) c h w -> b c t h w", b=mask.shape[0])
