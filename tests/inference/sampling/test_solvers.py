import itertools

import pytest
import torch

from inference.sampling.solvers import (
    DdimSolver,
    SamplerConfig,
    build_solver,
    clip_prediction,
    evenly_in_log_snr,
)
from models.diffusion import DiffusionConfig, GaussianDiffusion, RespacedDiffusion

DIFFUSION = GaussianDiffusion(DiffusionConfig())
ALPHAS = DIFFUSION.schedule.alphas_cumprod.float()
MEAN = 0.7


def exact_prediction(latents, timestep, std):
    """The noise that a perfect network predicts for data ~ N(MEAN, std^2), posterior variance."""
    alpha = ALPHAS[timestep]
    noise = (1 - alpha).sqrt() * (latents - alpha.sqrt() * MEAN) / (alpha * std**2 + 1 - alpha)
    return torch.cat([noise, -torch.ones_like(noise)], dim=1)


def walk(config, std, seed=0):
    generator = torch.Generator().manual_seed(seed)
    solver = build_solver(config, DIFFUSION)
    start = latents = torch.randn(4, 4, 4, 8, 8, generator=generator)
    for position, timestep in enumerate(solver.timesteps):
        noise = torch.randn(latents.shape, generator=generator) if solver.needs_noise else None
        prediction = exact_prediction(latents, timestep, std)
        latents = solver.step(position, prediction, latents, noise)
    alpha = ALPHAS[solver.timesteps[0]]
    flow = MEAN + std * (start - alpha.sqrt() * MEAN) / (alpha * std**2 + 1 - alpha).sqrt()
    return latents, flow


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (SamplerConfig(solver="dpm++", num_steps=8), 0.03),
        (SamplerConfig(solver="dpm++", num_steps=20), 0.02),
        (SamplerConfig(solver="ddim", num_steps=100), 0.05),
    ],
)
@pytest.mark.parametrize("std", [0.3, 1.0])
def test_deterministic_solvers_follow_the_exact_flow(config, error, std):
    latents, flow = walk(config, std)
    assert float((latents - flow).abs().mean()) / std < error


@pytest.mark.parametrize(
    "config",
    [
        SamplerConfig(solver="ancestral", num_steps=100),
        SamplerConfig(solver="ddim", num_steps=100, eta=1.0),
    ],
)
def test_stochastic_solvers_reach_the_datas_distribution(config):
    latents, flow = walk(config, 1.0)
    assert float(latents.mean()) == pytest.approx(MEAN, abs=0.04)
    assert float(latents.std()) == pytest.approx(1.0, abs=0.05)
    assert float((latents - flow).abs().mean()) > 0.5  # it is not the deterministic flow


@pytest.mark.parametrize("solver", ["dpm++", "ddim", "ancestral"])
def test_every_solver_reaches_a_single_point(solver):
    latents, _ = walk(SamplerConfig(solver=solver, num_steps=12), 1e-4)
    assert torch.allclose(latents, torch.full_like(latents, MEAN), atol=2e-3)


