"""The estimate of memory against real steps."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile

from configs.loading import load_config
from models.codecs.vae import CodecConfig
from models.embeddings import spatial_positions, temporal_positions
from tests.training.conftest import TINY
from training.config import TrainConfig
from training.fit import fit
from training.planning.codec_memory import (
    AutoencoderShape,
    codec_bytes,
    diffusers_network,
    kl_layers,
    run_bytes,
)
from training.planning.memory import CONTEXT, estimate_memory, estimate_sharded, is_small
from training.planning.suggestions import with_changes

CLIPS = ["stage=stage3", "data.num_frames=4", "max_steps=2"]
WIDE = ["system.height=96", "system.width=64", "system.network.trunk.dim=64",
        "system.network.trunk.num_heads=4", "data.batch_size=4",
        "system.network.trunk.depth=2"]  # fmt: skip


def allocated(config: TrainConfig) -> int:
    """Most bytes of tensors alive at once in a real run, by torch's own allocator.

    A free counts where its allocation was seen: garbage of an earlier run in this process (a
    trainer and its module hold each other) goes when the collector likes, and is not this run's.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        fit(config, Path("tiny.yaml"))
    assert recorded.profiler is not None
    results = recorded.profiler.kineto_results
    assert results is not None
    live: dict[int, int] = {}
    held = peak = 0
    for change in sorted(allocations(results.experimental_event_tree()), key=lambda c: c.start):
        if change.size > 0:
            held += change.size - live.get(change.address, 0)
            live[change.address] = change.size
        else:
            held -= live.pop(change.address, 0)
        peak = max(peak, held)
    assert peak > 0
    return peak


class Change(NamedTuple):
    start: int
    address: int
    size: int  # below 0: freed


def allocations(events: list[Any]) -> Iterator[Change]:
    """Every allocation and every free in a tree of profiled events."""
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        if event.tag == _EventType.Allocation:
            found = event.extra_fields
            yield Change(event.start_time_ns, found.ptr, found.alloc_size)


@pytest.mark.parametrize("checkpointing", ["none", "every_2"])
def test_the_estimate_is_what_torch_allocates_in_a_small_run(
    tiny: Callable[..., TrainConfig], checkpointing: str
) -> None:
    config = tiny(*CLIPS, *WIDE, f"trainer.activation_checkpointing={checkpointing}")
    estimate = estimate_memory(config, on_gpu=False)
    assert estimate.activations > estimate.weights  # the harder part is not drowned
    assert estimate.total == pytest.approx(allocated(config), rel=0.15)


def test_the_estimate_of_adapters_is_what_torch_allocates(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(*CLIPS, *WIDE, "name=base", "max_steps=1"), Path("tiny.yaml"))
    config = tiny(*CLIPS, *WIDE, "name=lora", "lora.rank=8", f"init_from={tmp_path}/runs/base")
    plain = estimate_memory(tiny(*CLIPS, *WIDE), on_gpu=False)
    estimate = estimate_memory(config, on_gpu=False)
    assert estimate.states + estimate.average < 0.5 * (plain.states + plain.average)
    assert estimate.total == pytest.approx(allocated(config), rel=0.15)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "words",
    [
        "system.network.trunk.dim=512 system.network.trunk.num_heads=8",
        "system.network.trunk.dim=256 data.batch_size=8",
        "system.network.trunk.dim=384 system.network.trunk.num_heads=8 data.batch_size=4"
        " freeze.preset=figure trainer.activation_checkpointing=every_2",
    ],
)
def test_the_estimate_is_the_resident_memory_of_a_run_of_about_a_gigabyte(
    clips_root: Path, tmp_path: Path, words: str
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    given = [*CLIPS, "max_steps=3", "name=real", f"data.roots=[{clips_root}]",
             f"runs={tmp_path}/runs", "system.height=128", "system.width=96",
             "system.network.trunk.depth=6", *words.split()]  # fmt: skip
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("real_memory.py")), str(path), *given],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
        # freed memory goes back at once, so that what is resident is what is alive
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": "."},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["real"] > 0.7e9, found
    assert found["estimate"] == pytest.approx(found["real"], rel=0.15), found


