"""Files of tensors: read without running any code in them, written atomically.

Reads safetensors and files of ``torch.save`` (zip archives, memory-mapped, and the older ``.pth``),
always with ``weights_only=True``: tensors and plain containers. A pickle that needs anything else
is refused. Writes safetensors, bit for bit, with their provenance.
"""

import hashlib
import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]  # an unparametrised PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType]  # the same
)
from torch import Tensor

SAFETENSORS = ".safetensors"
_PROVENANCE = "viton-dit"
"""Our only metadata key, JSON: safetensors writes several keys in a varying order."""

_REFUSED = re.compile(r"GLOBAL (\S+)")
_NO_WEIGHTS = {
    b"PK\x03\x04": "it is truncated; copy or download it again",
    b"version https://git-lfs": "it is a Git LFS pointer; fetch the file itself (git lfs pull)",
    b"<": "it is a web page; download the file itself",
}
_DAMAGED = (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AssertionError)
"""What torch's unpickler raises on bytes that are not a pickle of weights."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A flat state dict from a .safetensors or torch file, bare or under "state_dict".

    Raises:
        ValueError: the file is missing, unreadable, or contains something else.
    """
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    content = read_torch_file(path)
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path} is not a flat state dict: it holds no weights")
    named = cast("dict[str, Any]", state)
    others = [str(name) for name, value in named.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"{path} is not a flat state dict; not tensors: {list_some(others)}")
    return dict(named)


def read_torch_file(path: str | Path) -> dict[str, Any]:
    """A dict written by ``torch.save``, on the CPU.

    Zip archives are memory-mapped: tensors that are not used (optimizer states) are never read.

    Raises:
        ValueError: the file is missing, truncated, not from ``torch.save``, or needs code to load.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a readable checkpoint: there is no such file")
    is_zip = zipfile.is_zipfile(path)
    for beginning, reason in _NO_WEIGHTS.items():
        if not is_zip and _begins_with(path, beginning):
            raise ValueError(f"{path} is not a readable checkpoint: {reason}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, str(error))) from error
    except _DAMAGED as error:
        kind = type(error).__name__
        raise ValueError(
            f"{path} is not a readable checkpoint: not written by torch.save"
            f" ({kind}: {_line(error)})"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of weights")
    return cast("dict[str, Any]", content)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The provenance that ``write_weights`` stored in a safetensors file; empty for other files.

    Raises:
        ValueError: not a readable safetensors file.
    """
    try:
        with cast(Any, safe_open)(path, framework="pt") as file:
            metadata = cast("dict[str, str] | None", file.metadata())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {_line(error)}") from error
    return json.loads((metadata or {}).get(_PROVENANCE, "{}"))


def write_weights(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write tensors as safetensors, atomically; the same input gives the same bytes.

    Args:
        path: its folder is created if needed; an existing file is replaced.
        tensors: of any layout; views and tensors that share memory are written separately.
        provenance: where they come from, plain containers.

    Raises:
        ValueError: the file cannot be written.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {_PROVENANCE: json.dumps(provenance, sort_keys=True)} if provenance else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        mode = aside.stat().st_mode  # a new file's default; safetensors would restrict it to owner
        save_file(_separate(tensors), aside, metadata=metadata)
        aside.chmod(mode)
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} could not be written: {_line(error)}") from error
    finally:
        if aside.exists():
            aside.unlink()


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Check a command's output path before any work is done.

    Raises:
        ValueError: the file exists already, or its name does not end in .safetensors.
    """
    if path.suffix != SAFETENSORS:
        raise ValueError(f"{path} must end in {SAFETENSORS}")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; give another name, or --overwrite")


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_some(names: Sequence[str], limit: int = 12) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {_line(error)}") from error


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, no two in one storage, as safetensors requires."""
    taken: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        taken.add(tensor.untyped_storage().data_ptr())
        apart[name] = tensor
    return apart


def _begins_with(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def _refusal(path: Path, message: str) -> str:
    """One sentence from torch's long message about what a weights-only load refuses."""
    found = _REFUSED.search(message)
    if found is None:
        reason = message.rpartition("WeightsUnpickler error:")[2].split("\n\nCheck the doc")[0]
        return (
            f"{path} is not a readable checkpoint: not written by torch.save"
            f" ({' '.join(reason.split())})"
        )
    return (
        f"{path} is not a readable checkpoint: besides tensors it holds {found[1]}, and code named"
        " in a file is never run; if you trust the file, save its state dict alone (a dict of"
        " tensors, with torch.save) and use that"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
