"""Floating-point operations of a computation on fake tensors; FLOP = 2 multiply-adds.

Counted are matrix products, convolutions and readings at places (bilinear, 8 FLOP a value); norms,
activations and softmax are not. Formulas: torch's ``flop_counter``. What differs: the backward pass
of attention counts twice its forward pass. A fused kernel computes the scores again there, which is
not useful work.

Used by ``make plan`` and by the benchmark (MFU = these operations a second over the device's peak).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

_aten = torch.ops.aten
_DEVICE = torch.ops.prim.device.default
READINGS = (_aten.grid_sampler_2d, _aten.grid_sampler_2d_backward)
"""Operations of fusion "places", in the forward and in the backward pass."""


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations of a forward pass, its backward pass, and recomputation in it."""

    forward: float = 0.0
    backward: float = 0.0
    recomputed: float = 0.0

    @property
    def total(self) -> float:
        """All operations."""
        return self.forward + self.backward + self.recomputed

    @property
    def useful(self) -> float:
        """Operations without recomputation, as used for MFU."""
        return self.forward + self.backward

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            recomputed=self.recomputed + other.recomputed,
        )


class FlopCounts(TorchDispatchMode):
    """Operations by part of a network while it is active.

    A forward pass counts for ``part``, which the caller sets. In the backward pass the parts follow
    one after the other, the last first: ``follow`` says where each begins.
    """

    def __init__(self) -> None:
        super().__init__()
        self.part = ""
        self.by_part: dict[str, Flops] = defaultdict(Flops)
        self.reading = 0.0

    def follow(self, part: str, results: Iterable[Tensor]) -> None:
        """Count the backward pass for ``part`` from its results' gradients on."""
        for result in results:
            if result.requires_grad:
                result.register_hook(lambda _: self._enter(part))

    def _enter(self, part: str) -> None:
        self.part = part

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count it."""
        if func is _DEVICE:  # called at every second operation
            return args[0].fake_device
        made = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        formula = _FORMULAS.get(packet)
        if formula is not None:
            count = float(formula(*args, **(kwargs or {}), out_val=made))
            self.reading += count if packet in READINGS else 0.0
            known, kind = self.by_part[self.part], _kind()
            self.by_part[self.part] = replace(known, **{kind: getattr(known, kind) + count})
        return made


def _kind() -> str:
    """The field of ``Flops``; only recomputation in a backward pass records a graph."""
    if torch._C._current_graph_task_id() == -1:
        return "forward"
    return "recomputed" if torch.is_grad_enabled() else "backward"


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(_: Tensor, *sides: Any, **__: Any) -> int:
    return 2 * _attention(*sides[:3])


def _reading(*_: Any, out_val: Tensor, **__: Any) -> int:
    return 8 * prod(out_val.shape)


def _reading_backward(gradient: Tensor, *_: Any, **__: Any) -> int:
    return 16 * prod(gradient.shape)


_FORMULAS: dict[Any, Callable[..., Any]] = {
    **flop_registry,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    **dict(zip(READINGS, (_reading, _reading_backward), strict=True)),
}
