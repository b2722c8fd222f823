"""``make export CHECKPOINT=runs/stage3 OUT=folder``: the part of a checkpoint that inference needs.

The folder holds ``model.safetensors`` (the moving average if there is one, in float32 or bfloat16),
``config.json`` (the system of the weights, the sampler they were made for, their limits) and
``README.md``, a model card. It loads wherever a checkpoint does:
``TryOnPipeline.from_checkpoint(folder)``, ``checkpoint=folder``. It contains no optimizer states
and no paths of training data.

A run of adapters (``lora``) is exported as the model that it and its base make together
(``lora=merged``), or alone, in PEFT's layout (``lora=adapter``): small, for ``tryon lora=folder``.
"""

import json
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.checks import check_choices
from configs.command import run_command
from configs.errors import ConfigError, DataError
from configs.loading import from_plain, load_config
from datasets.storage import file_sha256, writing
from models.checkpoints import EXPORTED, CheckpointContents, check_network, read_checkpoint
from models.system import SystemConfig
from models.viton_dit import VitonDiT
from models.weights.adapters import (
    ADAPTER,
    Adapter,
    add_adapter,
    read_adapter,
    write_adapter,
)
from models.weights.files import write_weights
from models.weights.sharded import read_whole
from training.checkpoints.files import find_checkpoint
from training.checkpoints.model_card import Exported, adapter_card, write_card

logger = logging.getLogger(__name__)

WEIGHTS = ("ema", "raw")
ESTIMATOR = "garment.places."
"""Tensors that stay float32: rounded, they would move places by a percent of the picture."""
DTYPES = ("float32", "bfloat16")
LORA = ("merged", "adapter")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export, and how."""

    checkpoint: str = ""  # a checkpoint, or a run's folder, whose last one is used
    out: str = ""  # a new folder, or an earlier export
    weights: str = "ema"  # the moving average if there is one; or raw
    dtype: str = "float32"  # bfloat16: half the size; inference on GPUs rounds to it anyway
    limits: str = ""  # what the model cannot do, a short text for the card and for its users
    lora: str | None = None  # of adapters: merged (null: the same) with their base; or adapter
    base: str | None = None  # the model that adapters were trained on; null: where it was then

    def __post_init__(self) -> None:
        for name in ("checkpoint", "out"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name} is empty; usage: make export CHECKPOINT=runs/stage3 OUT=folder"
                )
        check_choices(self, weights=WEIGHTS, dtype=DTYPES)
        if self.lora is not None:
            check_choices(self, lora=LORA)


def read_arguments(argv: list[str]) -> ExportConfig:
    """The settings of ``key=value`` words, if their checkpoint is there.

    Raises:
        ConfigError: a key or value is refused, or there is no such checkpoint.
    """
    config = load_config(ExportConfig, None, argv)
    _find_source(config)
    return config


def main(argv: list[str]) -> int:
    """Read ``key=value`` words and export."""
    config = read_arguments(argv)
    folder = export(config)
    if (folder / ADAPTER).is_file():
        logger.info("%s: give lora=%s next to the checkpoint that it belongs to", folder, folder)
    else:
        logger.info("%s: load it with TryOnPipeline.from_checkpoint, or give checkpoint=%s",
                    folder, folder)  # fmt: skip
    return 0


def export(config: ExportConfig) -> Path:
    """Write the folder under a temporary name, then rename it.

    Raises:
        ConfigError: there is no such checkpoint, or ``out`` is not an export.
        DataError: the checkpoint cannot be read, or lacks a network that inference needs; or the
            base of adapters is another model.
    """
    source, out = _find_source(config), Path(config.out)
    if out.exists() and not any((out / name).is_file() for name in (EXPORTED, ADAPTER)):
        raise ConfigError(f"out {out} exists and is not an exported model; give another folder")
    try:
        adapter = _read_if_adapter(source, config)
        if adapter is not None and config.lora == "adapter":
            return _export_adapter(adapter, out, config)
        notes = _read_notes(source)
        if adapter is None:
            content = read_checkpoint(source)
            taken, kind = content.choose(config.weights)
        else:
            content = _merge(adapter, config)
            taken, kind = content.network, adapter.weights
        _check_complete(content, taken, source)
    except (DataError, ConfigError):
        raise
    except ValueError as error:
        raise DataError(str(error)) from error
    dtype = getattr(torch, config.dtype)
    tensors = {
        name: value.to(dtype) if value.is_floating_point() and ESTIMATOR not in name else value
        for name, value in taken.items()
    }
    if kind != config.weights:
        logger.warning("%s holds no %s weights; exporting the %s ones", source,
                       config.weights, kind)  # fmt: skip
    provenance = {"system": content.system, "step": content.step, "weights": kind}
    if content.sampler is None:
        logger.warning("%s does not say which sampler it was made for; neither will the export",
                       source)  # fmt: skip
    else:
        provenance["sampler"] = content.sampler
    with writing(out) as aside:
        write_weights(aside / EXPORTED, tensors, provenance)
        facts = Exported(
            run=notes.get("name", source.stem),
            stage=notes.get("stage", "unknown"),
            step=content.step,
            max_steps=notes.get("max_steps"),
            weights=kind,
            dtype=config.dtype,
            num_parameters=sum(value.numel() for value in tensors.values()),
            sha256=file_sha256(aside / EXPORTED),
            code=notes.get("code", {}),
            system=content.system,
            sampler=content.sampler,
            limits=config.limits.strip(),
            training=notes.get("training", {}),
            date=datetime.now(UTC).date().isoformat(),
        )
        (aside / "config.json").write_text(
            json.dumps({"format": "viton-dit", **facts.to_plain()}, indent=2) + "\n",
            encoding="utf-8",
        )
        write_card(aside / "README.md", facts)
    return out


def _find_source(config: ExportConfig) -> Path:
    """The checkpoint, or the folder of an adapter that was exported before."""
    given = Path(config.checkpoint)
    if (given / ADAPTER).is_file():
        return given
    return find_checkpoint(given)


def _read_if_adapter(source: Path, config: ExportConfig) -> Adapter | None:
    """The adapter in a checkpoint; None if it holds a whole model.

    Raises:
        ConfigError: ``lora`` or ``base`` is given, and it holds a model.
    """
    is_model = source.suffix == ".safetensors" or (source / EXPORTED).is_file()
    is_folder = (source / ADAPTER).is_file()
    if not is_model and (is_folder or "lora" in read_whole(source, only=("lora",))):
        return read_adapter(source, config.weights)
    for name in ("lora", "base"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name}={getattr(config, name)} is for adapters, and {source} holds a whole model;"
                f" leave {name} away, or give a run trained with lora.rank above 0"
            )
    return None


def _merge(adapter: Adapter, config: ExportConfig) -> CheckpointContents:
    """The adapter's base with the adapter added to its weights."""
    base = Path(config.base or adapter.base.path)
    try:
        file = find_checkpoint(base)
    except ConfigError as error:
        raise ConfigError(
            f"{adapter.path} was trained on {adapter.base.path}, and there is no checkpoint at"
            f" {base}; give base=PATH of that model, or lora=adapter to export the adapter alone"
        ) from error
    content = read_checkpoint(file)
    taken, _ = content.choose(adapter.base.weights)
    merged = add_adapter(taken, adapter, str(file))
    return replace(
        content, network=merged, ema=None, step=adapter.step,
        sampler=adapter.sampler or content.sampler,
    )  # fmt: skip


