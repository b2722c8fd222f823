"""Seconds: warm-up, then medians of interleaved repeats, so that a machine's noise hits all."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Of one case: the median, and (slowest - fastest) / median where there are repeats."""

    median: float
    spread: float | None


class Clock:
    """Which seconds are taken: of the wall, or of this process's processor time.

    On one thread, processor time leaves out what other programs take, but not that they share
    caches and memory with it.
    """

    now: Callable[[], float] = staticmethod(time.perf_counter)

    @classmethod
    def take_processor_time(cls) -> None:
        """From here on, on one thread."""
        torch.set_num_threads(1)
        cls.now = staticmethod(time.process_time)


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object]) -> float:
    synchronise()
    start = Clock.now()
    call()
    synchronise()
    return Clock.now() - start


def interleave(
    cases: dict[str, Callable[[], object]], repeats: int, warmup: int = 1
) -> dict[str, Seconds]:
    """Time the cases in turn: a, b, a, b, ..."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    gc.collect()
    for _ in range(warmup):
        for call in cases.values():
            call()
    for _ in range(repeats):
        for name, call in cases.items():
            taken[name].append(seconds_of(call))
    return {name: _summary(values) for name, values in taken.items()}


def matmul_rate(device: torch.device, dtype: torch.dtype, side: int, repeats: int) -> float:
    """The best FLOP/s of a square matrix product: what MFU is measured against."""
    left = torch.randn(side, side, device=device).to(dtype)
    right = torch.randn(side, side, device=device).to(dtype)
    loops = 10 if device.type == "cuda" else 1

    def product() -> None:
        for _ in range(loops):
            left @ right

    product()
    best = min(seconds_of(product) for _ in range(repeats))
    return 2.0 * side**3 * loops / best


def _summary(values: list[float]) -> Seconds:
    median = statistics.median(values)
    spread = (max(values) - min(values)) / median if len(values) > 1 else None
    return Seconds(median=median, spread=spread)
