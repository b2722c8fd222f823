"""Checks whether a run fits this machine, before anything is loaded."""

import os
from pathlib import Path

import torch

from configs.console import size_in_words
from configs.errors import ConfigError
from training.config import TrainConfig
from training.planning.memory import estimate_memory, is_small, parameter_sizes
from training.planning.suggestions import find_fit, words

LARGEST_ON_CPU = 300_000_000
"""Number of parameters above which `accelerator: auto` rejects a CPU: a step would take minutes."""


def check_fits(config: TrainConfig, path: Path) -> None:
    """Reject a run that this machine cannot hold, by the estimate of ``training.planning.memory``.

    Raises:
        ConfigError: it does not fit; the message says which settings would.
    """
    total, learning = count_parameters(config)
    uses_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if config.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(f"{path}: trainer.accelerator is gpu and torch finds no GPU here")
    trains = f"{path} trains {learning / 1e9:.2f} of {total / 1e9:.2f} billion parameters"
    if not uses_gpu and config.trainer.accelerator == "auto" and total > LARGEST_ON_CPU:
        raise ConfigError(
            f"{trains}, which needs a GPU, and torch finds none here; `make plan CONFIG={path}` "
            f"says how large{_smaller(path)}"
        )
    available = _gpu_bytes() if uses_gpu else _memory_bytes()
    if is_small(config, available):
        return
    needed = estimate_memory(config, on_gpu=uses_gpu).needed
    if needed > available:
        device = "GPU" if uses_gpu else "machine"
        raise ConfigError(
            f"{trains} and needs about {size_in_words(needed)}; this {device} has "
            f"{size_in_words(available)}{_hint(config, path, available if uses_gpu else None)}"
        )


def count_parameters(config: TrainConfig) -> tuple[int, int]:
    """(parameters of the networks in use, trained ones among them)."""
    sizes, learning = parameter_sizes(config)
    active = {name: size for name, size in sizes.items() if name.split(".")[0] in config.parts}
    return sum(active.values()), sum(sizes[name] for name in learning)


def _gpu_bytes() -> int:
    return int(torch.cuda.get_device_properties(0).total_memory)


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _hint(config: TrainConfig, path: Path, gpu_bytes: int | None) -> str:
    """What would fit: overrides on a GPU, else the small configuration of the same stage."""
    if gpu_bytes is not None:
        changes, memory = find_fit(config, gpu_bytes)
        if memory.needed <= gpu_bytes:
            return f"; {' '.join(words(changes))} fits"
    return _smaller(path)


def _smaller(path: Path) -> str:
    small = path.parent / "demo" / path.name
    return f"; CONFIG={small} fits" if small.is_file() else ""
