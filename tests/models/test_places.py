"""Attention that reads a garment at places, and the estimator that tells it where."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.attention import CrossAttention, PlaceAttention
from models.places import (
    NUM_GROUPS,
    OUTLINE,
    PlaceEstimator,
    Places,
    pool_places,
    slopes_of,
    smooth_places,
    steady_places,
)
from models.viton_dit import VitonDiT, VitonDiTConfig

DIM, HEADS, GRID = 32, 4, (4, 3)
UPRIGHT = torch.tensor([[1 / GRID[1], 0.0], [0.0, 1 / GRID[0]]])
"""Slopes of a picture of the frame's size: a token to the right or down is one there, too."""


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attention(**settings: Any) -> PlaceAttention:
    torch.manual_seed(0)
    return PlaceAttention(DIM, HEADS, **settings)


def centres(rows: int) -> Places:
    """Token n of every row looks at the centre of the garment's token n."""
    y, x = torch.meshgrid(torch.arange(GRID[0]), torch.arange(GRID[1]), indexing="ij")
    points = torch.stack([(x + 0.5) / GRID[1], (y + 0.5) / GRID[0]], dim=-1).flatten(0, 1)
    return Places(
        points=points.expand(rows, -1, -1),
        known=torch.ones(rows, len(points)),
        slopes=UPRIGHT.expand(rows, len(points), -1, -1),
        grid=GRID,
    )


def still(module: PlaceAttention) -> PlaceAttention:
    """Its heads read exactly at the places."""
    torch.nn.init.zeros_(module.place.bias)
    return module


def test_a_token_that_looks_at_the_centre_of_another_reads_its_values_and_nothing_else() -> None:
    module, garment = still(attention()), randn(2, 12, DIM)
    values = module.keys_values(garment)[1]
    found = module.read(randn(2, 12, DIM, seed=1), values, centres(2))
    assert torch.allclose(found, values.transpose(1, 2).flatten(2), atol=1e-6)


def test_between_two_tokens_it_reads_their_mean() -> None:
    module, garment = still(attention()), randn(1, 12, DIM)
    values = module.keys_values(garment)[1]
    points = torch.tensor([[[1 / 3, 0.125]]])  # the border of the first two tokens
    places = Places(points=points, known=torch.ones(1, 1), slopes=UPRIGHT[None, None], grid=GRID)
    found = module.read(randn(1, 1, DIM), values, places)
    mean = values[:, :, :2].mean(dim=2).flatten(1)
    assert torch.allclose(found[:, 0], mean, atol=1e-6)


def test_heads_start_at_different_places_and_blocks_too() -> None:
    moves = [attention(index=index).place.bias.view(HEADS, 2) for index in range(3)]
    distinct = torch.cat(moves)
    assert (torch.cdist(distinct, distinct) + 9 * torch.eye(len(distinct))).min() > 0.02
    assert distinct.abs().max() <= 0.6
    module = attention()
    values = module.keys_values(randn(1, 12, DIM))[1]
    found = module.read(randn(1, 12, DIM, seed=1), values, centres(1))
    assert not torch.allclose(found, values.transpose(1, 2).flatten(2), atol=0.05)


def test_a_learned_offset_moves_a_token_by_what_the_token_says() -> None:
    module = still(attention())
    with torch.no_grad():
        module.place.weight[0::2, 0] = 20.0  # one token to the right for each unit
    values = module.keys_values(randn(1, 12, DIM))[1]
    x = torch.zeros(1, 12, DIM)
    x[:, 0, 0] = 1.0
    found = module.read(x, values, centres(1))
    expected = values.transpose(1, 2).flatten(2).clone()
    expected[:, 0] = expected[:, 1]
    assert torch.allclose(found, expected, atol=1e-5)


