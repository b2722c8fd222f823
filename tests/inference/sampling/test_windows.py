from dataclasses import replace

import pytest
import torch

from inference.sampling.latent_video import paint_video, swap_known
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import (
    KnownFrames,
    draw_noise,
    make_null_side,
    predict,
    sample_windows,
)
from models.conditions import Conditions
from models.diffusion import DiffusionConfig

SIZE = (4, 6)
FAST = SamplerConfig(solver="ddim", num_steps=3, guidance_scale=2.5)


def make_control(num_frames, painted=True, seed=1):
    generator = torch.Generator().manual_seed(seed)
    control = torch.randn(9, num_frames, *SIZE, generator=generator)
    control[8] = 0
    if painted:
        control[8, :, 1:3, 1:5] = 1
    return control


def make_garment(system, seed=2):
    latents = torch.randn(1, 4, 6, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        caption = system.network.encode_caption(*system.captions(1))
        return system.network.encode_garment(latents, caption)


def make_conditions(system, control):
    with torch.no_grad():
        caption = system.network.encode_caption(*system.captions(1))
    return Conditions(caption=caption, garment=make_garment(system), control=control)


def sample(system, config, frames, seed=3, known=None, control_seed=1):
    control = torch.stack([make_control(len(window), seed=control_seed) for window in frames])
    conditions = make_conditions(system, control)
    return sample_windows(system, config, conditions, frames, SIZE, seed, known)


@pytest.mark.parametrize("solver", ["dpm++", "ddim", "ancestral"])
def test_the_same_seed_gives_the_same_latents_and_another_seed_others(tiny_system, solver):
    config = replace(FAST, solver=solver)
    first = sample(tiny_system, config, [[0, 1, 2]])
    assert torch.equal(first, sample(tiny_system, config, [[0, 1, 2]]))
    assert not torch.allclose(first, sample(tiny_system, config, [[0, 1, 2]], seed=4), atol=0.1)
    assert not torch.allclose(first, sample(tiny_system, config, [[5, 6, 7]]), atol=0.1)


@pytest.mark.parametrize("solver", ["dpm++", "ddim", "ancestral"])
def test_windows_in_a_batch_equal_windows_one_by_one(tiny_system, solver):
    config = replace(FAST, solver=solver)
    together = sample(tiny_system, config, [[0, 1, 2], [10, 11, 12]])
    for row, window in zip(together, [[0, 1, 2], [10, 11, 12]], strict=True):
        alone = sample(tiny_system, config, [window])[0]
        assert torch.allclose(row, alone, atol=1e-5 * float(alone.abs().max()))


def test_noise_belongs_to_frame_seed_and_step():
    noise = draw_noise([[3, 4], [4, 9]], "step 7", (2, 3, 3), 5)
    assert noise.shape == (2, 2, 2, 3, 3)
    assert torch.equal(noise[0, :, 1], noise[1, :, 0])
    assert torch.equal(noise[:1], draw_noise([[3, 4]], "step 7", (2, 3, 3), 5))
    for other in (draw_noise([[3, 4]], "step 8", (2, 3, 3), 5),
                  draw_noise([[3, 4]], "step 7", (2, 3, 3), 6)):  # fmt: skip
        assert not torch.allclose(noise[:1], other, atol=0.1)


def test_guidance_with_one_control_pass_equals_two_separate_passes(tiny_system):
    latents = torch.randn(2, 4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([400, 400])
    conditions = make_conditions(tiny_system, torch.stack([make_control(3)] * 2))
    with torch.no_grad():
        config = replace(FAST, guidance_scale=3.0)
        other_side = make_null_side(tiny_system, conditions, config)
        guided = predict(tiny_system, latents, timesteps, conditions, other_side, config)
        plain = tiny_system.network(latents, timesteps, conditions)
        drop = torch.tensor([True, True])
        null = tiny_system.network(latents, timesteps, replace(conditions, drop=drop))
    expected = null[:, :4] + 3.0 * (plain[:, :4] - null[:, :4])
    assert not torch.allclose(plain[:, :4], null[:, :4], atol=1e-3)
    assert torch.allclose(guided[:, :4], expected, atol=1e-5)
    assert torch.equal(guided[:, 4:], plain[:, 4:])


def test_legacy_guidance_is_open_soras_three_channels_and_prompt_mask(tiny_system):
    latents = torch.randn(1, 4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([400])
    conditions = make_conditions(tiny_system, make_control(3)[None])
    mask = torch.arange(conditions.caption.tokens.shape[1])[None] < 2
    conditions = replace(conditions, caption=replace(conditions.caption, mask=mask))
    config = replace(FAST, guidance="legacy")
    network = tiny_system.network
    with torch.no_grad():
        other_side = make_null_side(tiny_system, conditions, config)
        guided = predict(tiny_system, latents, timesteps, conditions, other_side, config)
        plain = network(latents, timesteps, conditions)
        residuals = network.control_residuals(latents, timesteps, conditions)
        null = network.encode_caption(network.denoiser.y_embedder.null_caption(1), mask)
        unpainted = replace(conditions, caption=null, garment=None)
        null = network(latents, timesteps, unpainted, residuals)
    expected = null[:, :3] + 2.5 * (plain[:, :3] - null[:, :3])
    assert torch.allclose(guided[:, :3], expected, atol=1e-5)
    assert torch.equal(guided[:, 3:], plain[:, 3:])
    with pytest.raises(ValueError, match="guidance is 'some'"):
        SamplerConfig(guidance="some")


def test_known_frames_come_back_exactly_and_pull_on_the_others(tiny_system):
    given = torch.randn(1, 4, 4, *SIZE, generator=torch.Generator().manual_seed(9))
    known = KnownFrames(latents=given, known=torch.tensor([[True, False, False, True]]))
    frames = [[0, 1, 2, 3]]
    painted = sample(tiny_system, FAST, frames, known=known)
    assert torch.equal(painted[:, :, [0, 3]], given[:, :, [0, 3]])
    other = KnownFrames(latents=given + 1, known=known.known)
    moved = sample(tiny_system, FAST, frames, known=other)
    assert not torch.allclose(painted[:, :, 1:3], moved[:, :, 1:3], atol=1e-3)


def test_known_frames_are_noised_to_the_level_of_each_step(tiny_system, monkeypatch):
    seen = []
    network = type(tiny_system.network)
    original = network.control_residuals

    def spy(self, latents, timesteps, conditions):
        seen.append((int(timesteps[0]), latents[0, :, 1].clone()))
        return original(self, latents, timesteps, conditions)

    monkeypatch.setattr(network, "control_residuals", spy)
    given = torch.full((1, 4, 2, *SIZE), 0.5)
    known = KnownFrames(latents=given, known=torch.tensor([[False, True]]))
    sample(tiny_system, FAST, [[7, 8]], known=known)
    noise = draw_noise([[7, 8]], "start", (4, *SIZE), 3)
    assert len(seen) == 3
    for timestep, latents in seen:
        level = tiny_system.diffusion.q_sample(given, torch.tensor([timestep]), noise)
        assert torch.allclose(latents, level[0, :, 1], atol=1e-6)


def test_the_control_of_a_known_frame_is_the_frame_with_an_empty_mask():
    control = make_control(3)[None]
    given = torch.full((1, 4, 3, *SIZE), 0.25)
    known = KnownFrames(latents=given, known=torch.tensor([[False, True, False]]))
    swapped = swap_known(control, known)
    assert (swapped[0, :4, 1] == 0.25).all()
    assert (swapped[0, 8, 1] == 0).all()
    assert torch.equal(swapped[0, 4:8], control[0, 4:8])
    assert torch.equal(swapped[:, :, [0, 2]], control[:, :, [0, 2]])


def paint(system, num_frames, config, seed=3, control=None, on_progress=None):
    control = make_control(num_frames) if control is None else control
    garment = make_garment(system)
    with torch.no_grad():
        caption = system.network.encode_caption(*system.captions(1))
        conditions = system.network.project(Conditions(caption=caption, garment=garment))
    return paint_video(system, control, conditions, FAST, config, seed, on_progress)


def test_iar_fills_sub_videos_as_a_batch_as_it_does_one_by_one(build_system_with):
    # Predicted velocity: an untrained network's noise would be blown up 158 times, rounding too.
    system = build_system_with(diffusion=DiffusionConfig(prediction="velocity"))
    for num_frames in (13, 18):
        settings = {"sub_video_length": 4}
        together = paint(system, num_frames, LongVideoConfig(batch_size=8, **settings))
        single = paint(system, num_frames, LongVideoConfig(batch_size=1, **settings))
        assert torch.allclose(together, single, atol=1e-5 * float(single.abs().max()))


def test_key_frames_equal_the_latents_handed_over_after_the_fill(tiny_system):
    control = make_control(13)
    config = LongVideoConfig(sub_video_length=3)
    painted = paint(tiny_system, 13, config, control=control)
    keys = [0, 3, 6, 9, 12]
    conditions = make_conditions(tiny_system, control[None, :, keys])
    nothing = KnownFrames(latents=torch.zeros(1, 4, 5, *SIZE), known=torch.zeros(1, 5, dtype=bool))
    alone = sample_windows(tiny_system, FAST, conditions, [keys], SIZE, 3, nothing)
    assert torch.equal(painted[:, keys], alone[0])


@pytest.mark.parametrize("method", ["ar", "iar"])
@pytest.mark.parametrize("num_frames", [1, 4, 5, 6, 11])
def test_any_length_is_painted_whole(tiny_system, method, num_frames):
    calls = []
    painted = paint(
        tiny_system, num_frames, LongVideoConfig(method=method),
        on_progress=lambda done, of: calls.append((done, of)),
    )  # fmt: skip
    assert painted.shape == (4, num_frames, *SIZE)
    assert painted.isfinite().all()
    assert (painted.flatten(2).std(dim=(0, 2)) > 1e-3).all()
    assert calls[-1][0] == calls[-1][1]
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_frames_without_a_mask_stay_what_they_are(tiny_system):
    control = make_control(12)
    control[8, [0, 5, 6, 11]] = 0
    painted = paint(tiny_system, 12, LongVideoConfig(), control=control)
    assert torch.equal(painted[:, [0, 5, 6, 11]], control[:4, [0, 5, 6, 11]])
    changed = (painted - control[:4]).abs().amax(dim=(0, 2, 3)) > 1e-2
    assert changed.tolist() == [frame not in (0, 5, 6, 11) for frame in range(12)]
    untouched = make_control(7, painted=False)
    assert torch.equal(paint(tiny_system, 7, LongVideoConfig(), control=untouched), untouched[:4])
