"""Collectives between the processes of a run; each is the identity in a single process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if is_distributed() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The same tensor on every rank: the sum of theirs."""
    if not is_distributed():
        return values
    total = values.to(_device()).clone()
    dist.all_reduce(total)
    return total.to(values.device)


def any_rank(flag: bool) -> bool:
    """Whether it is true on at least one rank; every rank gets the same result."""
    return bool(sum_over_ranks(torch.tensor(float(flag))) > 0)


def gather_from_ranks(value: Any) -> list[Any]:
    """A plain value of every rank, in rank order."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def whole(tensor: Tensor) -> Tensor:
    """The full tensor; a collective if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, sharded or not; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _device() -> torch.device:
    """A device on which this process group can reduce tensors."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
