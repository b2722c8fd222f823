"""The prompt: the null caption, or one caption's T5 embedding read from a file.

VITON-DiT's prompt is constant ("a dancing person"), so its embedding is computed once, by
``python -m models.text PROMPT OUT --encoder FOLDER``; neither training nor inference needs the
encoder. The command needs transformers: ``make setup-text``.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # an unparametrised PathLike
)
from torch import Tensor
from torch.nn import functional as F

from models.embeddings import CaptionEmbedding
from models.weights.files import check_destination, list_some, write_weights

KINDS = ("null", "file")
NUM_TOKENS = 120
"""Caption tokens of Open-Sora v1.0 and PixArt-alpha, padding included."""
_ENCODER_FILES = (("config.json",), ("spiece.model", "tokenizer.json"))
"""Without a tokenizer file transformers 5 silently creates an empty tokenizer."""
PRECISIONS = ("bfloat16", "float32")


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """Which caption.

    Attributes:
        kind: "null", the network's own null caption; "file", an embedding from ``path``.
        path: safetensors with ``caption`` (tokens, width) and optionally ``mask`` (tokens,),
            as ``save_caption`` writes; only for kind "file".
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
    """Returns the caption for a video, on the network's device."""

    def __call__(
        self, batch_size: int = 1
    ) -> tuple[Float[Tensor, "b l e"], Bool[Tensor, "b l"] | None]:
        """Caption tokens for each row, and True where a token exists (None: everywhere)."""
        ...


class NullCaption:
    """The network's own null caption."""

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
        ValueError: the file is not what ``save_caption`` writes, or its size does not match.
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


@torch.no_grad()
def encode_caption(
    prompt: str, encoder: Path, num_tokens: int = NUM_TOKENS, precision: str = "bfloat16"
) -> tuple[Float[Tensor, "l e"], Bool[Tensor, " l"]]:
    """Embed a prompt with a T5 encoder from a local folder, on the CPU.

    As Open-Sora v1.0 (``opensora/models/text_encoder/t5.py``): lower case, padded to
    ``num_tokens``, the last hidden state and the tokenizer's mask. Its cleaning of web captions
    (URLs, HTML, file names) is left out: a prompt typed here has none.

    Args:
        prompt: at most ``num_tokens`` - 1 tokens.
        encoder: folder with ``config.json``, weights and tokenizer, as transformers saves them.
        num_tokens: length that the network expects.
        precision: "bfloat16" (9.5 GB of memory for the XXL encoder) or "float32" (19 GB).

    Raises:
        ValueError: transformers or sentencepiece is not installed, the folder is not a T5 encoder,
            or the prompt is empty or too long.
    """
    if not prompt.strip():
        raise ValueError("the prompt is empty; the null caption needs no file")
    tokenizer, network = _load_encoder(encoder, precision)
    text = prompt.lower().strip()
    length = len(tokenizer(text).input_ids)
    if length > num_tokens:
        raise ValueError(f"the prompt has {length} tokens; the network takes {num_tokens}")
    tokens = tokenizer(text, max_length=num_tokens, padding="max_length", return_tensors="pt")
    hidden = network(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
    ).last_hidden_state
    return hidden[0].float(), tokens.attention_mask[0].bool()


def save_caption(
    path: Path,
    caption: Float[Tensor, "l e"],
    mask: Bool[Tensor, " l"] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a caption's embedding for kind "file"; an existing file is replaced.

    For Open-Sora's weights: the last hidden state of DeepFloyd/t5-v1_1-xxl (width 4096) for the
    prompt padded to 120 tokens, and the tokenizer's attention mask.
    """
    tensors = {"caption": caption.float()}
    if mask is not None:
        tensors["mask"] = mask.to(torch.uint8)
    write_weights(path, tensors, provenance)


def build_captions(config: CaptionConfig, embedder: CaptionEmbedding) -> Captions:
    """The configured captions, for the network that owns ``embedder``."""
    if config.path is None:
        return NullCaption(embedder)
    return FileCaption(Path(config.path), embedder)


def _read_caption(path: Path) -> tuple[Tensor, Tensor]:
    """Tokens (l, e) in float32, and the mask of those that exist (l,)."""
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


def require_encoder(folder: Path) -> None:
    """Raise a ValueError for a folder without an encoder's files; none is opened."""
    for names in _ENCODER_FILES:
        if not any((folder / name).is_file() for name in names):
            raise ValueError(
                f"{folder} is not a T5 encoder: it has no {' or '.join(names)}; download"
                " DeepFloyd/t5-v1_1-xxl and give its folder"
            )


def _load_encoder(folder: Path, precision: str) -> tuple[Any, Any]:
    """Tokenizer and encoder (transformers has no types for them) from a local folder."""
    require_encoder(folder)
    try:
        from transformers import AutoTokenizer, T5EncoderModel  # pyright: ignore
    except ImportError as error:
        raise ValueError(
            f"a caption needs transformers, which cannot be imported ({_line(error)}); install it"
            " with `make setup-text`"
        ) from error
    tokenizers, encoders = cast(Any, AutoTokenizer), cast(Any, T5EncoderModel)
    dtype = getattr(torch, precision)
    try:
        tokenizer = tokenizers.from_pretrained(folder, local_files_only=True)
        encoder, info = encoders.from_pretrained(
            folder, local_files_only=True, dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise ValueError(f"{folder} is not a T5 encoder: {_line(error)}") from error
    missing = sorted(info["missing_keys"])  # transformers would leave them random
    if missing:
        raise ValueError(
            f"{folder} is not a complete T5 encoder; keys missing: {list_some(missing)}"
        )
    return tokenizer, encoder.eval()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. User errors are one sentence and code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m models.text", description="Embed a prompt once, for system.caption.path."
    )
    parser.add_argument("prompt", metavar="PROMPT", help='such as "a dancing person"')
    parser.add_argument("out", metavar="OUT", type=Path, help="ends in .safetensors")
    parser.add_argument(
        "--encoder", metavar="FOLDER", type=Path, required=True, help="DeepFloyd/t5-v1_1-xxl"
    )
    parser.add_argument("--tokens", metavar="N", type=int, default=NUM_TOKENS, help="padded to")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    given = parser.parse_args(argv)
    try:
        check_destination(given.out, overwrite=given.overwrite)
        caption, mask = encode_caption(given.prompt, given.encoder, given.tokens, given.precision)
        provenance = {
            "prompt": given.prompt,
            "encoder": given.encoder.resolve().name,
            "precision": given.precision,
        }
        save_caption(given.out, caption, mask, provenance)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(
        f"{given.out}: {int(mask.sum())} tokens of {given.prompt!r} in {len(mask)}, width"
        f" {caption.shape[1]}, {given.encoder.resolve().name} in {given.precision}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