def test_where_no_place_is_known_only_plain_attention_is_left() -> None:
    module, x, garment = attention(), randn(2, 12, DIM), randn(2, 12, DIM, seed=1)
    plain = CrossAttention.forward(module, x, garment)
    places = centres(2)
    unknown = replace(places, known=torch.zeros(2, 12))
    assert torch.equal(module(x, garment, places=unknown), plain)
    assert torch.equal(module(x, garment, places=None), plain)
    half = replace(places, known=(torch.arange(12) < 6).float().expand(2, -1))
    mixed, known = module(x, garment, places=half), module(x, garment, places=places)
    assert torch.allclose(mixed[:, :6], known[:, :6], atol=1e-6)
    assert torch.allclose(mixed[:, 6:], plain[:, 6:], atol=1e-6)
    assert not torch.allclose(known, plain, atol=0.05)


def test_garments_that_serve_several_rows_equal_the_same_garments_repeated() -> None:
    module, x, garment = attention(), randn(6, 12, DIM), randn(2, 12, DIM, seed=1)
    points = torch.rand(6, 12, 2, generator=torch.Generator().manual_seed(2))
    slopes = UPRIGHT.expand(6, 12, -1, -1)
    places = Places(points=points, known=torch.ones(6, 12), slopes=slopes, grid=GRID)
    served = module(x, garment, places=places)
    repeated = module(x, garment.repeat_interleave(3, dim=0), places=places)
    assert torch.allclose(served, repeated, atol=1e-6)
    other = module(x, garment.repeat(3, 1, 1), places=places)
    assert not torch.allclose(served, other, atol=0.05)


def test_offsets_turn_and_stretch_with_the_places() -> None:
    """A sleeve that is raised by 90 degrees: one token to the right is one down in the picture."""
    module = attention()
    values = module.keys_values(randn(1, 12, DIM))[1]
    with torch.no_grad():
        module.place.bias.view(HEADS, 2).copy_(torch.tensor([1.0, 0.0]))  # one token to the right
    turned = torch.tensor([[0.0, 1 / GRID[0]], [-1 / GRID[1], 0.0]]).expand(1, 12, -1, -1)
    found = module.read(torch.zeros(1, 12, DIM), values, replace(centres(1), slopes=turned))
    rows = values.transpose(1, 2).flatten(2)
    assert torch.allclose(found[:, :9], rows[:, 3:], atol=1e-5)  # the token of the next row


def test_slopes_are_differences_within_a_group_and_the_frames_mean_elsewhere() -> None:
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    places = torch.stack([0.1 * x, 0.02 * x + 0.05 * y, torch.ones_like(x)], dim=-1)[None, None]
    group = (x >= 3).float()[None, None] + 1
    jumped = places.clone()
    jumped[..., 3:, :2] += 5.0  # another part of the body: its places have nothing to do with these
    found = slopes_of(jumped, group)
    assert torch.allclose(
        found[0, 0], torch.tensor([[0.1, 0.02], [0.0, 0.05]]).expand(4, 6, 2, 2), atol=1e-5
    )
    alone = places * (torch.arange(6) == 2).float()[:, None]
    assert torch.allclose(slopes_of(alone, group)[..., 0, :], torch.tensor([1 / 6, 0.0]), atol=1e-5)
    assert torch.allclose(
        slopes_of(alone, group)[0, 0, :, 2, 1], torch.tensor([0.0, 0.05]), atol=1e-5
    )


def test_noise_on_places_is_smoothed_and_an_affine_map_kept() -> None:
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij")
    places = torch.stack([0.1 * x + 0.01 * y, 0.02 * x + 0.05 * y, torch.ones_like(x)], dim=-1)
    places, group = places[None, None], torch.ones(1, 1, 8, 6)
    kept, slopes = smooth_places(places, slopes_of(places, group), group, group)
    assert torch.allclose(kept, places, atol=1e-3)
    assert torch.allclose(slopes, torch.tensor([[0.1, 0.02], [0.01, 0.05]]), atol=1e-3)
    noisy = places.clone()
    noisy[..., :2] += 0.02 * randn(1, 1, 8, 6, 2)
    found, _ = smooth_places(noisy, slopes_of(noisy, group), group, group)
    assert (found - places).square().mean() < 0.5 * (noisy - places).square().mean()


