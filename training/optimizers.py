"""AdamW over the trainable parameters, with warm-up and a constant or cosine learning rate.

Its two moments take 8 bytes a parameter in float32. ``states: 8bit`` keeps them in blocks of 256
at 8 bits each (Dettmers et al. 2022, bitsandbytes' AdamW8bit; the extra ``lowmem``): 2 bytes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from configs.checks import check_choices, check_range
from configs.errors import ConfigError

SCHEDULES = ("constant", "cosine")
STATES = ("float32", "8bit")
BYTES_OF_STATES = {"float32": 8.0, "8bit": 2 + 2 * 4 / 256}
"""Bytes of both moments per parameter; at 8 bits each block of 256 also has a float32 scale."""
SMALLEST_8BIT = 4096
"""Smaller tensors keep float32 states (bitsandbytes' default)."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW and its learning rate over the run."""

    lr: float = 1e-4
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    eps: float = 1e-8
    weight_decay: float = 0.0  # on matrices only: not on biases, tables and norms
    warmup_steps: int = 0
    schedule: str = "constant"  # or cosine: from lr to min_lr_share * lr at max_steps
    min_lr_share: float = 0.1
    clip: float = 1.0  # largest gradient norm; 0: no clipping
    states: str = "float32"  # or 8bit: a quarter of the moments' memory; the extra lowmem

    def __post_init__(self) -> None:
        check_choices(self, schedule=SCHEDULES, states=STATES)
        check_range(self, "lr", "eps", above=0)
        check_range(self, "min_lr_share", least=0, most=1)
        check_range(self, "weight_decay", "warmup_steps", "clip", least=0)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {list(self.betas)}; accepted: two numbers in [0, 1)")


def build_optimizer(
    config: OptimizerConfig, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """AdamW over the named parameters that need a gradient; frozen ones have no state.

    On a GPU it is the fused version, which needs no extra memory during a step.

    Raises:
        ConfigError: ``states`` is 8bit and bitsandbytes is not installed.
    """
    learning = [parameter for _, parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in learning if parameter.ndim > 1]
    vectors = [parameter for parameter in learning if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = (config.betas[0], config.betas[1])
    if config.states == "8bit":
        check_states(config)
        from bitsandbytes.optim import AdamW8bit  # pyright: ignore[reportMissingImports]

        return AdamW8bit(groups, lr=config.lr, betas=betas, eps=config.eps)
    fused = all(parameter.is_cuda for parameter in learning)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)


def check_states(config: OptimizerConfig) -> None:
    """Reject 8-bit states if bitsandbytes is missing, before anything is loaded."""
    if config.states == "8bit" and find_spec("bitsandbytes") is None:
        raise ConfigError(
            "optimizer.states is 8bit, which needs bitsandbytes: `make setup-lowmem`, or"
            " set optimizer.states=float32"
        )


def lr_share(config: OptimizerConfig, step: int, max_steps: int) -> float:
    """The share of ``lr`` at an optimizer step: linear warm-up, then the schedule."""
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return 1.0
    span = max(1, max_steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return config.min_lr_share + (1 - config.min_lr_share) * cosine


def build_schedule(
    config: OptimizerConfig, optimizer: torch.optim.Optimizer, max_steps: int
) -> LambdaLR:
    """``lr_share`` as a scheduler that is stepped after each optimizer step."""
    return LambdaLR(optimizer, lambda step: lr_share(config, step, max_steps))
