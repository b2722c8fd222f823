"""Layouts of public trunk files: Open-Sora v1.0's video model and PixArt-alpha's image model.

Both use the names of ``STDiT``. A file is recognised by its keys and accepted only if the keys that
are missing, and those that are ignored, are exactly the ones declared here.

==========  =========================  ===================================  ======================
kind        must be missing            ignored, if present                  reshaped
==========  =========================  ===================================  ======================
open-sora   nothing                    ``pos_embed pos_embed_temporal``     nothing
pixart      ``blocks.*.attn_temp.*``   ``pos_embed``                        patch weight, 4-D: gets
                                                                            an axis of one frame
==========  =========================  ===================================  ======================

For VitonDiT's denoiser ``blocks.*.fusion.*`` must be missing as well. PixArt's 1024-pixel models
have embedders of size and aspect ratio (``csize_embedder``, ``ar_embedder``), which are rejected.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import asin, isqrt, prod

import torch
from torch import Tensor

from models.stdit import STDiTConfig
from models.weights.files import list_some

Shapes = Mapping[str, tuple[int, ...]]
Reshaped = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""Old and new shape."""

OPEN_SORA = "open-sora"
PIXART = "pixart"
DESCRIPTIONS = {
    OPEN_SORA: "an Open-Sora v1.0 video trunk",
    PIXART: "a PixArt-alpha image model",
}

PATCH_WEIGHT = "x_embedder.proj.weight"
_TEMPORAL = ".attn_temp."
_FUSION = ".fusion."
_IGNORED = {OPEN_SORA: ("pos_embed", "pos_embed_temporal"), PIXART: ("pos_embed",)}
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_ONLY_LARGE_PIXART = ("csize_embedder.", "ar_embedder.")


@dataclass(frozen=True, kw_only=True)
class TrunkFile:
    """A trunk's tensors under the names and shapes of ``STDiT``.

    Attributes:
        kind: "open-sora" or "pixart".
        tensors: what is to be loaded, in the file's own dtype.
        ignored: position tables, which are recomputed.
        reshaped: (old shape, new shape) of tensors whose shape was changed.
    """

    kind: str
    tensors: dict[str, Tensor]
    ignored: dict[str, Tensor]
    reshaped: Reshaped


def recognise(state: Mapping[str, Tensor], where: str) -> TrunkFile:
    """Recognise a state dict by its keys, and convert it to the names and shapes of ``STDiT``.

    Raises:
        ValueError: it has no patch embedding or no blocks, so it is not a trunk.
    """
    if PATCH_WEIGHT not in state or not any(name.startswith("blocks.") for name in state):
        raise ValueError(
            f"{where} is neither an Open-Sora v1.0 nor a PixArt-alpha file: it has no"
            f" {PATCH_WEIGHT} or no blocks; its keys are {list_some(list(state))}"
        )
    kind = OPEN_SORA if any(_TEMPORAL in name for name in state) else PIXART
    ignored = {name: state[name] for name in _IGNORED[kind] if name in state}
    tensors = {name: value for name, value in state.items() if name not in ignored}
    reshaped: Reshaped = {}
    weight = tensors[PATCH_WEIGHT]
    if kind == PIXART and weight.ndim == 4:
        tensors[PATCH_WEIGHT] = weight[:, :, None]
        reshaped[PATCH_WEIGHT] = (tuple(weight.shape), tuple(tensors[PATCH_WEIGHT].shape))
    return TrunkFile(kind=kind, tensors=tensors, ignored=ignored, reshaped=reshaped)


def declared_missing(kind: str, names: Iterable[str]) -> list[str]:
    """Those of a trunk's ``names`` that a file of this kind must not have."""
    marks = (_FUSION, _TEMPORAL) if kind == PIXART else (_FUSION,)
    return [name for name in names if any(mark in name for mark in marks)]