def test_places_of_other_groups_and_unknown_ones_do_not_smooth() -> None:
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij")
    places = torch.stack([0.1 * x, 0.05 * y, torch.ones_like(x)], dim=-1)[None, None]
    group = (x >= 3).float()[None, None] + 1
    moved = places.clone()
    moved[..., 3:, 0] += 5.0
    moved[..., 4, 2, :] = torch.tensor([77.0, 77.0, 0.0])
    found, _ = smooth_places(moved, slopes_of(moved, group), group, torch.ones_like(group))
    known = moved[..., 2] > 0
    assert torch.allclose(found[known], moved[known], atol=1e-2)
    assert torch.equal(found[~known], moved[~known])
    light = smooth_places(places + 0.02 * randn(1, 1, 8, 6, 1), slopes_of(places, group), group,
                          torch.full_like(group, 0.1))[0]  # fmt: skip
    assert light.isfinite().all()


def test_places_are_steadied_over_time_and_steady_motion_is_kept() -> None:
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="ij")
    frames = torch.stack([torch.stack([0.1 * x + 0.01 * t, 0.1 * y, 0 * x + 1], -1)
                          for t in range(12)])[None]  # fmt: skip
    group = torch.ones(1, 12, 4, 3)
    steep = torch.zeros(1, 12, 4, 3, 2, 2)
    moved, _ = steady_places(frames, steep, group, 1.8)
    assert torch.allclose(moved[:, 4:8], frames[:, 4:8], atol=1e-4)
    noise = torch.cat([0.02 * randn(1, 12, 4, 3, 2), torch.zeros(1, 12, 4, 3, 1)], dim=-1)
    found, _ = steady_places(frames + noise, steep, group, 1.8)
    error = (found - frames)[:, 4:8, ..., :2].square().mean()
    assert error < 0.4 * noise[:, 4:8, ..., :2].square().mean()


def test_other_parts_cuts_and_unknown_places_do_not_count_over_time() -> None:
    places = torch.tensor([0.2, 0.3, 1.0]).repeat(1, 6, 1, 3, 1)
    steep, group = torch.zeros(1, 6, 1, 3, 2, 2), torch.ones(1, 6, 1, 3)
    places[:, 3:, :, 0, 0] = 0.9  # a cut
    group[:, 3:, :, 1] = 2
    places[:, 3:, :, 1, 0] = 0.25
    places[:, 3, :, 2] = torch.tensor([77.0, 77.0, 0.0])
    found, _ = steady_places(places, steep, group, 1.8)
    assert torch.allclose(found, places, atol=1e-4)
    alone, _ = steady_places(places[:, :1], steep[:, :1], group[:, :1], 1.8)
    assert torch.allclose(alone, places[:, :1])


def test_places_of_tokens_are_the_means_of_the_known_cells_in_them() -> None:
    cells = torch.zeros(1, 1, 2, 4, 3)
    cells[0, 0, 0, 0] = torch.tensor([0.2, 0.4, 1.0])
    cells[0, 0, 1, 1] = torch.tensor([0.4, 0.8, 1.0])
    cells[0, 0, 0, 1] = torch.tensor([9.0, 9.0, 0.0])  # unknown: its point means nothing
    tokens = pool_places(cells, slopes_of(cells, torch.ones(1, 1, 2, 4)), (2, 2), GRID)
    assert torch.allclose(tokens.points[0, 0], torch.tensor([0.3, 0.6]))
    assert tokens.known.tolist() == [[1.0, 0.0]]
    assert tokens.grid == GRID


def places_network(tiny_trunk: Any, **settings: Any) -> VitonDiT:
    torch.manual_seed(0)
    return VitonDiT(VitonDiTConfig(trunk=tiny_trunk, fusion="places", **settings))


def matched() -> torch.Tensor:
    """Known places for ``make_conditions``: x, y, 1."""
    points = torch.rand(2, 3, 8, 6, 2, generator=torch.Generator().manual_seed(5))
    return torch.cat([points, torch.ones(2, 3, 8, 6, 1)], dim=-1)


