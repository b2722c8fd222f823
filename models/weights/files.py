"""Files of tensors: read without running anything of theirs, and written whole or not at all.

Read are safetensors and what ``torch.save`` writes (its zip archives, mapped instead of read, and
the older ``.pth``), always with ``weights_only=True``: tensors and plain containers. A pickle that
asks for anything else is refused. Written is safetensors, bit for bit, with where it came from.
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
"""The one key of our metadata, JSON: safetensors writes several in an order that changes."""

_REFUSED = re.compile(r"GLOBAL (\S+)")
_NO_WEIGHTS = {
    b"PK\x03\x04": "it is cut short; copy or download it again",
    b"version https://git-lfs": "it is a Git LFS pointer; fetch the file itself (git lfs pull)",
    b"<": "it is a web page; download the file itself",
}
_DAMAGED = (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AssertionError)
"""What torch's unpickler raises on bytes that are no pickle of weights."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A flat state dict from a file: .safetensors, or torch's, bare or under "state_dict".

    Raises:
        ValueError: the file is missing, unreadable, or holds something else.
    """
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    content = read_torch_file(path)
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path} is no flat state dict: it holds no weights")
    named = cast("dict[str, Any]", state)
    others = [str(name) for name, value in named.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"{path} is no flat state dict; no tensors: {list_some(others)}")
    return dict(named)


def read_torch_file(path: str | Path) -> dict[str, Any]:
    """The dict that ``torch.save`` wrote, on the CPU.

    Zip archives are mapped into memory: what is not looked at (optimizer states) is never read.

    Raises:
        ValueError: the file is missing, cut short, no such file, or needs code to be read.
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
            f"{path} is not a readable checkpoint: nothing that torch.save wrote"
            f" ({kind}: {_line(error)})"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of weights")
    return cast("dict[str, Any]", content)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """What ``write_weights`` noted in a safetensors file; empty for files of others.

    Raises:
        ValueError: no readable safetensors file.
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
    """Write tensors as safetensors, aside and then renamed; the same input gives the same bytes.

    Args:
        path: its folder is made if needed; a file of that name is replaced.
        tensors: of any layout; views and tensors that share memory are written one by one.
        provenance: where they come from, plain containers.

    Raises:
        ValueError: the disk refuses it.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    metadata = {_PROVENANCE: json.dumps(provenance, sort_keys=True)} if provenance else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        mode = aside.stat().st_mode  # as any new file's; safetensors leaves it to the owner alone
        save_file(_separate(tensors), aside, metadata=metadata)
        aside.chmod(mode)
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} could not be written: {_line(error)}") from error
    finally:
        if aside.exists():
            aside.unlink()


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that a command must not write to, before work is done for it.

    Raises:
        ValueError: a file is there already, or the name does not end in .safetensors.
    """
    if path.suffix != SAFETENSORS:
        raise ValueError(f"{path} must end in {SAFETENSORS}: that is what is written")
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
    """Contiguous tensors on the CPU, no two in one storage: safetensors takes no others."""
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
    """One sentence out of torch's page about what a weights-only load will not build."""
    found = _REFUSED.search(message)
    if found is None:
        reason = message.rpartition("WeightsUnpickler error:")[2].split("\n\nCheck the doc")[0]
        return (
            f"{path} is not a readable checkpoint: nothing that torch.save wrote"
            f" ({' '.join(reason.split())})"
        )
    return (
        f"{path} is not a readable checkpoint: beside tensors it holds {found[1]}, and no code that"
        " a file names is run here; if you trust the file, save its state dict alone (a dict of"
        " tensors, with torch.save) and give that"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