def test_one_ddim_step_is_equation_12():
    solver = build_solver(SamplerConfig(solver="ddim", num_steps=10), DIFFUSION)
    now, below = solver.timesteps[3], solver.timesteps[4]
    latents = torch.linspace(-1, 1, 2 * 4 * 3 * 2 * 2).reshape(2, 4, 3, 2, 2)
    noise = latents.flip(0) * 0.5
    prediction = torch.cat([noise, torch.zeros_like(noise)], dim=1)
    x0 = (latents - (1 - ALPHAS[now]).sqrt() * noise) / ALPHAS[now].sqrt()
    expected = ALPHAS[below].sqrt() * x0 + (1 - ALPHAS[below]).sqrt() * noise
    assert torch.allclose(solver.step(3, prediction, latents, None), expected, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_ddim_equals_diffusers_where_both_take_the_same_timesteps(eta):
    """Theirs knows only even strides, ours also the reference's, which end at the last step."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    theirs = DDIMScheduler(beta_start=1e-4, beta_end=2e-2, clip_sample=False)
    theirs.set_timesteps(10)
    kept = RespacedDiffusion(DIFFUSION.schedule, theirs.timesteps.flip(0), learned_range=True)
    ours = DdimSolver(kept, eta)
    assert ours.timesteps == theirs.timesteps.tolist()
    generator = torch.Generator().manual_seed(0)
    latents = other = torch.randn(2, 4, 3, 2, 2, generator=generator)
    for position, timestep in enumerate(ours.timesteps):
        noise = torch.randn(latents.shape, generator=generator)
        predicted = exact_prediction(latents, timestep, 0.5)
        spread = eta if timestep else 0.0  # theirs adds noise to the last step as well
        other = theirs.step(
            predicted[:, :4], timestep, other, spread, variance_noise=noise if spread else None
        ).prev_sample
        latents = ours.step(position, predicted, latents, noise)
        assert torch.allclose(latents, other, atol=1e-4)


def test_the_first_multistep_step_is_of_first_order_and_equals_ddims():
    solver = build_solver(SamplerConfig(solver="dpm++", num_steps=10), DIFFUSION)
    now, below = solver.timesteps[0], solver.timesteps[1]
    latents = torch.linspace(-1, 1, 96).reshape(2, 4, 3, 2, 2)
    noise = latents.flip(0)
    prediction = torch.cat([noise, torch.zeros_like(noise)], dim=1)
    x0 = (latents - (1 - ALPHAS[now]).sqrt() * noise) / ALPHAS[now].sqrt()
    expected = ALPHAS[below].sqrt() * x0 + (1 - ALPHAS[below]).sqrt() * noise
    assert torch.allclose(solver.step(0, prediction, latents, None), expected, atol=1e-3)


@pytest.mark.parametrize("num_steps", [1, 2, 8, 20, 100, 999, 1000])
def test_timesteps_fall_strictly_and_there_are_as_many_as_asked_for(num_steps):
    timesteps = evenly_in_log_snr(DIFFUSION, num_steps)
    assert len(timesteps) == num_steps
    assert timesteps[0] == 999
    assert all(a > b for a, b in itertools.pairwise(timesteps))
    assert timesteps[-1] >= 0
    assert num_steps == 1 or timesteps[-1] == 0


def test_clipping_holds_the_implied_clean_latents_and_leaves_small_ones_alone():
    latents = torch.linspace(-3, 3, 96).reshape(2, 4, 3, 2, 2)
    prediction = torch.cat([torch.zeros_like(latents), torch.ones_like(latents)], dim=1)
    clipped = clip_prediction(prediction, latents, 100, DIFFUSION, 1.5)
    index = torch.full((2,), 100)
    before = DIFFUSION.schedule.predict_x0(prediction[:, :4], latents, index)
    after = DIFFUSION.schedule.predict_x0(clipped[:, :4], latents, index)
    assert torch.allclose(after, before.clamp(-1.5, 1.5), atol=1e-5)
    assert torch.equal(clipped[:, 4:], prediction[:, 4:])


def test_guidance_is_on_within_its_interval_alone():
    config = SamplerConfig(num_steps=10, guidance_interval=[0.2, 0.5])
    assert [position for position in range(10) if config.is_guided(position)] == [2, 3, 4]
    assert not any(SamplerConfig(guidance_scale=1.0).is_guided(i) for i in range(20))
    assert all(SamplerConfig().is_guided(i) for i in range(20))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "euler"}, "one of dpm"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
        ({"guidance_interval": [0.5, 0.2]}, "0 <= first <= last <= 1"),
        ({"guidance_interval": [0.5]}, "two shares"),
        ({"eta": 0.5}, "use ddim"),
        ({"clip": 0.0}, "clip is 0.0"),
    ],
)
def test_settings_out_of_range_name_the_value(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplerConfig(**settings)


def test_more_steps_than_the_schedule_has_are_refused():
    for solver in ("dpm++", "ddim"):
        with pytest.raises(ValueError, match="between 1 and 1000, not 1001"):
            build_solver(SamplerConfig(solver=solver, num_steps=1001), DIFFUSION)
