"""The closed forms against torch's own counter, on fake tensors: nothing is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from datasets.loading.config import DataConfig
from models.acceleration import checkpoint_blocks
from models.conditions import Conditions
from models.control import control_channels
from models.embeddings import spatial_positions, temporal_positions
from models.places import OUTLINE
from models.stdit import STDiT, STDiTConfig
from models.system import SystemConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.freezing import FreezeConfig, freeze, freeze_rule
from training.lora.adapters import linear_layers
from training.lora.config import LoraConfig, adapted_layers
from training.planning.adapter_shapes import shape_adapters
from training.planning.codec_flops import AutoencoderShape, decode_flops, encode_flops
from training.planning.flops import READING, Work, network_flops, sample_flops, total

SMALL = VitonDiTConfig(
    trunk=STDiTConfig(dim=64, depth=4, num_heads=4, caption_dim=32, caption_length=6, in_channels=4)
)


@contextmanager
def fake_tensors() -> Iterator[None]:
    """Shapes without numbers, and attention as products that torch counts."""
    caches = (spatial_positions, temporal_positions)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for cache in caches:
            cache.cache_clear()


def counted_step(
    config: VitonDiTConfig,
    stage: str,
    preset: str,
    frames: int,
    parts: list[str],
    every: int = 0,
    rank: int = 0,
) -> tuple[float, float, set[str]]:
    """FLOPs that torch counts forward and backward, and what learns."""
    rows, height, width = 2, 16, 12
    with fake_tensors():
        network = VitonDiT(config)
        learning = freeze(network, freeze_rule(FreezeConfig(preset=preset), stage))
        if rank:
            layers = adapted_layers(LoraConfig(rank=rank), linear_layers(network), parts)
            shape_adapters(network, layers, rank, torch.float32)
            learning = layers
        checkpoint_blocks(network, every)
        trunk = config.trunk
        caption = torch.empty(1, trunk.caption_length, trunk.caption_dim)
        latents = torch.empty(rows, 4, frames, height, width)
        with FlopCounterMode(display=False) as forward:
            features = network.encode_caption(caption)
            garment = None
            if "garment" in parts:
                garment = network.encode_garment(torch.empty(rows, 4, height, width), features)
            conditions = Conditions(
                caption=features,
                garment=garment,
                control=torch.empty(rows, 9, frames, height, width) if "control" in parts else None,
                drop=torch.empty(rows, dtype=torch.bool),
            )
            loss = network(latents, torch.empty(rows), conditions).square().mean()
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    return forward.get_total_flops(), backward.get_total_flops(), set(learning)


@pytest.mark.parametrize(
    ("stage", "preset", "frames", "parts"),
    [
        ("stage3", "article", 5, ["denoiser", "garment", "control"]),
        ("stage3", "figure", 5, ["denoiser", "garment", "control"]),
        ("stage2", "article", 1, ["denoiser", "garment", "control"]),
        ("stage1", "article", 1, ["denoiser", "garment"]),
        ("pretrain", "article", 1, ["denoiser"]),
    ],
)
def test_a_training_step_takes_what_torch_counts(
    stage: str, preset: str, frames: int, parts: list[str]
) -> None:
    forward, backward, learning = counted_step(SMALL, stage, preset, frames, parts)
    work = Work(rows=2, frames=frames, height=16, width=12, drop=True)
    found = network_flops(SMALL, work, parts=parts, learning=learning)
    ours = sum((total(kinds) for kinds in found.values()), start=total({}))
    assert ours.forward == pytest.approx(forward, rel=0.02)
    assert ours.backward == pytest.approx(backward, rel=0.02)


@pytest.mark.parametrize(("stage", "frames"), [("stage3", 5), ("stage2", 1)])
def test_a_step_of_adapters_takes_what_torch_counts(stage: str, frames: int) -> None:
    parts = ["denoiser", "garment", "control"]
    forward, backward, layers = counted_step(SMALL, stage, "article", frames, parts, rank=8)
    work = Work(rows=2, frames=frames, height=16, width=12, drop=True)
    found = network_flops(SMALL, work, parts=parts, ranks=dict.fromkeys(layers, 8))
    ours = sum((total(kinds) for kinds in found.values()), start=total({}))
    assert ours.forward == pytest.approx(forward, rel=0.02)
    assert ours.backward == pytest.approx(backward, rel=0.02)


def test_checkpointing_adds_the_forward_pass_of_the_recomputed_blocks() -> None:
    everything = ["denoiser", "garment", "control"]
    work = Work(rows=2, frames=5, height=16, width=12, drop=True)
    for every in (1, 2):
        _, backward, learning = counted_step(SMALL, "stage3", "article", 5, everything, every)
        found = network_flops(SMALL, work, learning=learning, checkpoint_every=every)
        ours = sum((total(kinds) for kinds in found.values()), start=total({}))
        assert ours.backward + ours.recomputed == pytest.approx(backward, rel=0.02)


@pytest.mark.parametrize(("width", "expected"), [(64, 24.39e12), (48, 17.89e12)])
def test_the_trunk_at_full_size_takes_what_the_design_says(width: int, expected: float) -> None:
    config = VitonDiTConfig()
    work = Work(rows=1, frames=16, height=64, width=width)
    ours = total(network_flops(config, work, parts=["denoiser"])["denoiser"]).forward
    assert ours == pytest.approx(expected, rel=0.001)
    with fake_tensors(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        trunk = STDiT(config.trunk)
        trunk(torch.empty(1, 4, 16, 64, width), torch.empty(1), torch.empty(1, 120, 4096))
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_the_parts_at_full_size_take_what_the_design_says() -> None:
    work = Work(rows=1, frames=16, height=64, width=64)
    found = network_flops(VitonDiTConfig(), work)
    block = sum(
        found["denoiser"][kind].forward / 28
        for kind in ("spatial attention", "temporal attention", "caption attention", "feed forward")
    )
    assert block == pytest.approx(0.871e12, rel=0.001)
    assert total(found["garment"]).forward == pytest.approx(1.23e12, rel=0.05)
    assert total(found["control"]).forward == pytest.approx(15.1e12, rel=0.02)
    keys_values = 4 * 1152**2 * 1024 * 42
    attended = found["denoiser"]["garment attention"].forward - keys_values * 28 / 42
    assert attended == pytest.approx(4.60e12, rel=0.01)
    assert keys_values == pytest.approx(0.23e12, rel=0.02)


def test_places_and_garments_shared_by_frames_take_what_torch_counts() -> None:
    config = replace(SMALL, fusion="places", warped_garment=True)
    rows, each, height, width = 4, 2, 16, 12
    with fake_tensors():
        network = VitonDiT(config)
        channels = control_channels(4, warped_garment=True)
        with FlopCounterMode(display=False) as counter:
            caption = network.encode_caption(torch.empty(1, 6, 32))
            picture = torch.empty(rows // each, 4, 2 * height, 2 * width)
            garment = network.encode_garment(picture, caption, torch.empty(rows // each, *OUTLINE))
            conditions = Conditions(
                caption=caption, garment=garment, body=torch.empty(rows, 4, 1, height, width),
                control=torch.empty(rows, channels, 1, height, width),
            )  # fmt: skip
            with torch.no_grad():
                network(torch.empty(rows, 4, 1, height, width), torch.empty(rows), conditions)
    work = Work(
        rows=rows, frames=1, height=height, width=width, garment_scale=2, rows_per_garment=each
    )
    found = network_flops(config, work)
    ours = sum(total(kinds).forward for kinds in found.values())
    read = sum(kinds[READING].forward for part, kinds in found.items() if part != "garment")
    assert 0 < read < 0.05 * ours
    assert ours - read == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_a_micro_batch_of_single_frames_has_a_garment_for_each_clip() -> None:
    system = SystemConfig(garment_scale=2)
    images = Work.of(system, DataConfig(batch_size=3, num_frames=1, images_per_window=4))
    assert (images.rows, images.frames, images.rows_per_garment) == (12, 1, 4)
    clips = Work.of(system, DataConfig(batch_size=3, num_frames=8, images_per_window=4))
    assert (clips.rows, clips.frames, clips.rows_per_garment) == (3, 8, 1)
    assert (clips.garment_scale, clips.height, clips.width, clips.drop) == (2, 64, 48, True)


def test_a_sampled_window_takes_what_its_calls_take() -> None:
    with fake_tensors(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = VitonDiT(SMALL)
        caption = network.encode_caption(torch.empty(1, 6, 32))
        garment = network.encode_garment(torch.empty(1, 4, 16, 12), caption)
        control = torch.empty(1, 9, 5, 16, 12)
        painted = network.project(Conditions(caption=caption, garment=garment, control=control))
        null = network.null_side(painted)
        latents, steps = torch.empty(1, 4, 5, 16, 12), torch.empty(1)
        for step in range(3):
            residuals = network.control_residuals(latents, steps, painted)
            network(latents, steps, painted, residuals)
            if step < 2:
                network(latents, steps, null, residuals)
    work = Work(rows=1, frames=5, height=16, width=12)
    ours = sample_flops(SMALL, work, steps=3, guided_steps=2)
    assert sum(ours.values()) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_the_autoencoder_takes_what_torch_counts() -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    shape = AutoencoderShape()
    assert encode_flops(shape, 512, 512) == pytest.approx(1.12e12, rel=0.01)
    assert decode_flops(shape, 512, 512) == pytest.approx(2.52e12, rel=0.01)
    with torch.device("meta"), torch.no_grad():
        network: Any = AutoencoderKL(
            block_out_channels=shape.widths, layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )  # fmt: skip
        with FlopCounterMode(display=False) as encoding:
            network.encode(torch.empty(1, 3, 64, 48))
        with FlopCounterMode(display=False) as decoding:
            network.decode(torch.empty(1, 4, 8, 6))
    assert encode_flops(shape, 64, 48) == pytest.approx(encoding.get_total_flops(), rel=0.02)
    assert decode_flops(shape, 64, 48) == pytest.approx(decoding.get_total_flops(), rel=0.02)