def with_body(conditions: Any) -> Any:
    """Conditions for the estimator, which knows no place before it is fitted."""
    garment = replace(
        conditions.garment, outline=torch.rand(len(conditions.garment.hidden[0]), *OUTLINE)
    )
    return replace(conditions, garment=garment, body=body_of(2, 3, 8, 6))


def test_with_zero_projections_places_leave_the_trunk_bit_identical(
    tiny_trunk: Any, shake: Any, make_conditions: Any, raw_caption: Any, noisy: Any
) -> None:
    network = places_network(tiny_trunk)
    shake(network.denoiser)
    network.initialise_from_trunk()
    conditions = with_body(make_conditions(network, matched=matched()))
    places = network.places(conditions)
    assert places is not None
    assert places.known.all()
    bare = network.denoiser(*noisy, *raw_caption)
    assert bare.abs().max() > 0.1
    assert torch.equal(network(*noisy, conditions), bare)


def test_a_warm_start_is_not_silent_and_looks_at_places_at_once(
    tiny_trunk: Any, make_conditions: Any, noisy: Any
) -> None:
    network = places_network(tiny_trunk, warm_start=True)
    torch.nn.init.normal_(network.denoiser.final_layer.linear.weight)
    conditions = with_body(make_conditions(network, matched=matched()))
    found = network(*noisy, conditions)
    assert (found - network(*noisy, replace(conditions, garment=None))).abs().max() > 0.01
    assert (found - network(*noisy, replace(conditions, matched=None))).abs().max() > 0.01
    network.initialise_from_trunk()
    assert all(block.fusion.proj.weight.any() for block in network.denoiser.blocks)
    assert all(layer.weight.any() for layer in network.control.output_projections)


def test_every_parameter_learns_with_places_too(
    tiny_trunk: Any, make_conditions: Any, noisy: Any
) -> None:
    network = places_network(tiny_trunk)
    network.initialise_from_trunk()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    target = torch.randn(2, 8, 3, 8, 6)
    for known in (1.0, 0.0, 1.0, 1.0, 1.0, 1.0):  # a batch without any place has gradients too
        optimizer.zero_grad()
        conditions = with_body(make_conditions(network, matched=matched() * known))
        conditions = replace(conditions, drop=torch.tensor([True, False]))
        (network(*noisy, conditions) - target).square().mean().backward()
        optimizer.step()
        assert not [name for name, value in network.named_parameters() if value.grad is None]
    still_ones = [name for name, value in network.named_parameters() if not value.grad.any()]
    assert not [name for name in still_ones if "place" in name]
    assert not [name for name in still_ones if "caption" not in name and "y_embedder" not in name]


def test_matched_places_come_first_and_estimated_ones_fill_in(
    tiny_trunk: Any, make_conditions: Any
) -> None:
    network = places_network(tiny_trunk)
    estimator = network.garment.places
    assert estimator is not None
    fit_linear(estimator)
    body = body_of(2, 3, 8, 6)
    some = matched()
    some[:, :, 4:, :, 2] = 0
    conditions = make_conditions(network, body=body, matched=some)
    outlines = torch.rand(2, *OUTLINE, generator=torch.Generator().manual_seed(1))
    garment = replace(conditions.garment, outline=outlines)
    places = network.places(replace(conditions, garment=garment))
    assert places is not None
    found = estimator(body, outlines)
    both = torch.where(some[..., 2:] > 0, some, found)
    smooth = smooth_places(both, slopes_of(found, body[:, 0]), body[:, 0], body[:, 3])
    assert torch.equal(places.points, pool_places(*smooth, (2, 2), garment.grid).points)
    assert network.places(replace(conditions, garment=None)) is None


def body_of(*size: int, group: int | None = None, seed: int = 4) -> torch.Tensor:
    """BODY_CHANNELS of a random frame, (b, 4, t, y, x)."""
    b, t, y, x = size
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(b, 4, t, y, x, generator=generator)
    groups = torch.randint(1, NUM_GROUPS + 1, (b, t, y, x), generator=generator).float()
    values[:, 0] = groups if group is None else float(group)
    values[:, 3] = 0.2 + 0.8 * values[:, 3]
    return values


