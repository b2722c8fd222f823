"""The garment's picture warped onto the body, and how it reaches the ControlNet."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.control import control_channels
from models.diffusion import DiffusionConfig, GaussianDiffusion
from models.places import OUTLINE
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.text import CaptionConfig
from models.viton_dit import VitonDiTConfig
from models.warping import (
    certain_cells,
    fill_masked,
    spread_places,
    warp_by_part,
    warp_picture,
)
from tests.cell_fixtures import CELL, COLUMNS, ROWS, slopes, upright


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(scale: int = 1) -> torch.Tensor:
    """Smooth: enlarging and shrinking it changes next to nothing inside."""
    y = torch.linspace(0, 1, 2 * scale * ROWS * CELL + 1)[1::2]
    x = torch.linspace(0, 1, 2 * scale * COLUMNS * CELL + 1)[1::2]
    return torch.stack([y[:, None] + 0 * x, 0 * y[:, None] + x, y[:, None] * x])[None]


def test_places_of_their_own_cells_give_the_picture_back() -> None:
    warped = warp_picture(picture(), upright(), slopes(upright()), CELL)
    assert warped.shape == (1, 1, 3, ROWS * CELL, COLUMNS * CELL)
    assert torch.allclose(warped[:, 0], picture(), atol=1e-5)


def test_a_picture_of_twice_the_size_is_shrunk() -> None:
    warped = warp_picture(picture(2), upright(), slopes(upright()), CELL, samples=2)
    assert torch.allclose(warped[:, 0], picture(), atol=1e-5)


def test_moved_places_show_the_picture_moved_and_unknown_ones_show_nothing() -> None:
    moved = upright(x=0.1)
    moved[0, 0, 2, 1, 2] = 0
    warped = warp_picture(picture(), moved, slopes(upright()), CELL)[0, 0]
    inside = warped[1, : 2 * CELL, : 2 * CELL]
    assert torch.allclose(inside, picture()[0, 1, : 2 * CELL, : 2 * CELL] + 0.1, atol=1e-5)
    assert not warped[:, 2 * CELL : 3 * CELL, CELL : 2 * CELL].any()
    assert warped[:, 3 * CELL :, CELL : 2 * CELL].all()


def test_turned_slopes_turn_what_a_cell_shows() -> None:
    turned = slopes(upright()).flip(-1) * torch.tensor([COLUMNS / ROWS, ROWS / COLUMNS])
    warped = warp_picture(picture(), upright(), turned, CELL)[0, 0]
    cell = warped[:2, CELL : 2 * CELL, CELL : 2 * CELL]
    assert (cell[0].diff(dim=1) > 0).all()  # to the right, the picture's y grows
    assert (cell[1].diff(dim=0) > 0).all()


def test_a_pattern_runs_on_from_cell_to_cell_and_stops_where_places_jump() -> None:
    """The second column lies a little too far to the right, the third elsewhere."""
    places, steep = upright(), slopes(upright())
    places[..., 1, 0] += 0.05
    places[..., 2, 0] -= 0.3
    warped = warp_picture(picture(), places, steep, CELL)[0, 0, 1, CELL : 2 * CELL]
    steps = warped.diff(dim=1)
    usual = 1 / (COLUMNS * CELL)
    assert (steps[:, : 2 * CELL - 1] < 2 * usual).all()  # a jump of 0.05 would be more
    assert (steps[:, 2 * CELL - 1] < -0.2).all()


def test_only_cells_full_of_cloth_are_certain() -> None:
    shown = torch.ones(1, 1, 1, ROWS * CELL, COLUMNS * CELL)
    shown[..., 3, CELL + 1] = 0
    certain = certain_cells(shown, CELL)
    assert certain.shape == (1, 1, 1, ROWS, COLUMNS)
    assert certain[0, 0, 0, 0, 1] == 0
    assert certain.sum() == ROWS * COLUMNS - 1


def test_the_coarse_result_stays_where_it_is_certain_and_masked() -> None:
    system = build(warped_garment=True)
    agnostic, mask = masked_frame()
    control = torch.cat([system.codec.encode(agnostic)] * 2 + [mask], dim=1)
    given = conditions(system)
    assert given.matched is not None
    places = given.matched.clone()
    places[:, :, 2:, 0, 2] = 0  # their cloth is only continued from the cells above
    body = torch.ones(1, 4, 1, ROWS, COLUMNS)
    seen = system.add_warped_garment(replace(given, control=control, matched=places, body=body))
    painted = randn(1, 16, 1, ROWS, COLUMNS, seed=5)
    kept = system.keep_certain(painted, seen)
    assert seen.coarse is not None
    assert torch.equal(kept[..., 1, 0], seen.coarse[..., 1, 0])
    assert torch.equal(kept[..., 2:, 0], painted[..., 2:, 0])
    assert torch.equal(kept[..., 1:], painted[..., 1:])
    assert system.keep_certain(painted, given) is painted


def test_each_garment_serves_its_own_rows() -> None:
    both = torch.cat([picture(), -picture()])
    places = upright().expand(4, -1, -1, -1, -1)
    warped = warp_picture(both, places, slopes(upright()).expand(4, -1, -1, -1, -1, -1), CELL)
    assert (warped[:2] > 0).all()
    assert (warped[2:] < 0).all()


def build(**network: Any) -> System:
    trunk = STDiTConfig(
        in_channels=16, out_channels=16, dim=32, depth=2, num_heads=4, patch_size=(1, 1, 1),
        caption_dim=16, caption_length=4,
    )  # fmt: skip
    torch.manual_seed(0)
    return build_system(
        SystemConfig(
            network=VitonDiTConfig(trunk=trunk, fusion="places", warm_start=True, **network),
            codec=CodecConfig(kind="dct", latent_channels=16),
            caption=CaptionConfig(kind="null"),
            diffusion=DiffusionConfig(learned_range=False),
            height=ROWS * CELL, width=COLUMNS * CELL, num_frames=1, densepose="iuv",
        )
    )  # fmt: skip


@torch.no_grad()
def conditions(system: System) -> Conditions:
    """One frame whose cells all lie on the torso; every place is matched."""
    body = torch.full((1, 4, 1, ROWS, COLUMNS), 1.0)
    caption = system.network.encode_caption(*system.captions(1))
    garment = system.network.encode_garment(
        system.codec.encode_images(picture()), caption, torch.ones(1, *OUTLINE)
    )
    control = torch.arange(33.0)[None, :, None, None, None].expand(1, 33, 1, ROWS, COLUMNS)
    return Conditions(
        caption=caption, garment=garment, control=control, body=body, matched=upright()
    )


def masked_frame() -> tuple[torch.Tensor, torch.Tensor]:
    """A dark frame whose first column of cells is masked, and the mask of cells."""
    frame = torch.full((1, 1, 3, ROWS * CELL, COLUMNS * CELL), -0.5)
    frame[..., :CELL] = 0
    mask = torch.zeros(1, 1, 1, ROWS, COLUMNS)
    mask[..., 0] = 1
    return frame, mask


def test_the_coarse_result_and_the_share_of_cloth_stand_before_the_mask() -> None:
    system = build(warped_garment=True)
    given = conditions(system)
    seen = system.add_warped_garment(given)
    assert given.control is not None
    assert seen.control is not None
    assert seen.coarse is not None
    assert seen.control.shape[1] == control_channels(16, warped_garment=True) == 50
    assert torch.equal(seen.control[:, :32], given.control[:, :32])
    assert torch.equal(seen.control[:, 32:48], seen.coarse)
    assert (seen.control[0, 48, 0, 1:3, 1] == 1).all()
    assert torch.equal(seen.control[:, -1:], given.control[:, -1:])


def test_the_coarse_result_is_the_garment_inside_the_mask_and_the_frame_outside() -> None:
    system = build(warped_garment=True)
    agnostic, mask = masked_frame()
    control = torch.cat([system.codec.encode(agnostic)] * 2 + [mask], dim=1)
    seen = system.add_warped_garment(replace(conditions(system), control=control))
    assert seen.coarse is not None
    assert torch.equal(seen.coarse[..., 1:], control[:, :16, ..., 1:])
    frame = system.codec.decode(seen.coarse)[0, 0]
    inside = (slice(None), slice(CELL, 3 * CELL), slice(0, CELL))
    assert torch.allclose(frame[inside].mean(), picture()[0][inside].mean(), atol=0.05)


def test_the_coarse_result_has_the_type_of_the_other_conditions() -> None:
    system = build(warped_garment=True)
    given = conditions(system)
    assert given.control is not None
    seen = system.add_warped_garment(replace(given, control=given.control.to(torch.bfloat16)))
    assert seen.control is not None
    assert seen.coarse is not None
    assert seen.control.dtype == seen.coarse.dtype == torch.bfloat16


def test_cloth_goes_only_where_the_frame_is_masked() -> None:
    agnostic, mask = masked_frame()
    agnostic[..., : CELL // 2, :CELL] = 0.4  # a part of a masked cell that is not
    cloth = torch.ones(1, 1, 4, ROWS * CELL, COLUMNS * CELL) * 0.9
    cloth[:, :, 3] = 1
    filled = fill_masked(agnostic, mask, cloth, CELL)
    assert torch.equal(filled[..., CELL:], agnostic[..., CELL:])
    assert torch.equal(filled[..., : CELL // 2, :CELL], agnostic[..., : CELL // 2, :CELL])
    assert (filled[..., CELL // 2 :, :CELL] == 0.9).all()
    half = fill_masked(agnostic, mask, cloth * 0.5, CELL)
    assert torch.allclose(half[..., CELL:, :CELL], torch.tensor(0.45))  # half of it is gray


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_predicting_that_nothing_is_missing_gives_the_coarse_result(prediction: str) -> None:
    diffusion = GaussianDiffusion(DiffusionConfig(prediction=prediction, learned_range=False))
    coarse, noise, steps = (
        randn(2, 4, 1, 3, 3),
        randn(2, 4, 1, 3, 3, seed=1),
        torch.tensor([200, 900]),
    )
    noisy = diffusion.q_sample(coarse, steps, noise)
    signal, sigma = (diffusion.schedule.read(name, steps, noise) for name in ("signal", "noise"))
    nothing = signal * noise if prediction == "velocity" else noisy / sigma  # of x0 = 0
    refined = diffusion.as_noise(diffusion.refine(nothing, coarse, steps), noisy, steps)
    found = diffusion.schedule.predict_x0(refined, noisy, steps)
    assert torch.allclose(found, coarse, atol=1e-3)


def test_a_learned_variance_stays_as_it_is() -> None:
    diffusion = GaussianDiffusion(DiffusionConfig())
    both = randn(1, 8, 1, 3, 3)
    refined = diffusion.refine(both, randn(1, 4, 1, 3, 3, seed=1), torch.tensor([500]))
    assert torch.equal(refined[:, 4:], both[:, 4:])
    assert not torch.allclose(refined[:, :4], both[:, :4])


def test_what_the_controlnet_adds_depends_on_it() -> None:
    system = build(warped_garment=True)
    seen = system.add_warped_garment(conditions(system))
    assert seen.control is not None
    hidden = seen.control.clone()
    hidden[:, 32:48] = 0
    latents, step = torch.zeros(1, 16, 1, ROWS, COLUMNS), torch.tensor([500])
    added, without = (
        system.network.control_residuals(latents, step, shown)[0]
        for shown in (seen, replace(seen, control=hidden))
    )
    assert not torch.allclose(added, without, atol=1e-3)


def test_without_a_garment_or_body_the_coarse_result_is_the_agnostic_frame() -> None:
    system = build(warped_garment=True)
    for missing in ({"garment": None}, {"body": None}):
        given = replace(conditions(system), **missing)
        seen = system.add_warped_garment(given)
        assert seen.control is not None
        assert given.control is not None
        assert seen.coarse is not None
        assert not seen.control[:, 48].any()
        assert torch.allclose(seen.coarse, given.control[:, :16], atol=1e-5)


def test_without_the_setting_nothing_changes() -> None:
    plain = build()
    given = conditions(plain)
    assert plain.add_warped_garment(given) is given
    prediction = randn(1, 16, 1, ROWS, COLUMNS)
    assert plain.refine(prediction, given, torch.tensor([500])) is prediction


def test_places_are_continued_by_one_cell_along_the_slopes() -> None:
    places = upright()
    slope = slopes(places)
    places[:, :, :, 2, 2] = 0
    places[:, :, 3, :, 2] = 0
    spread, steep = spread_places(places, slope)
    assert spread[..., 2].all()
    assert torch.allclose(spread[..., :2], upright()[..., :2], atol=1e-5)
    assert torch.allclose(steep, slope, atol=1e-5)
    alone = upright()
    alone[..., 2] = 0
    alone[:, :, 0, 0, 2] = 1
    near, _ = spread_places(alone, slope)
    assert near[0, 0, :2, :2, 2].sum() == 4
    assert near[..., 2].sum() == 4


def test_a_pixel_shows_what_its_own_part_of_the_body_wears() -> None:
    """A sleeve's cells end in the middle of a cell that is mostly torso."""
    places, steep = upright(), slopes(upright())
    places[..., 2, 0] -= 0.5
    group = torch.ones(1, 1, ROWS, COLUMNS)
    group[..., 2] = 2
    pixels = torch.ones(1, 1, ROWS * CELL, COLUMNS * CELL, dtype=torch.uint8)
    pixels[..., 2 * CELL - 3 :] = 2
    pixels[..., :2, :] = 0
    shown = warp_by_part(picture(), places, steep, group, pixels)[0, 0, 1]
    assert not shown[:2].any()
    torso = picture()[0, 1, CELL, : 2 * CELL - 3]
    assert torch.allclose(shown[CELL, : 2 * CELL - 3], torso, atol=1e-4)
    sleeve = picture()[0, 1, CELL, 2 * CELL - 3 :] - 0.5
    assert torch.allclose(shown[CELL, 2 * CELL - 3 :], sleeve, atol=1e-4)
    alone = warp_by_part(picture(), places, steep, torch.zeros_like(group), pixels)
    assert not alone.any()


def test_it_needs_places() -> None:
    with pytest.raises(ValueError, match="warped_garment needs fusion places"):
        VitonDiTConfig(warped_garment=True)
