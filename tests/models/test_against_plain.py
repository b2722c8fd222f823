"""The networks against a second, independent reading of the method (tests/plain)."""

from dataclasses import replace

import pytest
import torch

from models.viton_dit import Conditions
from tests.plain.viton_dit import PlainVitonDiT


@pytest.fixture
def plain(tiny) -> PlainVitonDiT:
    network = PlainVitonDiT(tiny.config)
    network.load_state_dict(tiny.state_dict(), strict=True)
    return network


def inputs(num_frames):
    generator = torch.Generator().manual_seed(5)
    return {
        "latents": torch.randn(2, 4, num_frames, 8, 6, generator=generator),
        "timesteps": torch.tensor([981, 12]),
        "garment_latents": torch.randn(2, 4, 6, 4, generator=generator),
        "control": torch.randn(2, 9, num_frames, 8, 6, generator=generator),
    }


def predict(network, raw_caption, given, drop=None, known=None):
    caption = network.encode_caption(*raw_caption)
    garment = network.encode_garment(given["garment_latents"], caption)
    conditions = Conditions(
        caption=caption, garment=garment, control=given["control"], drop=drop, known=known
    )
    return network(given["latents"], given["timesteps"], conditions)


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("drop", [None, [True, False]])
def test_predictions_equal_the_plain_readings(tiny, plain, raw_caption, num_frames, drop):
    given = inputs(num_frames)
    drop = None if drop is None else torch.tensor(drop)
    ours = predict(tiny, raw_caption, given, drop)
    theirs = plain(caption=raw_caption[0], keep=raw_caption[1], drop=drop, **given)
    assert ours.abs().max() > 0.1
    assert torch.allclose(ours, theirs, atol=1e-5 * float(ours.detach().abs().max()))


@pytest.mark.parametrize("num_frames", [1, 3])
def test_gradients_equal_the_plain_readings(tiny, plain, raw_caption, num_frames):
    given = inputs(num_frames)
    predict(tiny, raw_caption, given).square().mean().backward()
    plain(caption=raw_caption[0], keep=raw_caption[1], **given).square().mean().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in tiny.named_parameters():
        # with one frame, queries and keys over time change nothing: no gradient, or one of zeros
        ours = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        wanted = theirs[name].grad
        assert torch.allclose(ours, wanted, atol=1e-5 * max(float(wanted.abs().max()), 1e-2)), name


def test_known_frames_at_timestep_zero_equal_the_plain_readings(tiny, plain, raw_caption):
    given = inputs(3)
    known = torch.tensor([[True, False, True], [False, False, False]])
    tiny.config = replace(tiny.config, known_frames="control+timestep")
    ours = predict(tiny, raw_caption, given, known=known)
    theirs = plain(caption=raw_caption[0], keep=raw_caption[1], known=known, **given)
    assert torch.allclose(ours, theirs, atol=1e-5 * float(ours.detach().abs().max()))


def test_sampling_with_everything_kept_over_steps_equals_two_plain_passes(tiny, plain, raw_caption):
    given = inputs(3)
    with torch.no_grad():
        caption = tiny.encode_caption(*raw_caption)
        garment = tiny.encode_garment(given["garment_latents"], caption)
        conditions = Conditions(caption=caption, garment=garment, control=given["control"])
        conditions = tiny.project(conditions)
        noisy = given["latents"], given["timesteps"]
        shared = tiny.control_residuals(*noisy, conditions)
        painted = tiny(*noisy, conditions, shared)
        null = tiny(*noisy, tiny.null_side(conditions), shared)
        for ours, drop in ((painted, [False, False]), (null, [True, True])):
            theirs = plain(
                caption=raw_caption[0], keep=raw_caption[1], drop=torch.tensor(drop), **given
            )
            assert torch.allclose(ours, theirs, atol=1e-5 * float(ours.detach().abs().max()))
