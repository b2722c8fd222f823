"""Counts live bytes while a computation runs on fake tensors.

A ``TorchDispatchMode`` sees every new tensor; a weak reference to its storage reports when it is
freed. On fake tensors (``FakeTensorMode``) nothing is computed and nothing allocated, but every
shape, type, view and lifetime is real.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from models.blocks import STBlock

_DEVICE = torch.ops.prim.device.default


class LiveBytes(TorchDispatchMode):
    """Bytes of storages created while it is active: now (``live``) and at most (``peak``).

    Args:
        known: earlier tensors that, like views of them, are not counted.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = self.marked_at_peak = 0
        self._clock = self._peak_at = self._marked_live = 0
        self._marked: dict[int, int] = {}
        self._storages: dict[int, tuple[int, int, Any]] = {}  # size, when it was made, reference
        for tensor in known:
            self._storages[_key(tensor)] = (0, 0, tensor.untyped_storage())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count its outputs."""
        if func is _DEVICE:  # called at every second operation
            return args[0].fake_device
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, list | tuple) else (made,):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        return made

    def mark(self) -> None:
        """Mark all live storages: ``marked_at_peak`` is their part of the peak."""
        held = {key: entry for key, entry in self._storages.items() if entry[0]}
        self._marked = {key: size for key, (size, _, _) in held.items()}
        self._marked_live = self.live
        self.marked_at_peak = sum(
            size for size, made, _ in held.values() if made <= self._peak_at
        )  # marked storages that were there at a peak before now

    def at_peak(self, tensors: Iterable[Tensor]) -> int:
        """Bytes of these still live tensors that existed at the peak."""
        keys = {_key(tensor) for tensor in tensors}
        entries = [self._storages[key] for key in keys]
        return sum(size for size, made, _ in entries if made <= self._peak_at)

    def _see(self, tensor: Tensor) -> None:
        key = _key(tensor)
        if key in self._storages:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self._clock += 1
        forget = weakref.ref(storage, lambda _: self._forget(key))
        self._storages[key] = (size, self._clock, forget)
        self.live += size
        if self.live > self.peak:
            self.peak, self._peak_at = self.live, self._clock
            if self._marked:
                self.marked_at_peak = self._marked_live

    def _forget(self, key: int) -> None:
        self.live -= self._storages.pop(key)[0]
        self._marked_live -= self._marked.pop(key, 0)


def attend_as_a_gpu(network: nn.Module) -> None:
    """Make a network's blocks attend as on a GPU, although their tensors are fake CPU tensors.

    Temporal attention has five axes only on a CPU (``models.attention``). Applied block by block,
    so that it also holds for blocks recomputed in the backward pass.
    """
    for block in network.modules():
        if isinstance(block, STBlock):
            block.forward = _under_gpu_attention(block.forward)


def _under_gpu_attention(forward: Callable[..., Any]) -> Callable[..., Any]:
    def call(*inputs: Any, **options: Any) -> Any:
        with _GpuAttention():
            return forward(*inputs, **options)

    return call


class _GpuAttention(TorchFunctionMode):
    """Attention of five axes with the first two merged; everything else is unchanged."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention and args[0].ndim == 5:
            mixed = func(*(side.flatten(0, 1) for side in args[:3]), **(kwargs or {}))
            return mixed.unflatten(0, args[0].shape[:2])
        return func(*args, **(kwargs or {}))


def to_fake(network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Give a network built on the meta device fake CPU tensors; inside a ``FakeTensorMode``.

    Much faster than building it there, whose initialisation would run tensor by tensor.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, dtype=dtype)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
