"""Does a run fit this machine? Asked before anything is loaded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from configs.errors import ConfigError
from models.blocks import STBlock
from models.viton_dit import VitonDiT
from training.config import TrainConfig
from training.freezing import freeze_rule, learning_names

LARGEST_ON_CPU = 300_000_000
"""Parameters beyond which `accelerator: auto` refuses a CPU: a step would take many minutes."""

_BLOCK_ACTIVATIONS = 40
"""Values a block keeps for its backward pass, per token and channel (counted on STBlock)."""


def check_fits(config: TrainConfig, path: Path) -> None:
    """Refuse a run that this machine cannot hold.

    Raises:
        ConfigError: in one sentence, with a preset that fits where the configuration has one.
    """
    network = _shapes(config)
    total, learning = count_parameters(config, network)
    uses_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    if config.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(f"{path}: trainer.accelerator is gpu and torch finds no GPU here")
    needed = needed_bytes(config, total, learning)
    available = _gpu_bytes() if uses_gpu else _memory_bytes()
    device = "GPU" if uses_gpu else "machine, without a GPU,"
    slow = not uses_gpu and config.trainer.accelerator == "auto" and total > LARGEST_ON_CPU
    if needed <= available and not slow:
        return
    raise ConfigError(
        f"{path} trains {learning / 1e9:.2f} of {total / 1e9:.2f} billion parameters and needs a "
        f"GPU of about {needed / 1e9:.0f} GB; this {device} has {available / 1e9:.0f} GB"
        f"{_hint(path)}"
    )


def count_parameters(config: TrainConfig, network: nn.Module) -> tuple[int, int]:
    """(parameters of the active networks, those of them that learn)."""
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    active = {n: size for n, size in sizes.items() if n.split(".")[0] in config.parts}
    learning = learning_names(sizes, freeze_rule(config.freeze, config.stage))
    return sum(active.values()), sum(sizes[name] for name in learning)


def needed_bytes(config: TrainConfig, total: int, learning: int) -> int:
    """Weights, gradients, AdamW's two moments, the average, and what the backward pass keeps."""
    per_weight = 2 if config.trainer.precision == "bf16-true" else 4
    average = 4 if config.ema.enabled else 0
    states = total * per_weight + learning * (per_weight + 2 * per_weight + average)
    trunk, system = config.system.network.trunk, config.system
    cells = (system.height // 8 // trunk.patch_size[1]) * (system.width // 8 // trunk.patch_size[2])
    tokens = config.data.batch_size * config.data.num_frames * cells
    kept = 2 if config.trainer.activation_checkpointing else _BLOCK_ACTIVATIONS
    blocks = trunk.depth
    blocks += config.system.network.num_control_blocks if "control" in config.parts else 0
    bytes_each = 4 if config.trainer.precision == "32-true" else 2
    activations = (blocks * kept + _BLOCK_ACTIVATIONS) * tokens * trunk.dim * bytes_each
    return states + activations


def checkpoint_activations(network: nn.Module) -> None:
    """Recompute every block in the backward pass instead of keeping its activations."""
    for block in network.modules():
        if isinstance(block, STBlock):
            block.forward = _recomputed(block.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        return checkpoint(forward, *inputs, use_reentrant=False, **options)

    return call


def _shapes(config: TrainConfig) -> VitonDiT:
    with torch.device("meta"):
        return VitonDiT(config.system.network)


def _gpu_bytes() -> int:
    return int(torch.cuda.get_device_properties(0).total_memory)


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _hint(path: Path) -> str:
    small = path.parent / "demo" / path.name
    return f"; CONFIG={small} fits" if small.is_file() else ""