def _export_adapter(adapter: Adapter, out: Path, config: ExportConfig) -> Path:
    """Write the adapter alone; of its base's path only the last pieces, which name a run."""
    pieces = [piece for piece in Path(adapter.base.path).parts if piece != "checkpoints"]
    base = replace(adapter.base, path="/".join(pieces[-2:]))
    with writing(out) as aside:
        aside.mkdir(parents=True, exist_ok=True)
        write_adapter(aside, replace(adapter, base=base), getattr(torch, config.dtype))
        card = adapter_card(
            replace(adapter, base=base), _run_name(adapter), config.dtype, config.limits
        )
        (aside / "README.md").write_text(card, encoding="utf-8")
    return out


def _check_complete(content: CheckpointContents, taken: dict[str, Tensor], source: Path) -> None:
    """Check that all three networks are present with exactly their keys."""
    system = from_plain(SystemConfig, content.system, where=str(source))
    absent = [part for part in ("garment", "control")
              if not any(name.startswith(f"{part}.") for name in taken)]  # fmt: skip
    if absent:
        raise DataError(
            f"checkpoint {source} has no {' and no '.join(absent)} network; "
            "export a checkpoint of stage 2 or 3"
        )
    with torch.device("meta"):
        own = VitonDiT(system.network).state_dict()
    check_network(taken, {name: tuple(value.shape) for name, value in own.items()}, str(source))


def _read_notes(source: Path) -> dict[str, Any]:
    """Run, stage and selected settings of a training checkpoint."""
    if source.suffix == ".safetensors" or any(
        (source / name).is_file() for name in (EXPORTED, ADAPTER)
    ):
        return {}
    content = read_whole(source, only=("config", "code"))
    config = content["config"]
    return {
        "name": config["name"],
        "stage": config["stage"],
        "max_steps": config["max_steps"],
        "code": content.get("code", {}),
        "training": {
            **_learned_in_words(config),
            "frames of a window": config["data"]["num_frames"],
            "strides": config["data"]["strides"],
            "learning rate": config["optimizer"]["lr"],
            "precision": config["trainer"]["precision"],
        },
    }


def _run_name(adapter: Adapter) -> str:
    """The run's name, or that of the folder it was exported to before."""
    path = Path(adapter.path)
    return path.parent.parent.name if path.parent.name == "checkpoints" else path.stem


def _learned_in_words(config: dict[str, Any]) -> dict[str, Any]:
    """What learned, for the card."""
    lora = config.get("lora", {})
    if not lora.get("rank"):
        return {"freeze preset": config["freeze"]["preset"]}
    scale = "" if lora["alpha"] is None else f", alpha {lora['alpha']:g}"
    return {"LoRA": f"rank {lora['rank']}{scale}, of {config['init_from']}"}


if __name__ == "__main__":
    run_command(main)
