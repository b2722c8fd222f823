"""Parts a to c: the block, and all of VitonDiT, forward and with its gradients, ours and plain."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from datasets.loading.config import DataConfig
from models.system import SystemConfig
from tests.bench.cases import (
    Size,
    build_inputs,
    build_plain,
    build_system_of,
    learn_as_stage3,
    predict_ours,
    predict_plain,
)
from tests.bench.table import Book, Row
from tests.bench.timing import interleave
from training.config import TrainConfig
from training.planning.fake_step import fake_step
from training.planning.flops import FlopCounts, Flops

TOLERANCE = {"cpu": 1e-4, "cuda": 3e-2}
"""Largest difference of the readings over the largest value: float32, and bfloat16 autocast."""
NAMES = ("forward", "forward+backward")


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 on CUDA, nothing on the CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def relative_difference(ours: Tensor, plain: Tensor) -> float:
    """Largest difference over the largest value of ``plain``."""
    return float((ours.float() - plain.float()).abs().max() / plain.float().abs().max())


def require_equal(ours: Tensor, plain: Tensor, what: str, tolerance: float) -> float:
    """The difference.

    Raises:
        RuntimeError: the readings differ, so that their times mean nothing.
    """
    difference = relative_difference(ours, plain)
    if not difference <= tolerance:
        raise RuntimeError(f"{what}: ours differs from plain by {difference:.2e} of its range")
    return difference


def step_flops(size: Size) -> tuple[float, float]:
    """Of all three networks: a forward pass, and forward and backward of what stage 3 learns."""
    system = SystemConfig(
        network=size.config, height=8 * size.height, width=8 * size.width, num_frames=size.frames
    )
    data = DataConfig(num_frames=size.frames)
    config = TrainConfig(name=size.name, stage="stage3", system=system, data=data)
    whole = sum(fake_step(config).flops.values(), Flops())
    return whole.forward, whole.useful


def forward_flops(call: Callable[[], Tensor]) -> float:
    """Of a call, by running it."""
    with FlopCounts() as counts:
        call()
    return counts.by_part[""].forward


def run_networks(book: Book, size: Size, device: torch.device, rate: float, repeats: int) -> None:
    """Rows "block" and "network", forward and forward + backward, ours and plain in turn.

    On CUDA the plain network cannot keep all its scores for a backward pass at full size: there
    its row "network, forward+backward" is left to the part "training step", of ours alone.
    """
    names = NAMES if device.type == "cpu" else NAMES[:1]
    if book.has("block", *NAMES) and book.has("network", *names):
        return
    ours = build_system_of(size, device).network
    plain = build_plain(ours, device)
    learn_as_stage3(ours)
    learn_as_stage3(plain)
    inputs = build_inputs(size, device)

    calls = block_calls(ours, plain, size, device)
    flops = {"forward": forward_flops(calls["ours"])}
    _compare(book, "block", calls, 0.0, flops, NAMES, device, rate, repeats)
    calls = {
        "ours": lambda: predict_ours(ours, inputs, inputs.drop),
        "plain": lambda: predict_plain(plain, inputs, inputs.drop),
    }
    flops = dict(zip(NAMES, step_flops(size), strict=True))
    _compare(book, "network", calls, inputs.target, flops, names, device, rate, repeats)


def block_calls(
    ours: Any, plain: Any, size: Size, device: torch.device
) -> dict[str, Callable[[], Tensor]]:
    """The denoiser's second block: all its layers, no frame positions; its input has a gradient."""
    places = size.height // 2 * (size.width // 2)
    draw = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device)

    x = noise(1, size.frames, places, size.dim).requires_grad_()
    caption, garment = noise(1, size.caption_length, size.dim), noise(1, places, size.dim)
    six = noise(1, 1, 6, size.dim)
    return {
        "ours": lambda: ours.denoiser.blocks[1](x, caption, six, garment=garment),
        "plain": lambda: plain.denoiser.blocks[1](x, caption, six, garment=garment),
    }


def _compare(
    book: Book,
    part: str,
    calls: dict[str, Callable[[], Tensor]],
    goal: Tensor | float,
    flops: dict[str, float],
    names: tuple[str, ...],
    device: torch.device,
    rate: float,
    repeats: int,
) -> None:
    """Equal first, then timed."""

    def forward(call: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad(), autocast(device):
            return call()

    def both(call: Callable[[], Tensor]) -> None:
        with autocast(device):
            out = call()
        (out.float() - goal).square().mean().backward()

    if book.has(part, *names):
        return
    tolerance = TOLERANCE[device.type]
    difference = require_equal(forward(calls["ours"]), forward(calls["plain"]), part, tolerance)
    for name in names:
        run = forward if name == "forward" else both
        taken = interleave(
            {
                "ours": lambda run=run: run(calls["ours"]),
                "plain": lambda run=run: run(calls["plain"]),
            },
            repeats,
        )
        ours, plain, useful = taken["ours"], taken["plain"], flops.get(name)
        spreads = [side.spread for side in (ours, plain) if side.spread is not None]
        book.add(
            Row(
                part=part, name=name, seconds=ours.median, spread=max(spreads, default=None),
                plain_seconds=plain.median, ratio=plain.median / ours.median,
                target=1.3 if (part, name) == ("network", NAMES[1]) else None,
                flops=useful, mfu=useful / ours.median / rate if useful else None,
                difference=difference,
            )
        )  # fmt: skip
