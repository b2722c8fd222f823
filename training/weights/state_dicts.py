"""Reads weights files as state dicts (tensors only) and compares keys and shapes."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from configs.errors import DataError
from models.weights.files import SAFETENSORS

Shapes = Mapping[str, tuple[int, ...]]


def read_state(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file, bare or under ``state_dict``.

    Args:
        path: the file.
        device: ``meta`` reads shapes without values.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    if path.suffix == SAFETENSORS:
        try:
            return load_file(path, device="cpu")
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is not a readable safetensors file: {error}") from error
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not a readable file of weights: {first}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(f"{path} holds a {type(state).__name__}; a state dict is expected")
    return state


def shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor."""
    return {key: tuple(value.shape) for key, value in state.items()}


def compare_shapes(path: Path, kind: str, expected: Shapes, found: Shapes) -> None:
    """Raise DataError unless both have the same keys and shapes.

    Args:
        path: of the file, for the message.
        kind: what it should be, with its article.
        expected: of the network.
        found: in the file.
    """
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    other = sorted(k for k in expected.keys() & found.keys() if expected[k] != found[k])
    for fault, keys in (("lacks", missing), ("has the unknown key", unknown)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise DataError(f"{path} is not {kind}: it {fault} {keys[0]}{more}")
    if other:
        key = other[0]
        raise DataError(f"{path} is not {kind}: {key} is {found[key]}, expected {expected[key]}")
