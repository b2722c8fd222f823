"""The curves on a run's page."""

import numpy as np

from training.report import draw_curves

STEPS = list(range(10, 310, 10))


def test_what_was_zero_all_the_time_is_left_out() -> None:
    curves = {"loss/mse": (STEPS, [1.0] * 30), "loss/vlb": (STEPS, [0.0] * 30)}
    assert [axes.get_title() for axes in draw_curves(curves).axes] == ["loss/mse"]


def test_losses_have_a_running_mean_and_the_learning_rate_is_what_it_is() -> None:
    values = [float(n % 2) for n in range(30)]
    loss, rate = draw_curves({"loss/mse": (STEPS, values), "lr": (STEPS, values)}).axes
    assert len(loss.lines) == 2
    assert abs(np.asarray(loss.lines[1].get_ydata())[-1] - 0.5) < 0.05
    assert [np.asarray(line.get_ydata()).tolist() for line in rate.lines] == [values]
    assert rate.get_ylim()[0] == 0


def test_a_single_validation_can_be_seen() -> None:
    (axes,) = draw_curves({"validation/ssim": ([150], [0.13])}).axes
    assert axes.lines[0].get_marker() == "o"
