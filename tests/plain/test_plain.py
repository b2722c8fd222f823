"""Two independent readings of the method must agree: ``models`` and the plain one beside this."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from inference.sampling.latent_video import paint_video
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import sample_windows
from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.diffusion import DiffusionConfig
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.viton_dit import VitonDiT, VitonDiTConfig
from tests.plain.network import PlainVitonDit
from tests.plain.sampling import paint_plain, sample_plain

TRUNK = STDiTConfig(
    dim=32, depth=5, num_heads=4, caption_dim=10, caption_length=7, space_scale=0.5, time_scale=2.0
)


def build_pair(**settings: Any) -> tuple[VitonDiT, PlainVitonDit]:
    """The same weights in both, none of them zero."""
    torch.manual_seed(0)
    ours = VitonDiT(VitonDiTConfig(trunk=TRUNK, **settings))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    plain = PlainVitonDit(ours.config)
    plain.load_state_dict(ours.state_dict())  # strict: the names are the same
    return ours, plain


def build_inputs(frames: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(frames)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return {
        "latents": noise(2, 4, frames, 8, 6),
        "timesteps": torch.tensor([999, 37]),
        "caption": noise(2, 7, 10),
        "mask": torch.arange(7) < torch.tensor([[4], [6]]),
        "garment": noise(2, 4, 6, 4),
        "control": noise(2, 9, frames, 8, 6),
        "known": torch.rand(2, frames, generator=draw) < 0.5,
        "drop": torch.tensor([False, True]),
    }


def predict_ours(network: VitonDiT, inputs: dict[str, Tensor], project: bool = False) -> Tensor:
    caption = network.encode_caption(inputs["caption"], inputs.get("mask"))
    garment = inputs.get("garment")
    conditions = Conditions(
        caption=caption,
        garment=None if garment is None else network.encode_garment(garment, caption),
        control=inputs.get("control"),
        known=inputs.get("known"),
        drop=inputs.get("drop"),
    )
    conditions = network.project(conditions) if project else conditions
    return network(inputs["latents"], inputs["timesteps"], conditions)


ALL = ("mask", "garment", "control", "known", "drop")


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "given",
    [(), ("mask",), ("garment",), ("control",), ("garment", "control"), ("mask", "drop"), ALL],
)
def test_both_readings_predict_the_same(given: tuple[str, ...], frames: int) -> None:
    ours, plain = build_pair()
    every = build_inputs(frames)
    inputs = {name: value for name, value in every.items() if name not in ALL or name in given}
    with torch.no_grad():
        expected = plain(**inputs)
        assert expected.std() > 0.3
        torch.testing.assert_close(predict_ours(ours, inputs), expected, rtol=1e-5, atol=1e-5)
        if "drop" not in given:
            projected = predict_ours(ours, inputs, project=True)
            torch.testing.assert_close(projected, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [
    {"known_frames": "control+timestep"}, {"null_mask": "prompt"}, {"control_depth": 5},
])  # fmt: skip
def test_both_readings_take_the_settings_alike(settings: dict[str, Any]) -> None:
    ours, plain = build_pair(**settings)
    inputs = build_inputs(3)
    with torch.no_grad():
        expected = plain(**inputs)
        torch.testing.assert_close(predict_ours(ours, inputs), expected, rtol=1e-5, atol=1e-5)
        usual = build_pair()[1](**inputs)
    assert not torch.allclose(usual, expected, atol=1e-3)  # the setting has an effect


@pytest.mark.parametrize("frames", [1, 3])
def test_both_readings_have_the_same_gradients(frames: int) -> None:
    ours, plain = build_pair()
    inputs = build_inputs(frames)
    predict_ours(ours, inputs).square().mean().backward()
    plain(**inputs).square().mean().backward()
    expected = dict(plain.named_parameters())
    for name, parameter in ours.named_parameters():
        other = expected[name].grad
        assert other is not None, name
        assert parameter.grad is not None, name
        scale = max(1e-3, float(other.abs().max()))
        torch.testing.assert_close(parameter.grad, other, rtol=1e-4, atol=1e-4 * scale, msg=name)


@pytest.mark.parametrize("solver", ["ddim", "ancestral"])
def test_both_readings_sample_the_same_clip(solver: str) -> None:
    network, plain = build_pair()
    config = SystemConfig(
        network=network.config, codec=CodecConfig(kind="dct", latent_channels=4),
        diffusion=DiffusionConfig(), height=64, width=48, num_frames=3,
    )  # fmt: skip
    system: System = replace(build_system(config), network=network.eval())
    inputs = build_inputs(3)
    caption = system.network.denoiser.y_embedder.null_caption(1).clone()
    caption += torch.randn(caption.shape, generator=torch.Generator().manual_seed(1))
    garment, control = inputs["garment"][:1], inputs["control"][:1]
    sampler = SamplerConfig(solver=solver, num_steps=4, guidance_interval=[0.0, 0.5])
    expected = sample_plain(plain, system.diffusion, sampler, caption, garment, control, seed=3)
    with torch.no_grad():
        features = network.encode_caption(caption)
        conditions = network.project(Conditions(
            caption=features, garment=network.encode_garment(garment, features), control=control
        ))  # fmt: skip
        found = sample_windows(system, sampler, conditions, [[0, 1, 2]], (8, 6), seed=3)
    once = sample_plain(
        plain, system.diffusion, sampler, caption, garment, control, seed=3, extract_once=True
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(once, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_both_readings_paint_the_same_long_video() -> None:
    network, plain = build_pair()
    config = SystemConfig(
        network=network.config, codec=CodecConfig(kind="dct", latent_channels=4),
        diffusion=DiffusionConfig(prediction="velocity"), height=64, width=48, num_frames=4,
    )  # fmt: skip
    system: System = replace(build_system(config), network=network.eval())
    generator = torch.Generator().manual_seed(4)
    control = torch.randn(9, 9, 8, 6, generator=generator)
    control[8] = 1
    caption = system.network.denoiser.y_embedder.null_caption(1).clone()
    garment = build_inputs(3)["garment"][:1]
    sampler, long_video = SamplerConfig(solver="ddim", num_steps=2), LongVideoConfig()
    expected = paint_plain(
        plain, system.diffusion, sampler, long_video, 4, caption, garment, control, seed=3
    )
    with torch.no_grad():
        features = network.encode_caption(caption)
        conditions = network.project(
            Conditions(caption=features, garment=network.encode_garment(garment, features))
        )
        found = paint_video(system, control, conditions, sampler, long_video, seed=3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