def linear_map(cells: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """The synthetic truth: x from V, y from U, scaled by how tall the garment is."""
    group, u, v = cells[..., 0], cells[..., 1], cells[..., 2]
    x = 0.2 + 0.05 * group + 0.2 * v
    return torch.stack([x, 0.1 + u * size], dim=-1)


def outlines_of(tall: torch.Tensor) -> torch.Tensor:
    """Outlines of garments as tall as this share of the picture."""
    rows = torch.arange(OUTLINE[0])[None, :, None] / OUTLINE[0]
    fill = ((tall[:, None, None] - rows) * OUTLINE[0]).clamp(0, 1)
    return fill.expand(-1, -1, OUTLINE[1]).contiguous()


def fit_linear(estimator: PlaceEstimator, leave_out: int | None = None) -> float:
    generator = torch.Generator().manual_seed(0)
    tall = 0.3 + 0.5 * torch.rand(12, generator=generator)
    cells = body_of(1, 12, 30, 20, seed=9)[0].permute(1, 2, 3, 0).reshape(-1, 4)
    if leave_out is not None:
        cells = cells[cells[:, 0] != leave_out]
    garment = torch.randint(0, 12, (len(cells),), generator=generator)
    return estimator.fit(cells, garment, outlines_of(tall), linear_map(cells, tall[garment]))


def test_an_estimator_that_is_not_fitted_knows_no_place() -> None:
    found = PlaceEstimator()(body_of(2, 3, 8, 6), torch.rand(2, *OUTLINE))
    assert found.shape == (2, 3, 8, 6, 3)
    assert not found[..., 2].any()


def test_the_estimator_finds_the_map_that_made_its_places_for_garments_it_never_saw() -> None:
    estimator = PlaceEstimator()
    error = fit_linear(estimator)
    assert error < 0.01
    tall, body = torch.tensor([0.35, 0.6]), body_of(4, 3, 8, 6)
    found = estimator(body, outlines_of(tall))
    truth = linear_map(body.permute(0, 2, 3, 4, 1), tall.repeat_interleave(2)[:, None, None, None])
    assert found[..., 2].all()
    assert (found[..., :2] - truth).norm(dim=-1).median() < 0.01
    turned = estimator(body, outlines_of(tall.flip(0)))
    assert (turned[..., :2] - truth).norm(dim=-1).median() > 0.05  # the outline matters


def test_a_group_without_enough_cells_and_cells_with_little_body_stay_unknown() -> None:
    estimator = PlaceEstimator()
    fit_linear(estimator, leave_out=3)
    assert estimator.fitted.tolist() == [float(group != 3) for group in range(1, NUM_GROUPS + 1)]
    body = body_of(1, 1, 8, 6)
    body[..., 0, :] *= torch.tensor([0.0, 1, 1, 0.01])[None, :, None, None]  # none; too little
    body[:, 3, :, 0, :3] = 0.05
    known = estimator(body, outlines_of(torch.tensor([0.5])))[..., 2]
    expected = (body[:, 0] > 0) & (body[:, 0] != 3) & (body[:, 3] >= 0.1)
    assert torch.equal(known > 0, expected)
    assert 0 < known.mean() < 1


def test_fitting_twice_gives_the_same_numbers_and_forgets_the_first_fit() -> None:
    first, second = PlaceEstimator(), PlaceEstimator()
    fit_linear(first)
    fit_linear(second, leave_out=3)
    fit_linear(second)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("fusion", ["attention", "places"])
def test_only_a_network_that_finds_places_carries_an_estimator(
    tiny_trunk: Any, fusion: str
) -> None:
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk, fusion=fusion))
    names = [name for name in network.state_dict() if "place" in name]
    assert bool(names) == (fusion == "places")
    assert not [name for name, _ in network.garment.named_parameters() if "places" in name]
