"""The side without caption and garment: of guidance, and of rows that training drops."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.conditions import Conditions
from models.viton_dit import VitonDiT


def null_side(network: VitonDiT, noisy: tuple[Tensor, Tensor], conditions: Conditions) -> Tensor:
    """The null side made by hand: null caption, no garment, the true ControlNet's residuals."""
    residuals = network.control_residuals(*noisy, conditions)
    caption = network.encode_caption(network.denoiser.y_embedder.null_caption(2))
    return network(*noisy, replace(conditions, caption=caption, garment=None), residuals)


def test_the_null_side_of_guidance_is_the_null_caption_without_a_garment(
    tiny, make_conditions, noisy
):
    conditions = make_conditions(tiny)
    residuals = tiny.control_residuals(*noisy, conditions)
    by_hand = null_side(tiny, noisy, conditions)
    for given in (conditions, tiny.project(conditions)):
        other = tiny(*noisy, tiny.null_side(given), residuals)
        assert torch.allclose(other, by_hand, atol=1e-6)
    legacy = tiny(*noisy, tiny.null_side(conditions, "prompt"), residuals)
    assert not torch.allclose(legacy, by_hand, atol=1e-4)


def test_dropped_rows_see_the_null_caption_and_no_garment_and_other_rows_see_all(
    tiny, make_conditions, noisy
):
    conditions = make_conditions(tiny)
    mixed = tiny(*noisy, replace(conditions, drop=torch.tensor([True, False])))
    assert torch.allclose(mixed[0], null_side(tiny, noisy, conditions)[0], atol=1e-6)
    assert torch.allclose(mixed[1], tiny(*noisy, conditions)[1], atol=1e-6)
    assert not torch.allclose(mixed[0], tiny(*noisy, conditions)[0], atol=1e-3)


def test_a_wholly_dropped_batch_is_the_same_with_and_without_gradients(
    tiny, make_conditions, noisy
):
    conditions = replace(make_conditions(tiny), drop=torch.tensor([True, True]))
    learning = tiny(*noisy, conditions)
    with torch.no_grad():
        sampling = tiny(*noisy, conditions)
    assert torch.allclose(learning, sampling, atol=1e-6)


def test_control_residuals_do_not_depend_on_what_the_trunk_drops(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    dropped = replace(conditions, drop=torch.tensor([True, True]))
    given = tiny.control_residuals(*noisy, conditions)
    assert len(given) == 2
    for one, other in zip(given, tiny.control_residuals(*noisy, dropped), strict=True):
        assert torch.equal(one, other)


def test_one_control_pass_serves_both_sides_of_guidance_exactly(tiny, make_conditions, noisy):
    conditions = make_conditions(tiny)
    dropped = replace(conditions, drop=torch.tensor([True, True]))
    shared = tiny.control_residuals(*noisy, conditions)
    assert torch.equal(tiny(*noisy, conditions, shared), tiny(*noisy, conditions))
    assert torch.equal(tiny(*noisy, dropped, shared), tiny(*noisy, dropped))


def test_null_caption_under_the_prompts_mask_is_a_setting(tiny, make_conditions, noisy):
    conditions = replace(make_conditions(tiny), garment=None, drop=torch.tensor([True, True]))
    full = tiny(*noisy, conditions)
    tiny.config = replace(tiny.config, null_mask="prompt")
    legacy = tiny(*noisy, conditions)
    null = tiny.encode_caption(tiny.denoiser.y_embedder.null_caption(2), conditions.caption.mask)
    residuals = tiny.control_residuals(*noisy, conditions)
    by_hand = replace(conditions, caption=null, drop=None)
    assert torch.allclose(legacy, tiny(*noisy, by_hand, residuals), atol=1e-6)
    by_name = tiny.null_side(replace(conditions, drop=None))
    assert torch.allclose(legacy, tiny(*noisy, by_name, residuals), atol=1e-6)
    assert not torch.allclose(full, legacy, atol=1e-4)


def test_a_fully_dropped_batch_keeps_every_parameter_in_the_graph(tiny, make_conditions, noisy):
    conditions = replace(make_conditions(tiny), drop=torch.tensor([True, True]))
    tiny(*noisy, conditions).sum().backward()
    assert all(value.grad is not None for value in tiny.parameters())


def test_a_caption_of_another_length_cannot_be_dropped(tiny, make_conditions, raw_caption, noisy):
    conditions = make_conditions(tiny)
    short = replace(
        conditions,
        caption=tiny.encode_caption(raw_caption[0][:, :4]),
        drop=torch.tensor([True, False]),
    )
    with pytest.raises(ValueError, match=r"6 tokens.*not 4"):
        tiny(*noisy, short)
