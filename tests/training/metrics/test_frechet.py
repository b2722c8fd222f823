"""Set distances against closed forms, scipy and torchmetrics."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid

from training.evaluation.intervals import block_interval, bootstrap_interval, jackknife_interval
from training.metrics.frechet import frechet_distance, kernel_distance


def draw(num_clips: int, dim: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim**0.5
    return torch.randn(num_clips, dim, generator=generator, dtype=torch.float64) @ mixing + shift


def with_moments(mean: torch.Tensor, root: torch.Tensor, num_clips: int) -> torch.Tensor:
    """A sample whose mean and covariance are exactly ``mean`` and ``root^T root``."""
    noise = draw(num_clips, len(mean), seed=5)
    noise = noise - noise.mean(dim=0)
    orthonormal = torch.linalg.qr(noise).Q * (num_clips - 1) ** 0.5
    return orthonormal @ root + mean


def test_it_equals_the_closed_form_for_commuting_covariances() -> None:
    dim = 16
    rotation = torch.linalg.qr(draw(dim, dim, seed=1)).Q
    a, b = torch.linspace(0.5, 3, dim).double(), torch.linspace(4, 1, dim).double()
    first = with_moments(torch.zeros(dim).double(), torch.diag(a) @ rotation, 200)
    second = with_moments(
        torch.full((dim,), 0.7, dtype=torch.float64), torch.diag(b) @ rotation, 300
    )
    expected = dim * 0.7**2 + float((a - b).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("num_clips", [40, 200])
def test_it_equals_scipys_matrix_root_in_float64(num_clips: int) -> None:
    first, second = draw(num_clips, 24, seed=2), draw(num_clips + 30, 24, seed=3, shift=0.3)
    c1, c2 = np.cov(first.numpy().T), np.cov(second.numpy().T)
    root = scipy.linalg.sqrtm(c1 @ c2).real
    gap = first.mean(dim=0) - second.mean(dim=0)
    expected = float(gap @ gap) + np.trace(c1 + c2 - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_it_equals_torchmetrics_where_both_covariances_are_regular() -> None:
    first, second = draw(300, 12, seed=4), draw(250, 12, seed=6, shift=0.2)
    expected = _compute_fid(
        first.mean(dim=0), torch.cov(first.T), second.mean(dim=0), torch.cov(second.T)
    )
    assert frechet_distance(first, second) == pytest.approx(float(expected), rel=1e-6)


def test_fewer_clips_than_dimensions_still_give_the_closed_form_on_large_features() -> None:
    dim, num_clips = 400, 12
    centred = draw(num_clips, dim, seed=7) * 1e5
    shifted = centred + 3e4
    assert frechet_distance(centred, shifted) == pytest.approx(dim * 3e4**2, rel=1e-6)
    scaled = centred.mean(dim=0) + 2 * (centred - centred.mean(dim=0))
    assert frechet_distance(centred, scaled) == pytest.approx(
        float(centred.var(dim=0).sum()), rel=1e-6
    )


@pytest.mark.parametrize("num_clips", [30, 300])
def test_a_set_is_at_no_distance_from_itself(num_clips: int) -> None:
    features = draw(num_clips, 64, seed=8) * 1e5
    trace = 2 * float(features.var(dim=0).sum())
    assert abs(frechet_distance(features, features)) <= 1e-6 * trace


def test_few_clips_of_one_distribution_are_far_by_frechet_and_near_by_the_kernel() -> None:
    ours, others = (
        [draw(20, 256, seed=9)[:, :256], draw(40, 256, seed=9)[20:]][index] for index in range(2)
    )
    scale = float(torch.cat([ours, others]).var(dim=0).sum())
    assert frechet_distance(ours, others) > 0.5 * scale
    assert abs(kernel_distance(ours, others)) < 0.05 * kernel_distance(ours, others + 1)


def test_the_kernel_distance_is_the_unbiased_estimate() -> None:
    first, second = draw(9, 5, seed=10), draw(7, 5, seed=11)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 5 + 1) ** 3)

    inner_first = [kernel(x, y) for i, x in enumerate(first) for j, y in enumerate(first) if i != j]
    inner_second = [
        kernel(x, y) for i, x in enumerate(second) for j, y in enumerate(second) if i != j
    ]
    across = [kernel(x, y) for x in first for y in second]
    expected = np.mean(inner_first) + np.mean(inner_second) - 2 * np.mean(across)
    assert kernel_distance(first, second) == pytest.approx(float(expected), rel=1e-9)


def test_one_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="1 and 5 clips"):
        frechet_distance(draw(1, 4, seed=0), draw(5, 4, seed=1))


def test_a_bootstrap_interval_narrows_with_the_root_of_the_number_of_videos() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.05, 400)
    few, many = bootstrap_interval(list(values[:25])), bootstrap_interval(list(values))
    assert few is not None
    assert many is not None
    assert many[0] < values.mean() < many[1]
    assert (few[1] - few[0]) / (many[1] - many[0]) == pytest.approx(4, rel=0.4)
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * 0.05 / 20, rel=0.15)
    assert bootstrap_interval([0.5]) is None


def test_set_distances_get_intervals_around_their_own_point() -> None:
    ours = list(draw(60, 8, seed=12).split(3))
    real = list(draw(60, 8, seed=13, shift=0.5).split(3))
    for interval, distance in (
        (jackknife_interval(ours, real, frechet_distance), frechet_distance),
        (block_interval(ours, real, kernel_distance), kernel_distance),
    ):
        assert interval is not None
        assert interval[0] < distance(torch.cat(ours), torch.cat(real)) < interval[1]
    assert jackknife_interval(ours[:3], real[:3], frechet_distance) is None
