import pytest
import torch

from models.diffusion import DiffusionLosses
from training.objective import ObjectiveConfig, draw, reduce_losses

LATENTS = torch.zeros(2, 4, 3, 2, 2)


def test_draws_belong_to_the_sample_and_not_to_its_place_in_a_batch() -> None:
    config = ObjectiveConfig()
    left = draw(config, 0, torch.tensor([5, 9]), LATENTS, 1000)
    right = draw(config, 0, torch.tensor([9, 5]), LATENTS, 1000)
    assert torch.equal(left.noise, right.noise.flip(0))
    assert torch.equal(left.timesteps, right.timesteps.flip(0))
    assert not torch.equal(left.noise, draw(config, 1, torch.tensor([5, 9]), LATENTS, 1000).noise)


@pytest.mark.parametrize("kind", ["uniform", "stratified"])
def test_timesteps_cover_the_schedule_evenly(kind: str) -> None:
    config = ObjectiveConfig(timesteps=kind)
    numbers = torch.arange(2000)
    drawn = draw(config, 3, numbers, torch.zeros(2000, 1, 1, 1, 1), 1000).timesteps
    counts = torch.histc(drawn.float(), bins=10, min=0, max=1000)
    assert drawn.min() >= 0
    assert drawn.max() <= 999
    assert (counts - 200).abs().max() < (5 if kind == "stratified" else 60)


def test_rows_are_dropped_as_often_as_configured() -> None:
    config = ObjectiveConfig(drop_probability=0.3)
    drawn = draw(config, 0, torch.arange(2000), torch.zeros(2000, 1, 1, 1, 1), 1000)
    assert drawn.drop.float().mean() == pytest.approx(0.3, abs=0.03)


def losses() -> DiffusionLosses:
    mse = torch.zeros(1, 4, 3, 2, 2)
    mse[:, :, 0], mse[:, :, 1], mse[:, :, 2] = 100.0, 1.0, 3.0
    return DiffusionLosses(mse=mse, vlb=torch.full_like(mse, 0.5))


def test_known_frames_take_no_part_in_the_loss() -> None:
    known = torch.tensor([[True, False, False]])
    objective = reduce_losses(ObjectiveConfig(), losses(), known)
    assert float(objective.mse) == pytest.approx(2.0)
    assert float(objective.loss) == pytest.approx(2.5)


def test_painted_places_count_more_and_the_weights_have_a_mean_of_one() -> None:
    values = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 1, 2)
    both = DiffusionLosses(mse=values, vlb=torch.zeros_like(values))
    mask = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    known = torch.zeros(1, 1, dtype=torch.bool)
    weighed = reduce_losses(ObjectiveConfig(painted_weight=3.0), both, known, mask)
    assert float(weighed.mse) == pytest.approx((1 * 1 + 3 * 5) / 4)
    plain = reduce_losses(ObjectiveConfig(), both, known, mask)
    assert float(plain.mse) == pytest.approx(3.0)
    nothing = reduce_losses(ObjectiveConfig(painted_weight=3.0), both, known, 0 * mask)
    assert float(nothing.mse) == pytest.approx(3.0)


def test_the_bound_is_weighed() -> None:
    objective = reduce_losses(
        ObjectiveConfig(vlb_weight=4.0),
        losses(),
        torch.tensor([[True, False, False]]),
    )
    assert float(objective.loss) == pytest.approx(4.0)


def test_a_bias_draws_noisy_timesteps_more_often() -> None:
    config = ObjectiveConfig(timesteps="stratified", timestep_bias=2.0)
    drawn = draw(config, 0, torch.arange(2000), torch.zeros(2000, 1, 1, 1, 1), 1000).timesteps
    assert (drawn >= 500).float().mean() == pytest.approx(0.75, abs=0.01)
