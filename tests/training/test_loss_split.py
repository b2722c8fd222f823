import pytest
import torch

from models.diffusion import DiffusionLosses
from training.loss_split import LossSplit
from training.nonfinite import SkippedSteps
from training.objective import ObjectiveConfig, reduce_losses


def noted(split: LossSplit, values: list[float], timesteps: list[int]) -> None:
    """Rows whose painted half has this loss and whose known half has none."""
    mse = torch.zeros(len(values), 4, 2, 2, 2)
    mse[..., 0] = torch.tensor(values)[:, None, None, None]
    losses = DiffusionLosses(mse=mse, vlb=torch.zeros_like(mse))
    known = torch.zeros(len(values), 2, dtype=torch.bool)
    mask = torch.zeros(len(values), 1, 2, 2, 2)
    mask[..., 0] = 1
    objective = reduce_losses(ObjectiveConfig(), losses, known)
    split.add(objective, losses, torch.tensor(timesteps), mask, ~known, 1000)


def test_losses_are_split_by_timestep_and_by_region_over_an_interval() -> None:
    split = LossSplit()
    noted(split, [1.0, 3.0], [0, 249])
    noted(split, [8.0], [999])
    found = split.take()
    assert found["loss/train"] == pytest.approx(2.0)
    assert found["loss/quartile_1"] == pytest.approx(1.0)
    assert found["loss/quartile_4"] == pytest.approx(4.0)
    assert found["loss/painted_region"] == pytest.approx(4.0)
    assert found["loss/known_region"] == 0.0
    assert "loss/quartile_2" not in found
    assert split.take() == {}


def test_a_row_that_is_not_finite_does_not_spoil_the_interval() -> None:
    split = LossSplit()
    noted(split, [float("nan"), 2.0], [10, 10])
    assert split.take()["loss/train"] == pytest.approx(1.0)


def test_an_interval_that_was_interrupted_goes_on() -> None:
    whole, first, second = LossSplit(), LossSplit(), LossSplit()
    noted(whole, [1.0], [0])
    noted(whole, [2.0], [500])
    noted(first, [1.0], [0])
    second.load_state_dict(first.state_dict())
    noted(second, [2.0], [500])
    assert second.take() == whole.take()


def test_a_loss_that_is_not_finite_makes_the_gradient_so() -> None:
    skipped = SkippedSteps(None, 3)
    weight = torch.ones((), requires_grad=True)
    skipped.guard(weight * float("inf"), ["a"]).backward()
    assert weight.grad is not None
    assert torch.isnan(weight.grad)
    assert not skipped.is_usable(float(weight.grad), 1)
    assert skipped.state_dict() == {"total": 1, "in_a_row": 1}
    assert skipped.is_usable(0.5, 2)
    assert skipped.state_dict() == {"total": 1, "in_a_row": 0}
