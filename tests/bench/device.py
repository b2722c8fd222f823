"""The table for a GPU: training steps with and without recomputation and compiler; sampling.

A row that runs out of memory says so, and the rest goes on.
"""

import gc
from collections.abc import Callable

import torch
from torch.nn import functional as F

from inference.sampling.solvers import SamplerConfig
from models.acceleration import checkpoint_blocks, compile_blocks, round_blocks
from models.viton_dit import VitonDiT
from tests.bench.cases import Size, build_inputs, build_system_of, learn_as_stage3, predict_ours
from tests.bench.clip import quick_solver, walk_ours
from tests.bench.networks import autocast, step_flops
from tests.bench.table import Book, Row
from tests.bench.timing import Seconds, interleave
from training.planning.fake_step import Work, sample_flops


def training_step(network: VitonDiT, size: Size, device: torch.device) -> Callable[[], None]:
    """Forward and backward of stage 3 (no optimizer), gradients set anew each time."""
    inputs = build_inputs(size, device)

    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = None
        with autocast(device):
            prediction = predict_ours(network, inputs, inputs.drop)
        F.mse_loss(prediction.float(), inputs.target).backward()

    return step


def run_steps(
    book: Book, size: Size, device: torch.device, rate: float, repeats: int, compiled: bool
) -> None:
    """Rows "training step": recomputation of all blocks or none, eager and compiled."""
    for compiles in (False, True)[: 1 + compiled]:
        for name, every in (("blocks", 1), ("none", 0)):
            label = f"checkpointing {name}, {'compiled' if compiles else 'eager'}"
            if book.has("training step", label):
                continue

            flops: list[float] = []

            def build(
                every: int = every, compiles: bool = compiles, flops: list[float] = flops
            ) -> Callable[[], None]:
                network = build_system_of(size, device).network
                learn_as_stage3(network)
                checkpoint_blocks(network, every)
                if compiles:
                    compile_blocks(network)
                flops.append(step_flops(size)[1])
                return training_step(network, size, device)

            _measure(book, "training step", label, build, flops, device, rate, repeats, 2)


def run_sampling(
    book: Book, size: Size, device: torch.device, rate: float, repeats: int, compiled: bool
) -> None:
    """Rows "clip of N frames": guided, 20 steps, without the codec."""
    few, said = quick_solver()
    part = f"clip of {size.frames} frames, 20 steps"
    for compiles in (False, True)[: 1 + compiled]:
        label = "compiled" if compiles else "eager"
        if book.has(part, label):
            continue

        flops: list[float] = []

        def build(compiles: bool = compiles, flops: list[float] = flops) -> Callable[[], None]:
            system = build_system_of(size, device)
            network = system.network.eval().requires_grad_(False)
            work = Work(rows=1, frames=size.frames, height=size.height, width=size.width)
            flops.append(
                sum(sample_flops(network.config, work, steps=20, guided_steps=20).values())
            )
            if device.type == "cuda":
                round_blocks(network)
            if compiles:
                compile_blocks(network)
            inputs = build_inputs(size, device)

            def sample() -> None:
                with autocast(device):
                    walk_ours(system, SamplerConfig(solver=few), inputs.garment, inputs.control)

            return sample

        _measure(book, part, label, build, flops, device, rate, repeats, 1, said)


def _measure(
    book: Book,
    part: str,
    label: str,
    build: Callable[[], Callable[[], None]],
    flops: list[float],
    device: torch.device,
    rate: float,
    repeats: int,
    warmup: int,
    note: str = "",
) -> None:
    cuda = device.type == "cuda"
    torch.compiler.reset()
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    taken: Seconds | None = None
    call: Callable[[], None] | None = None
    try:
        call = build()
        taken = interleave({label: call}, repeats, warmup)[label]
    except torch.OutOfMemoryError:
        note = "out of memory"
    finally:
        del call
    if taken is None:
        book.add(Row(part=part, name=label, note=note))
        return
    book.add(
        Row(
            part=part, name=label, seconds=taken.median, spread=taken.spread, flops=flops[0],
            mfu=flops[0] / taken.median / rate, note=note,
            peak_gb=torch.cuda.max_memory_allocated() / 1e9 if cuda else None,
        )
    )  # fmt: skip
