"""Memory and speed of the blocks, by config: activation checkpointing, compilation, rounding.

All act block by block, on every ``STBlock`` of a network: all of them share one code, so that
compilation makes one graph for each shape, not one for each block, and a recomputed block keeps
nothing but its input. Checkpoint first, then compile: the compiler then sees the recomputation.
None changes a parameter's name.
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
"""Graphs that torch may keep of the block's code. Kinds of block (first, middle, extractor), frames
of a window, rows of a batch and inference beside training multiply; torch's own limit is 8."""

_EVERY = re.compile(r"every_([1-9]\d*)")


def parse_checkpointing(value: str) -> int:
    """``none`` -> 0, ``blocks`` -> 1, ``every_<n>`` -> n: every how many blocks are recomputed.

    Raises:
        ValueError: it is something else.
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
    """Recompute blocks in the backward pass instead of keeping what is inside them.

    Gradients stay the same. A recomputed block costs its forward pass once more.

    Args:
        network: any that holds STBlocks.
        every: 1 takes all blocks, n the first of every n; 0 none.

    Returns:
        How many blocks are recomputed.
    """
    chosen = _blocks(network)[::every] if every else []
    for block in chosen:
        # an attribute, not a wrapper module: names of parameters stay
        block.forward = _recomputed(block.forward)  # pyright: ignore[reportAttributeAccessIssue]
    return len(chosen)


def round_blocks(network: nn.Module) -> None:
    """Keep the blocks' linear layers in bfloat16, for sampling under bfloat16 autocast.

    Autocast rounds their weights to the same numbers at every use: rounding them once halves their
    memory, spares the cast of every step, and changes no bit of what is painted. The network then
    works under autocast alone.
    """
    for block in _blocks(network):
        for layer in block.modules():
            if isinstance(layer, nn.Linear):
                layer.to(torch.bfloat16)


def compile_blocks(network: nn.Module, backend: str = "inductor") -> int:
    """Compile every block with ``torch.compile``; graphs are made at first use, by shape.

    Args:
        network: any that holds STBlocks.
        backend: of torch.compile.

    Returns:
        How many blocks are compiled.
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
