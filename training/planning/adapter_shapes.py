"""Adapters of the shapes that PEFT makes, for the plan of a run: planning needs no PEFT."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from training.lora.adapters import NAME, adapt_values


class AdapterShape(nn.Module):
    """A linear layer with an adapter, with PEFT's names, tensors and order of operations.

    Args:
        base: the frozen layer.
        rank: of the adapter.
        dtype: of its matrices.
    """

    def __init__(self, base: nn.Linear, rank: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.base_layer = base
        down = nn.Linear(base.in_features, rank, bias=False, device="meta")
        up = nn.Linear(rank, base.out_features, bias=False, device="meta")
        for layer in (down, up):
            layer.weight = nn.Parameter(torch.empty(layer.weight.shape, dtype=dtype))
        self.lora_A = nn.ModuleDict({NAME: down})
        self.lora_B = nn.ModuleDict({NAME: up})
        self.scaling = {NAME: 1.0}

    @property
    def weight(self) -> Tensor:
        """Of the frozen layer."""
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor:
        """Of the frozen layer."""
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, and the adapter's."""
        result = self.base_layer(x)
        down, up = self.lora_A[NAME], self.lora_B[NAME]
        x = x.to(cast(Tensor, down.weight).dtype)
        return (result + up(down(x)) * self.scaling[NAME]).to(result.dtype)


def shape_adapters(network: nn.Module, layers: list[str], rank: int, dtype: torch.dtype) -> None:
    """Put adapters on a network's layers, and let them alone learn."""
    network.requires_grad_(False)
    for name in layers:
        parent, _, last = name.rpartition(".")
        owner: Any = network.get_submodule(parent)
        shape = AdapterShape(owner.get_submodule(last), rank, dtype)
        if last.isdigit():  # in a list of layers
            owner[int(last)] = shape
        else:
            setattr(owner, last, shape)
    adapt_values(network)