def test_the_estimate_leaves_no_fake_tensor_behind(tiny: Callable[..., TrainConfig]) -> None:
    estimate_memory(tiny(*CLIPS, "system.network.trunk.depth=2"))
    for positions in (
        spatial_positions(2, 2, 32, 1.0, torch.device("cpu")),
        temporal_positions(4, 32, 1.0, torch.device("cpu")),
    ):
        assert type(positions) is torch.Tensor


def test_what_saves_memory_saves_it(tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(*CLIPS, *WIDE, "trainer.precision=bf16-mixed", "system.height=32",
                  "data.batch_size=2")  # fmt: skip
    plain = estimate_memory(config)
    for key, value in {
        "trainer.activation_checkpointing": "blocks",
        "trainer.frozen_dtype": "bfloat16",
        "ema.device": "cpu",
        "optimizer.states": "8bit",
        "freeze.preset": "figure",
        "data.batch_size": 1,
        "data.num_frames": 2,
    }.items():
        assert estimate_memory(with_changes(config, {key: value})).total < plain.total, key


def test_gradients_that_are_summed_stand_beside_the_activations(
    tiny: Callable[..., TrainConfig],
) -> None:
    config = tiny(*CLIPS, *WIDE)
    one = estimate_memory(config)
    summed = estimate_memory(with_changes(config, {"trainer.accumulate": 2}))
    several = estimate_memory(with_changes(config, {"trainer.devices": 2}))
    assert one.gradients < 0.1 * one.average
    assert summed.gradients == pytest.approx(one.average, rel=0.01)
    assert several.gradients == pytest.approx(one.gradients + one.average, rel=0.01)


def test_a_run_that_needs_no_estimate_is_far_from_the_limit(
    tiny: Callable[..., TrainConfig],
) -> None:
    config = tiny(*CLIPS, *WIDE)
    total = estimate_memory(config).total
    assert is_small(config, 24e9)
    assert not is_small(config, CONTEXT + 5 * total)
    large = load_config(TrainConfig, "configs/stage3.yaml")
    assert not is_small(large, 1e12)


def test_sharding_divides_what_the_devices_share(tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(*CLIPS, *WIDE)
    whole = estimate_memory(config)
    shared = estimate_sharded(config, whole, 4)
    assert shared.states == whole.states // 4
    assert shared.activations == whole.activations
    assert whole.weights // 4 < shared.weights < whole.weights


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "shape",
    [AutoencoderShape(), AutoencoderShape(latent_channels=16, widths=(64, 96, 96))],
    ids=["Stable Diffusion's", "another"],
)
def test_the_plan_s_layers_allocate_what_the_autoencoder_does(
    shape: AutoencoderShape, half: bool
) -> None:
    found = []
    for build in (kl_layers, diffusers_network):
        with torch.device("meta"):
            network = build(shape)
        found.append(run_bytes(network, shape, half, 64, 96, 3))
    assert found[0] == found[1]
    assert found[0].encoding > 0


def test_a_plan_with_tiles_uses_tiles_of_the_autoencoder_s_own_size(tmp_path: Path) -> None:
    facts = {"latent_channels": 4, "block_out_channels": [8, 16, 16, 16], "layers_per_block": 1}
    found = []
    for size in (32, 128):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**facts, "sample_size": size}))
        plans = [
            codec_bytes(CodecConfig(path=str(folder), tiling=tiling), 128, 128, 1)
            for tiling in (True, False)
        ]
        found.append(plans[0].decoding / plans[1].decoding)
    assert found[0] < 0.7
    assert found[1] == 1  # no frame is larger than a tile
