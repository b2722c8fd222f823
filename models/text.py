"""The prompt: the null caption, or one caption's T5 embedding read from a file.

VITON-DiT's prompt is constant ("a dancing person"), so its embedding is computed once, elsewhere;
neither training nor inference needs the encoder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # an unparametrised PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType]  # the same
)
from torch import Tensor
from torch.nn import functional as F

from models.embeddings import CaptionEmbedding

KINDS = ("null", "file")


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """Which caption.

    Attributes:
        kind: "null", the network's own null caption; "file", an embedding from ``path``.
        path: safetensors with ``caption`` (tokens, width) and optionally ``mask`` (tokens,),
            as ``save_caption`` writes; kind "file" alone.
    """

    kind: str = "null"
    path: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, not {self.kind!r}")
        if (self.kind == "file") != (self.path is not None):
            raise ValueError(f"path belongs to kind 'file': kind {self.kind!r}, path {self.path!r}")


@runtime_checkable
class Captions(Protocol):
    """Gives the caption that a video is made with, on the network's device."""

    def __call__(
        self, batch_size: int = 1
    ) -> tuple[Float[Tensor, "b l e"], Bool[Tensor, "b l"] | None]:
        """Caption tokens, and True where one exists (None: everywhere), for each row."""
        ...


class NullCaption:
    """The network's null caption, whatever checkpoint it came with."""

    def __init__(self, embedder: CaptionEmbedding) -> None:
        self.embedder = embedder

    def __call__(
        self, batch_size: int = 1
    ) -> tuple[Float[Tensor, "b l e"], Bool[Tensor, "b l"] | None]:
        """The null caption and no mask."""
        return self.embedder.null_caption(batch_size), None


class FileCaption:
    """One caption from a file, padded to the network's caption length.

    Raises:
        ValueError: the file is not what ``save_caption`` writes, or its size does not fit.
    """

    def __init__(self, path: Path, embedder: CaptionEmbedding) -> None:
        self.embedder = embedder
        length, width = embedder.y_embedding.shape
        caption, mask = _read_caption(path)
        if caption.shape[1] != width or caption.shape[0] > length:
            raise ValueError(
                f"{path}: the caption has {tuple(caption.shape)} (tokens, width); the network takes"
                f" at most {length} tokens of width {width}"
            )
        missing = length - caption.shape[0]
        self.caption = F.pad(caption, (0, 0, 0, missing))
        self.mask = F.pad(mask, (0, missing))

    def __call__(
        self, batch_size: int = 1
    ) -> tuple[Float[Tensor, "b l e"], Bool[Tensor, "b l"] | None]:
        """The caption and which of its tokens exist."""
        device = self.embedder.y_embedding.device
        caption, mask = self.caption.to(device), self.mask.to(device)
        return caption.expand(batch_size, -1, -1), mask.expand(batch_size, -1)


def save_caption(
    path: Path, caption: Float[Tensor, "l e"], mask: Bool[Tensor, " l"] | None = None
) -> None:
    """Write a caption's embedding for kind "file".

    For Open-Sora's weights: the last hidden state of DeepFloyd/t5-v1_1-xxl (width 4096) for the
    prompt padded to 120 tokens, and the tokenizer's attention mask.
    """
    tensors = {"caption": caption.float().contiguous()}
    if mask is not None:
        tensors["mask"] = mask.to(torch.uint8).contiguous()
    save_file(tensors, path)


def build_captions(config: CaptionConfig, embedder: CaptionEmbedding) -> Captions:
    """The captions that a config names, for the network that owns ``embedder``."""
    if config.path is None:
        return NullCaption(embedder)
    return FileCaption(Path(config.path), embedder)


def _read_caption(path: Path) -> tuple[Tensor, Tensor]:
    """Tokens (l, e) in float32 and which of them exist (l,)."""
    if not path.is_file():
        raise ValueError(f"caption file {path} does not exist")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"caption file {path} is not a safetensors file: {error}") from error
    if "caption" not in tensors:
        raise ValueError(f"caption file {path} has no 'caption', only {sorted(tensors)}")
    caption = tensors["caption"].float()
    if caption.ndim != 2:
        raise ValueError(f"{path}: 'caption' must be (tokens, width), not {tuple(caption.shape)}")
    mask = tensors.get("mask", torch.ones(caption.shape[0])).to(torch.bool)
    if mask.shape != caption.shape[:1] or not mask.any():
        raise ValueError(f"{path}: 'mask' must mark at least one of the caption's tokens")
    return caption, mask
