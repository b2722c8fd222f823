import math

import pytest
import torch
from torch import Tensor

from models.diffusion import DiffusionConfig, GaussianDiffusion

SHAPE = (4, 4, 2, 4, 4)
TRAINING_TIMESTEPS = torch.tensor([0, 37, 500, 999])


def wave(frequency: float, phase: float) -> Tensor:
    index = torch.arange(math.prod(SHAPE), dtype=torch.float64)
    return torch.sin(frequency * index + phase).to(torch.float32).reshape(SHAPE)


X0 = 1.5 * wave(0.37, 0.1)
NOISE = 1.4142 * wave(1.91, 0.7)
OUTPUT = torch.cat([NOISE * 0.8 + 0.3 * wave(0.53, 1.3), 0.9 * wave(0.71, 0.2)], dim=1)
ANCESTRAL_NOISE = wave(2.3, 0.5)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(DiffusionConfig())


def test_loss_terms_equal_open_soras(diffusion, iddpm_golden):
    losses = diffusion.losses(OUTPUT, X0, NOISE, TRAINING_TIMESTEPS)
    golden = iddpm_golden["train"]
    mse, vlb = losses.mse.mean(dim=(1, 2, 3, 4)), losses.vlb.mean(dim=(1, 2, 3, 4))
    assert torch.allclose(mse, torch.tensor(golden["mse"]), atol=1e-6)
    assert torch.allclose(vlb, torch.tensor(golden["vb"]), rtol=1e-4, atol=1e-7)
    assert torch.allclose(mse + vlb, torch.tensor(golden["loss"]), atol=2e-6)


def test_noising_equals_open_soras(diffusion, iddpm_golden):
    noised = diffusion.q_sample(X0, TRAINING_TIMESTEPS, NOISE)
    assert torch.allclose(
        noised.flatten()[:8], torch.tensor(iddpm_golden["q_sample_first8"]), atol=1e-6
    )


@pytest.mark.parametrize("num_steps", [100, 20])
def test_single_sampler_steps_equal_open_soras(diffusion, iddpm_golden, num_steps):
    golden = iddpm_golden[f"respaced_{num_steps}"]
    respaced = diffusion.respaced(num_steps)
    index = torch.tensor(golden["respaced_index"])
    assert respaced.timesteps[index].tolist() == golden["original_timestep_seen_by_model"]
    latents = respaced.q_sample(X0, index, NOISE)
    mean, log_variance = respaced.mean_and_log_variance(OUTPUT, latents, index)
    ancestral = respaced.ancestral_step(OUTPUT, latents, index, ANCESTRAL_NOISE)
    ddim = respaced.ddim_step(OUTPUT, latents, index)
    for found, name in (
        (mean, "mean_first4_per_sample"),
        (log_variance, "log_variance_first4_per_sample"),
        (ancestral, "ancestral_sample_first4_per_sample"),
        (ddim, "ddim_eta0_first4_per_sample"),
    ):
        assert torch.allclose(found.flatten(1)[:, :4], torch.tensor(golden[name]), atol=2e-6), name
    for found, name in ((ancestral, "ancestral_l2"), (ddim, "ddim_l2")):
        assert torch.allclose(found.flatten(1).norm(dim=1), torch.tensor(golden[name]), atol=1e-5)


def test_hundred_steps_are_those_of_the_reference(diffusion):
    respaced = diffusion.respaced(100)
    assert respaced.timesteps[:7].tolist() == [0, 10, 20, 30, 40, 50, 61]
    assert respaced.timesteps[-1] == 999
    below = torch.cat([torch.ones(1), respaced.alphas_cumprod[:-1]])
    betas = 1 - respaced.alphas_cumprod / below
    assert abs(betas[1] - 0.00209364) < 1e-8
    assert abs(betas[99] - 0.18217953) < 1e-8


def test_as_many_steps_as_the_forward_process_change_nothing(diffusion):
    respaced = diffusion.respaced(1000)
    assert respaced.timesteps.tolist() == list(range(1000))
    assert torch.allclose(respaced.alphas_cumprod, diffusion.schedule.alphas_cumprod, atol=1e-12)


def test_the_bound_teaches_the_variance_alone(diffusion):
    output = OUTPUT.clone().requires_grad_()
    diffusion.losses(output, X0, NOISE, TRAINING_TIMESTEPS).vlb.sum().backward()
    assert output.grad is not None
    assert not output.grad[:, :4].any()
    assert output.grad[:, 4:].any()


def test_tables_first_read_in_inference_mode_can_be_trained_with(diffusion):
    with torch.inference_mode():
        diffusion.q_sample(X0, TRAINING_TIMESTEPS, NOISE)
    tables = diffusion.schedule._on_device[TRAINING_TIMESTEPS.device]
    assert not any(table.is_inference() for table in tables.values())


def test_a_perfect_prediction_gives_back_the_clean_latents(diffusion):
    respaced = diffusion.respaced(10)
    index = torch.tensor([0, 3, 6, 9])
    latents = respaced.q_sample(X0, index, NOISE)
    prediction = torch.cat([NOISE, torch.zeros_like(NOISE)], dim=1)
    assert torch.allclose(respaced.predict_x0(prediction, latents, index), X0, atol=1e-4)


