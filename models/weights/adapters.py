"""LoRA adapters as files, the network that each was trained on, and the sum of both.

LoRA (Hu et al. 2021, arXiv 2106.09685) leaves a network's weights alone and learns, for a linear
layer, ``alpha / rank * B A``, which is added to its weight. An adapter is a training checkpoint
with the key ``lora``, or a folder that ``export`` writes in PEFT's layout. Adding needs no PEFT.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from models.weights.files import (
    SAFETENSORS,
    file_sha256,
    list_some,
    read_provenance,
    read_weights,
    write_weights,
)
from models.weights.sharded import is_sharded, read_whole

ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
"""PEFT's names of an adapter's weights and settings."""
DOWN, UP = ".lora_A.", ".lora_B."
"""In the names of an adapter's two matrices: A, from the input to ``rank``; B, on to the output."""
_PEFT_PREFIX = "base_model.model."
_PREFIX = "network."


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """The model that an adapter was trained on.

    Attributes:
        sha256: ``network_sha256`` of the parts in use.
        path: where it was, for messages; an exported adapter keeps only its last pieces.
        weights: "ema" or "raw": which of its weights.
        parts: networks in use.
    """

    sha256: str
    path: str
    weights: str
    parts: list[str]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A trained adapter.

    Attributes:
        path: its file or folder.
        sha256: of that file, or of the folder's weights.
        rank: rows of A.
        alpha: ``alpha / rank`` is what B A is multiplied by.
        pairs: layer -> (A, B), of (rank, in) and (out, rank).
        base: the model that it belongs to.
        step: optimizer steps taken.
        weights: "ema" or "raw": which of its weights these are.
        system: SystemConfig of its base as plain dicts.
        sampler: SamplerConfig that it was validated with; None: not known.
    """

    path: str
    sha256: str
    rank: int
    alpha: float
    pairs: dict[str, tuple[Tensor, Tensor]]
    base: BaseModel
    step: int
    weights: str
    system: dict[str, Any]
    sampler: dict[str, Any] | None = None


def network_sha256(state: Mapping[str, Tensor], parts: Collection[str]) -> str:
    """Identifies a network's weights, whatever file they lie in.

    Taken after rounding to bfloat16: a checkpoint, its export, and an export in bfloat16 agree.

    Args:
        state: state dict of VitonDiT.
        parts: networks that count, such as denoiser, garment, control.
    """
    used = tuple(f"{part}." for part in parts)
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(used)):
        value = state[name].detach().cpu()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        if value.is_floating_point():
            value = value.to(torch.bfloat16).contiguous().view(torch.int16)
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def locate_adapter(path: Path) -> Path | None:
    """Resolve a path to an adapter's file or folder; None if there is none.

    The path is a folder written by ``export``, a checkpoint with or without ``.ckpt``, or a run's
    folder, whose last checkpoint is meant.
    """
    named = path.with_name(f"{path.name}.ckpt") if path.name else path
    for place in (path, named, path / "last.ckpt", path / "checkpoints" / "last.ckpt"):
        if place.is_file() or is_sharded(place) or (place / ADAPTER).is_file():
            return place
    return None


def read_adapter(path: Path, weights: str = "ema") -> Adapter:
    """Read an adapter.

    Args:
        path: what ``locate_adapter`` found.
        weights: "raw", or "ema": the average if there is one.

    Raises:
        ValueError: unreadable, or no adapter of this project.
    """
    folder = path.parent if path.name == ADAPTER else path
    if (folder / ADAPTER).is_file():
        file = folder / ADAPTER
        notes, tensors = read_provenance(file), read_weights(file)
        tensors = {name.removeprefix(_PEFT_PREFIX): value for name, value in tensors.items()}
        kind, step = str(notes.get("weights")), notes.get("step")
    elif path.suffix == SAFETENSORS:
        raise ValueError(f"{path} holds no adapter; give a folder that holds {ADAPTER}, or a run's")
    else:
        file = path
        notes = read_whole(path, only=("lora", "state_dict", "ema", "global_step", "system",
                                       "sampler"))  # fmt: skip
        averaged = cast("dict[str, Tensor] | None", notes.get("ema"))
        kind = "ema" if weights == "ema" and averaged else "raw"
        state = averaged if kind == "ema" else notes.get("state_dict", {})
        tensors = {name.removeprefix(_PREFIX): value for name, value in (state or {}).items()}
        step = notes.get("global_step")
    record = notes.get("lora")
    if record is None:
        raise ValueError(f"{path} holds no adapter: it was not trained with lora.rank above 0")
    return Adapter(
        path=str(path),
        sha256=file_sha256(file) if file.is_file() else network_sha256(tensors, _heads(tensors)),
        rank=int(record["rank"]),
        alpha=float(record["alpha"]),
        pairs=_pairs(tensors, str(path)),
        base=BaseModel(**record["base"]),
        step=int(cast(Any, step)),
        weights=kind,
        system=notes["system"],
        sampler=notes.get("sampler"),
    )


def add_adapter(state: Mapping[str, Tensor], adapter: Adapter, where: str) -> dict[str, Tensor]:
    """A network's state dict with an adapter added to its weights, which keep their dtype.

    Args:
        state: of the model that it was trained on.
        adapter: the adapter.
        where: origin of the state, for errors.

    Raises:
        ValueError: another model, in one sentence.
    """
    base, own = adapter.base, network_sha256(state, adapter.base.parts)
    absent = [layer for layer in adapter.pairs if f"{layer}.weight" not in state]
    reshaped = [
        layer for layer, (down, up) in adapter.pairs.items()
        if layer not in absent
        and tuple(state[f"{layer}.weight"].shape) != (up.shape[0], down.shape[1])
    ]  # fmt: skip
    if absent or reshaped:
        raise ValueError(
            f"adapter {adapter.path} does not fit {where}, whose layers"
            f" {list_some(absent or reshaped, 3)} are {'absent' if absent else 'of another size'};"
            f" give the model that it was trained on, {base.path}"
        )
    if own != base.sha256:
        raise ValueError(
            f"adapter {adapter.path} was trained on the {base.weights} weights of {base.path}"
            f" (network {base.sha256[:12]}), and {where} holds other weights ({own[:12]}); give the"
            " model that it was trained on"
        )
    merged = dict(state)
    for layer, (down, up) in adapter.pairs.items():
        weight = merged[f"{layer}.weight"]
        change = adapter.alpha / adapter.rank * (up.double() @ down.double())
        merged[f"{layer}.weight"] = (weight.double() + change).to(weight.dtype)
    return merged


def write_adapter(folder: Path, adapter: Adapter, dtype: torch.dtype) -> None:
    """Write ``ADAPTER`` and ``ADAPTER_CONFIG`` into a folder, as PEFT reads them.

    Raises:
        ValueError: a file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for layer, (down, up) in adapter.pairs.items():
        for mark, value in ((DOWN, down), (UP, up)):
            tensors[f"{_PEFT_PREFIX}{layer}{mark}weight"] = value.to(dtype)
    provenance = {
        "lora": {"rank": adapter.rank, "alpha": adapter.alpha, "base": asdict(adapter.base)},
        "system": adapter.system,
        "sampler": adapter.sampler,
        "step": adapter.step,
        "weights": adapter.weights,
    }
    write_weights(folder / ADAPTER, tensors, provenance)
    settings = {
        "peft_type": "LORA",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "target_modules": sorted(adapter.pairs),
        "bias": "none",
        "base_model_name_or_path": adapter.base.path,
        "inference_mode": True,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / ADAPTER_CONFIG).write_text(text, encoding="utf-8")


def _pairs(tensors: Mapping[str, Tensor], where: str) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of each layer, by names such as ``...qkv.lora_A.default.weight``."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        for mark in (DOWN, UP):
            layer, _, rest = name.partition(mark)
            if rest.endswith("weight"):
                found.setdefault(layer, {})[mark] = value
    if not found or any(len(pair) != 2 for pair in found.values()):
        raise ValueError(f"{where} holds no complete adapter; export it, or train it, again")
    return {layer: (pair[DOWN], pair[UP]) for layer, pair in found.items()}


def _heads(tensors: Mapping[str, Tensor]) -> set[str]:
    return {name.split(".")[0] for name in tensors}
