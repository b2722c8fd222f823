"""Weights from files: strict, or not at all.

A loader that loads nothing in silence is the best-known bug of this family of models. Ours raise
unless the missing and unexpected keys are exactly the declared ones. Files are read with
``weights_only=True``: tensors and plain containers, never code.
"""

import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # an unparametrised PathLike
)
from torch import Tensor, nn

from models.stdit import STDiT

POSITION_TABLES = frozenset({"pos_embed", "pos_embed_temporal"})
"""Stored by Open-Sora and PixArt, recomputed by us for the grid at hand."""

NETWORK_PREFIX = "network."
"""What the network's keys start with in a training checkpoint's ``state_dict``."""


@dataclass(frozen=True, kw_only=True)
class CheckpointContents:
    """What a training checkpoint holds.

    Attributes:
        system: SystemConfig as plain dicts.
        network: state dict of VitonDiT as trained.
        ema: state dict of its running average, or None.
        step: optimizer steps taken.
    """

    system: dict[str, Any]
    network: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    step: int


def load_open_sora(trunk: STDiT, path: str | Path) -> None:
    """Load an Open-Sora v1.0 checkpoint into a bare trunk or VitonDiT's denoiser.

    Position tables are ignored. A denoiser keeps its ``fusion``; nothing else may be missing.

    Raises:
        ValueError: unreadable, or keys or shapes that are not exactly the expected ones.
    """
    state = _without_positions(read_weights(path))
    load_network(trunk, state, str(path), allow_missing=_fusion_prefixes(trunk))


def load_pixart(trunk: STDiT, path: str | Path) -> None:
    """Load PixArt-alpha's image model (``PixArt-XL-2-512x512.pth``) as a start for video.

    The patch weight gets a middle axis of length 1. Missing must be exactly every block's
    ``attn_temp`` (zero-initialised at its output: the trunk starts as the image model) and the
    position tables.

    Raises:
        ValueError: unreadable, or keys or shapes that are not exactly the expected ones.
    """
    state = _without_positions(read_weights(path))
    weight = state.get("x_embedder.proj.weight")
    if weight is not None and weight.ndim == 4:
        state["x_embedder.proj.weight"] = weight[:, :, None]
    temporal = [f"blocks.{index}.attn_temp." for index in range(len(trunk.blocks))]
    present = [name for name in state if ".attn_temp." in name]
    if present:
        raise ValueError(f"{path} is no image model: it has {_some(present)}")
    load_network(trunk, state, str(path), allow_missing=[*temporal, *_fusion_prefixes(trunk)])


def load_network(
    network: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    allow_missing: Sequence[str] = (),
) -> None:
    """Load a state dict, strictly.

    Args:
        network: what is loaded into.
        state: its weights.
        where: origin of the state, for errors.
        allow_missing: prefixes of keys that may be missing; those keep their values. A prefix is
            allowed whole: if one of its keys is missing, all must be.

    Raises:
        ValueError: keys are missing or unexpected, or shapes differ; nothing is loaded then.
    """
    own = network.state_dict()
    absent = [name for name in own if name not in state]
    excused = [prefix for prefix in allow_missing if _is_wholly_absent(prefix, state)]
    missing = [name for name in absent if not name.startswith(tuple(excused))]
    unexpected = [name for name in state if name not in own]
    reshaped = [
        f"{name} {tuple(state[name].shape)} (expected {tuple(own[name].shape)})"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {fault}: {_some(names)}"
        for fault, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if faults:
        raise ValueError(f"{where} does not fit the network; keys {'; keys '.join(faults)}")
    network.load_state_dict({**own, **state}, strict=True)


def read_checkpoint(path: str | Path) -> CheckpointContents:
    """Read a training checkpoint.

    Raises:
        ValueError: unreadable, or not written by this project's training.
    """
    content = _read_file(Path(path))
    lacking = [key for key in ("system", "state_dict", "global_step") if key not in content]
    if lacking:
        raise ValueError(
            f"{path} is no training checkpoint of this project: it has no {lacking[0]!r}"
        )
    network = {
        name.removeprefix(NETWORK_PREFIX): tensor
        for name, tensor in cast("dict[str, Tensor]", content["state_dict"]).items()
        if name.startswith(NETWORK_PREFIX)
    }
    if not network:
        raise ValueError(f"{path} holds no key that starts with {NETWORK_PREFIX!r}")
    return CheckpointContents(
        system=content["system"],
        network=network,
        ema=content.get("ema"),
        step=int(content["global_step"]),
    )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A flat state dict from a file: .safetensors, or torch's, bare or under "state_dict".

    Raises:
        ValueError: the file is missing, unreadable, or holds something else.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} is not a readable safetensors file: {_line(error)}"
            ) from error
    content = _read_file(path)
    state = cast("dict[str, Any]", content.get("state_dict", content))
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others or not state:
        raise ValueError(
            f"{path} is no flat state dict; no tensors: {_some(others) or 'it is empty'}"
        )
    return dict(state)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a readable checkpoint: {_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of weights")
    return cast("dict[str, Any]", content)


def _without_positions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in POSITION_TABLES}


def _fusion_prefixes(trunk: STDiT) -> list[str]:
    """A bare trunk has no fusion; no checkpoint of a trunk has one."""
    return [f"blocks.{index}.fusion." for index in range(len(trunk.blocks))]


def _is_wholly_absent(prefix: str, state: Iterable[str]) -> bool:
    return not any(name.startswith(prefix) for name in state)


def _some(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