def test_deterministic_sampling_with_the_true_noise_ends_at_the_clean_latents(diffusion):
    respaced = diffusion.respaced(10)
    latents = respaced.q_sample(X0, torch.full((4,), 9), NOISE)
    for step in reversed(range(10)):
        latents = respaced.ddim_step(NOISE, latents, torch.full((4,), step))
    assert torch.allclose(latents, X0, atol=1e-4)


def test_no_noise_is_added_in_the_last_step(diffusion):
    respaced = diffusion.respaced(10)
    last = torch.zeros(4, dtype=torch.int64)
    quiet = respaced.ancestral_step(OUTPUT, X0, last, torch.zeros_like(X0))
    assert torch.equal(respaced.ancestral_step(OUTPUT, X0, last, NOISE), quiet)
    stirred = respaced.ddim_step(OUTPUT, X0, last, eta=1.0, noise=NOISE)
    assert torch.equal(stirred, respaced.ddim_step(OUTPUT, X0, last, eta=1.0, noise=-NOISE))


def test_ddim_with_full_noise_has_the_posteriors_spread(diffusion):
    respaced = diffusion.respaced(20)
    index = torch.tensor([5, 9, 14, 19])
    latents = respaced.q_sample(X0, index, NOISE)
    up = respaced.ddim_step(OUTPUT, latents, index, eta=1.0, noise=torch.ones_like(X0))
    down = respaced.ddim_step(OUTPUT, latents, index, eta=1.0, noise=-torch.ones_like(X0))
    spread = ((up - down) / 2)[:, 0, 0, 0, 0]
    fixed = GaussianDiffusion(DiffusionConfig(learned_range=False)).respaced(20)
    _, log_variance = fixed.mean_and_log_variance(NOISE, latents, index)
    assert torch.allclose(spread.square().log(), log_variance[:, 0, 0, 0, 0], atol=1e-3)


def test_without_a_learned_variance_the_bound_is_zero():
    fixed = GaussianDiffusion(DiffusionConfig(learned_range=False))
    losses = fixed.losses(NOISE, X0, NOISE, TRAINING_TIMESTEPS)
    assert not losses.vlb.any()
    assert not losses.mse.any()


def test_what_cannot_be_sampled_is_refused(diffusion):
    with pytest.raises(ValueError, match="between 1 and 1000, not 0"):
        diffusion.respaced(0)
    with pytest.raises(ValueError, match="needs noise"):
        diffusion.respaced(5).ddim_step(OUTPUT, X0, torch.zeros(4, dtype=torch.int64), eta=0.5)
    with pytest.raises(ValueError, match="4 or 8 channels, not 6"):
        diffusion.losses(OUTPUT[:, :6], X0, NOISE, TRAINING_TIMESTEPS)
    with pytest.raises(ValueError, match="beta_start <= beta_end"):
        DiffusionConfig(beta_start=0.1, beta_end=0.01)


def test_velocity_and_noise_are_two_words_for_the_same_prediction():
    by_noise = GaussianDiffusion(DiffusionConfig())
    by_velocity = GaussianDiffusion(DiffusionConfig(prediction="velocity"))
    noisy = by_noise.q_sample(X0, TRAINING_TIMESTEPS, NOISE)
    kept = by_noise.schedule.alphas_cumprod[TRAINING_TIMESTEPS].float().reshape(-1, 1, 1, 1, 1)
    velocity = kept.sqrt() * NOISE - (1 - kept).sqrt() * X0
    fraction = OUTPUT[:, SHAPE[1] :]
    prediction = torch.cat([velocity, fraction], dim=1)
    as_noise = by_velocity.as_noise(prediction, noisy, TRAINING_TIMESTEPS)
    assert torch.allclose(as_noise, torch.cat([NOISE, fraction], dim=1), atol=1e-5)
    assert torch.equal(by_noise.as_noise(OUTPUT, noisy, TRAINING_TIMESTEPS), OUTPUT)


def test_a_true_velocity_has_no_error_and_a_false_ones_bound_is_that_of_its_noise():
    by_noise = GaussianDiffusion(DiffusionConfig())
    by_velocity = GaussianDiffusion(DiffusionConfig(prediction="velocity"))
    timesteps = torch.tensor([5, 37, 500, 900])
    kept = by_noise.schedule.alphas_cumprod[timesteps].float().reshape(-1, 1, 1, 1, 1)
    noisy = by_noise.q_sample(X0, timesteps, NOISE)
    guess, fraction = OUTPUT.chunk(2, dim=1)
    velocity = (guess - (1 - kept).sqrt() * noisy) / kept.sqrt()
    found = by_velocity.losses(torch.cat([velocity, fraction], 1), X0, NOISE, timesteps)
    expected = by_noise.losses(OUTPUT, X0, NOISE, timesteps)
    assert torch.allclose(found.vlb, expected.vlb, rtol=1e-3, atol=1e-5)
    true = kept.sqrt() * NOISE - (1 - kept).sqrt() * X0
    exact = by_velocity.losses(torch.cat([true, fraction], 1), X0, NOISE, timesteps)
    assert exact.mse.max() < 1e-10


def test_another_kind_of_prediction_is_refused():
    with pytest.raises(ValueError, match=r"prediction must be one of .*'x0'"):
        DiffusionConfig(prediction="x0")