def check_trunk(file: TrunkFile, own: Shapes, where: str) -> list[str]:
    """Check a file against the trunk that it is for.

    Args:
        file: from ``recognise``.
        own: shapes of the trunk's state dict.
        where: the file's name, for the error.

    Returns:
        The declared names that are missing.

    Raises:
        ValueError: anything else is missing, anything is unexpected (including a name declared
            missing), or a shape or dtype differs; all of them are listed.
    """
    absent = declared_missing(file.kind, own)
    wanted = {name: shape for name, shape in own.items() if name not in set(absent)}
    unexpected = [name for name in file.tensors if name not in wanted]
    faults = describe_faults(
        missing=[name for name in wanted if name not in file.tensors],
        unexpected=unexpected,
        reshaped=describe_shapes(file.tensors, wanted),
        retyped=[
            f"{name} {str(value.dtype).removeprefix('torch.')}"
            for name, value in file.tensors.items()
            if value.dtype not in _DTYPES
        ],
    )
    if faults:
        raise ValueError(
            f"{where}, {DESCRIPTIONS[file.kind]} by its keys, does not fit the network;"
            f" {faults}{_large_pixart(unexpected)}"
        )
    return absent


def infer_config(file: TrunkFile, where: str) -> STDiTConfig:
    """A trunk's sizes from its shapes, which do not reveal the heads: 16 if that divides ``dim``.

    Raises:
        ValueError: a tensor that determines a size is missing or has the wrong rank.
    """
    tensors = file.tensors
    try:
        depth = 1 + max(int(name.split(".")[1]) for name in tensors if _is_block(name))
        dim, in_channels, *patch = tensors[PATCH_WEIGHT].shape
        hidden, _ = tensors["blocks.0.mlp.fc1.weight"].shape
        length, caption_dim = tensors["y_embedder.y_embedding"].shape
        patch_outputs, _ = tensors["final_layer.linear.weight"].shape
        return STDiTConfig(
            in_channels=in_channels,
            out_channels=patch_outputs // prod(patch),
            dim=dim,
            depth=depth,
            num_heads=16 if dim % 16 == 0 else 1,
            mlp_ratio=hidden / dim,
            patch_size=patch,
            caption_dim=caption_dim,
            caption_length=length,
        )
    except KeyError as error:
        raise ValueError(
            f"{where} does not fit any trunk; keys 1 missing: {error.args[0]}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{where} is not a trunk that can be built: {error}") from error


def describe_positions(tables: Mapping[str, Tensor]) -> dict[str, str]:
    """The grid and scale that position tables were made for, from their slowest sine.

    Args:
        tables: ``pos_embed`` (1, rows * columns, dim) of a square grid, ``pos_embed_temporal``
            (1, frames, dim).

    Returns:
        For each name, such as "for 32 x 32 tokens at space_scale 1".
    """
    described: dict[str, str] = {}
    for name, table in tables.items():
        is_frames = name == "pos_embed_temporal"
        count, dim = table.shape[-2:]
        frequencies = dim // 2 if is_frames else dim // 4
        scale = "an unknown scale"
        if count > 1 and frequencies:
            slowest = 10000.0 ** (-(frequencies - 1) / frequencies)
            sine = float(table[..., 1, frequencies - 1].flatten()[0])
            if 0 < sine < 1:
                scale = f"{'time' if is_frames else 'space'}_scale {slowest / asin(sine):.3g}"
        side = isqrt(count)
        grid = f"{count} frames" if is_frames else f"{side} x {count // side} tokens"
        described[name] = f"for {grid} at {scale}"
    return described


def describe_shapes(state: Mapping[str, Tensor], own: Shapes) -> list[str]:
    """The names whose shapes differ, with both shapes."""
    return [
        f"{name} {tuple(state[name].shape)} (expected {shape})"
        for name, shape in own.items()
        if name in state and tuple(state[name].shape) != shape
    ]


def describe_faults(
    *,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
    reshaped: Sequence[str] = (),
    retyped: Sequence[str] = (),
) -> str:
    """What is wrong with a state dict's keys, as a clause; empty if nothing is."""
    kinds = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": reshaped,
        "of a dtype that is not a plain float": retyped,
    }
    return "; ".join(
        f"keys {len(names)} {fault}: {list_some(names)}" for fault, names in kinds.items() if names
    )


def _is_block(name: str) -> bool:
    pieces = name.split(".")
    return pieces[0] == "blocks" and len(pieces) > 2 and pieces[1].isdigit()


def _large_pixart(unexpected: Sequence[str]) -> str:
    if not any(name.startswith(_ONLY_LARGE_PIXART) for name in unexpected):
        return ""
    return "; this is PixArt's 1024-pixel model: use PixArt-XL-2-512x512.pth"
