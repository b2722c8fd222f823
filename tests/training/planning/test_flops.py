"""Operations of a step against torch's own counter, on fake tensors: nothing is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from datasets.loading.config import DataConfig
from models.acceleration import checkpoint_blocks
from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.control import control_channels
from models.embeddings import spatial_positions, temporal_positions
from models.places import OUTLINE
from models.stdit import STDiTConfig
from models.system import SystemConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.config import TrainConfig, TrainerConfig
from training.freezing import FreezeConfig, freeze, freeze_rule
from training.lora.adapters import linear_layers
from training.lora.config import LoraConfig, adapted_layers
from training.planning.adapter_shapes import shape_adapters
from training.planning.codec_memory import image_flops
from training.planning.fake_step import FakeStep, Work, fake_step, sample_flops
from training.planning.flops import Flops

SMALL = VitonDiTConfig(
    trunk=STDiTConfig(dim=64, depth=4, num_heads=4, caption_dim=32, caption_length=6, in_channels=4)
)
EVERY = {0: "none", 1: "blocks", 2: "every_2"}


def planned(
    network: VitonDiTConfig, stage: str, preset: str, data: DataConfig, every: int = 0,
    rank: int = 0, garment_scale: int = 1,
) -> FakeStep:  # fmt: skip
    return fake_step(
        TrainConfig(
            name="small", stage=stage, data=data, freeze=FreezeConfig(preset=preset),
            system=SystemConfig(
                network=network, height=128, width=96, num_frames=data.num_frames,
                garment_scale=garment_scale,
            ),
            lora=LoraConfig(rank=rank), init_from="base",
            trainer=TrainerConfig(activation_checkpointing=EVERY[every]),
        )
    )  # fmt: skip


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
) -> tuple[float, float]:
    """FLOPs that torch counts forward and backward."""
    rows, height, width = 2, 16, 12
    with fake_tensors():
        network = VitonDiT(config)
        freeze(network, freeze_rule(FreezeConfig(preset=preset), stage))
        if rank:
            layers = adapted_layers(LoraConfig(rank=rank), linear_layers(network), parts)
            shape_adapters(network, layers, rank, torch.float32)
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
    return forward.get_total_flops(), backward.get_total_flops()


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
    forward, backward = counted_step(SMALL, stage, preset, frames, parts)
    found = planned(SMALL, stage, preset, DataConfig(num_frames=frames, batch_size=2)).flops
    assert list(found) == parts
    ours = sum(found.values(), Flops())
    assert ours.forward == pytest.approx(forward, rel=0.005)
    assert ours.backward == pytest.approx(backward, rel=0.005)
    assert ours.recomputed == 0


@pytest.mark.parametrize(("stage", "frames"), [("stage3", 5), ("stage2", 1)])
def test_a_step_of_adapters_takes_what_torch_counts(stage: str, frames: int) -> None:
    parts = ["denoiser", "garment", "control"]
    forward, backward = counted_step(SMALL, stage, "article", frames, parts, rank=8)
    data = DataConfig(num_frames=frames, batch_size=2)
    ours = sum(planned(SMALL, stage, "article", data, rank=8).flops.values(), Flops())
    assert ours.forward == pytest.approx(forward, rel=0.005)
    assert ours.backward == pytest.approx(backward, rel=0.005)


def test_checkpointing_adds_the_forward_pass_of_the_recomputed_blocks() -> None:
    everything = ["denoiser", "garment", "control"]
    data = DataConfig(num_frames=5, batch_size=2)
    plain = planned(SMALL, "stage3", "article", data).flops
    for every in (1, 2):
        _, backward = counted_step(SMALL, "stage3", "article", 5, everything, every)
        found = planned(SMALL, "stage3", "article", data, every).flops
        ours = sum(found.values(), Flops())
        assert ours.backward + ours.recomputed == pytest.approx(backward, rel=0.005)
        for part, flops in found.items():
            assert flops.backward == plain[part].backward
            assert flops.recomputed < flops.forward
            assert flops.recomputed > 0.6 * flops.forward / every


def test_the_backward_pass_of_each_part_is_its_own() -> None:
    data = DataConfig(num_frames=5, batch_size=2)
    found = planned(SMALL, "stage3", "article", data).flops
    for part, flops in found.items():
        assert 1.7 * flops.forward < flops.backward < 2.01 * flops.forward, part
    frozen = planned(SMALL, "stage1", "article", replace(data, num_frames=1)).flops
    assert frozen["garment"].backward == pytest.approx(2 * frozen["garment"].forward, rel=0.05)
    assert frozen["denoiser"].backward < 1.7 * frozen["denoiser"].forward


def test_the_parts_at_full_size_take_what_the_design_says() -> None:
    work = Work(rows=1, frames=16, height=64, width=64)
    found = sample_flops(VitonDiTConfig(), work, steps=1, guided_steps=1)
    keys_values = 4 * 1152**2 * 1024 * 42
    captions = 4 * 1152**2 * 120 * (42 + 28)
    assert found["garment extractor"] == pytest.approx(1.23e12, rel=0.05)
    assert found["keys and values"] == pytest.approx(keys_values + captions, rel=0.02)
    assert found["ControlNet"] == pytest.approx(15.1e12, rel=0.02)
    trunk, attended = 24.39e12, 4.60e12
    assert found["denoiser"] == pytest.approx(2 * trunk + attended, rel=0.005)


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
                drop=torch.empty(rows, dtype=torch.bool),
            )  # fmt: skip
            with torch.no_grad():
                network(torch.empty(rows, 4, 1, height, width), torch.empty(rows), conditions)
    data = DataConfig(num_frames=1, batch_size=rows // each, images_per_window=each)
    found = planned(config, "stage2", "article", data, garment_scale=2)
    ours = sum(flops.forward for flops in found.flops.values())
    read = found.reading / 3  # the backward pass reads twice
    assert 0 < read < 0.05 * ours
    assert ours - read == pytest.approx(counter.get_total_flops(), rel=0.005)


def test_a_micro_batch_of_single_frames_has_a_garment_for_each_clip() -> None:
    system = SystemConfig(garment_scale=2)
    images = Work.of(system, DataConfig(batch_size=3, num_frames=1, images_per_window=4))
    assert (images.rows, images.frames, images.rows_per_garment) == (12, 1, 4)
    clips = Work.of(system, DataConfig(batch_size=3, num_frames=8, images_per_window=4))
    assert (clips.rows, clips.frames, clips.rows_per_garment) == (3, 8, 1)
    assert (clips.garment_scale, clips.height, clips.width) == (2, 64, 48)


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
    assert sum(ours.values()) == pytest.approx(counter.get_total_flops(), rel=0.005)


def test_the_autoencoder_takes_what_the_design_says() -> None:
    encoding, decoding = image_flops(CodecConfig(), 512, 512)
    assert encoding == pytest.approx(1.12e12, rel=0.01)
    assert decoding == pytest.approx(2.52e12, rel=0.01)
    assert image_flops(CodecConfig(kind="dct"), 512, 512) == (0.0, 0.0)
