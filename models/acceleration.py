"""Memory and speed of the blocks, by config: activation checkpointing, compilation, rounding.

All act on each ``STBlock`` of a network. The blocks share their code, so compilation makes one
graph per shape instead of one per block, and a recomputed block stores only its input. Checkpoint
first, then compile, so that the compiler sees the recomputation. None changes a parameter's name.
"""

import re
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    checkpoint,  # pyright: ignore[reportUnknownVariableType]  # contexts of unknown type
)

from models.blocks import STBlock

GRAPHS = 64
"""Graphs of the block's code that torch may cache. Kinds of block (first, middle, extractor),
window lengths, batch sizes and inference during training multiply; torch's default is 8."""

_EVERY = re.compile(r"every_([1-9]\d*)")


def parse_checkpointing(value: str) -> int:
    """``none`` -> 0, ``blocks`` -> 1, ``every_<n>`` -> n: one in n blocks is recomputed.

    Raises:
        ValueError: any other value.
    """
    if value == "none":
        return 0
    if value == "blocks":
        return 1
    found = _EVERY.fullmatch(value)
    if found is None:
        raise ValueError(
            f"activation_checkpointing is {value!r}; none, blocks or every_<n> (every_2: every"
            " second block) is expected"
        )
    return int(found[1])


def checkpoint_blocks(network: nn.Module, every: int = 1) -> int:
    """Recompute blocks in the backward pass instead of storing their activations.

    Gradients stay the same. A recomputed block runs its forward pass twice.

    Args:
        network: any module with STBlocks.
        every: 1 for all blocks, n for the first of every n, 0 for none.

    Returns:
        The number of recomputed blocks.
    """
    chosen = _blocks(network)[::every] if every else []
    for block in chosen:
        # an attribute, not a wrapper module, which would rename the parameters
        block.forward = _recomputed(block.forward)  # pyright: ignore[reportAttributeAccessIssue]
    return len(chosen)


def round_blocks(network: nn.Module) -> None:
    """Convert the blocks' linear layers to bfloat16, for sampling under bfloat16 autocast.

    Autocast rounds their weights to the same values at every use. Rounding them once halves their
    memory and saves the cast of every step; the results are bit-identical. The network then works
    only under autocast.
    """
    for block in _blocks(network):
        for layer in block.modules():
            if isinstance(layer, nn.Linear):
                layer.to(torch.bfloat16)


def compile_blocks(network: nn.Module, backend: str = "inductor") -> int:
    """Compile every block with ``torch.compile``, at its first use for each shape.

    Args:
        network: any module with STBlocks.
        backend: of torch.compile.

    Returns:
        The number of compiled blocks.
    """
    settings = cast(Any, torch)._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, GRAPHS)
    blocks = _blocks(network)
    for block in blocks:
        cast(Any, block).compile(backend=backend, dynamic=False, fullgraph=True)
    return len(blocks)


def _blocks(network: nn.Module) -> list[STBlock]:
    return [module for module in network.modules() if isinstance(module, STBlock)]


def _recomputed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(*inputs: Any, **options: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(*inputs, **options)
        return checkpoint(forward, *inputs, use_reentrant=False, **options)

    return call
