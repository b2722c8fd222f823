"""Frozen weights in bfloat16: the same numbers, and nothing lost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.conditions import Conditions
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.config import TrainConfig
from training.fit import fit
from training.freezing import FreezeConfig, freeze, freeze_rule
from training.frozen_weights import is_roundable, round_frozen

SMALL = VitonDiTConfig(
    trunk=STDiTConfig(dim=32, depth=2, num_heads=2, caption_dim=8, caption_length=2)
)
HALF = ["stage=stage3", "data.num_frames=4", "freeze.preset=figure", "trainer.precision=bf16-mixed"]


def small_network(fusion: str = "attention") -> VitonDiT:
    torch.manual_seed(0)
    network = VitonDiT(replace(SMALL, fusion=fusion))
    for parameter in network.parameters():  # none of the zeros that hide a layer
        torch.nn.init.normal_(parameter, std=0.05)
    rule = FreezeConfig(preset="figure")
    if fusion == "places":  # whose offsets are frozen too
        rule = FreezeConfig(preset="own", learn=["garment.**"])
    freeze(network, freeze_rule(rule, "stage3"))
    return network


def loss_of(network: VitonDiT) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=numbers)

    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        caption = network.encode_caption(draw(1, 2, 8))
        garment = network.encode_garment(draw(1, 4, 4, 4), caption)
        matched = torch.rand(1, 3, 4, 4, 3, generator=numbers)
        conditions = Conditions(
            caption=caption, garment=garment, control=draw(1, 9, 3, 4, 4), matched=matched
        )
        return network(draw(1, 4, 3, 4, 4), torch.tensor([7]), conditions).float().square().mean()


@pytest.mark.parametrize("fusion", ["attention", "places"])
def test_rounding_frozen_weights_changes_no_bit_of_loss_and_gradients(fusion: str) -> None:
    plain, rounded = small_network(fusion), small_network(fusion)
    originals = round_frozen(rounded)
    frozen = {name for name, p in plain.named_parameters() if not p.requires_grad}
    assert originals.keys() == {name for name in frozen if is_roundable(name)}
    assert fusion == "attention" or "denoiser.blocks.0.fusion.place.weight" in originals
    assert all(rounded.get_parameter(name).dtype is torch.bfloat16 for name in originals)
    left, right = loss_of(plain), loss_of(rounded)
    assert torch.equal(left, right)
    left.backward()
    right.backward()
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad:
            other = rounded.get_parameter(name).grad
            assert parameter.grad is not None, name
            assert other is not None, name
            assert torch.equal(parameter.grad, other), name


def test_a_state_dict_holds_the_originals_and_loading_replaces_them() -> None:
    plain, rounded = small_network(), small_network()
    round_frozen(rounded)
    for name, value in plain.state_dict().items():
        assert torch.equal(rounded.state_dict()[name], value), name
    other = {name: value + 1.001 for name, value in plain.state_dict().items()}
    rounded.load_state_dict(other)
    for name, value in other.items():
        assert torch.equal(rounded.state_dict()[name], value), name
    for name, parameter in rounded.named_parameters():
        assert torch.equal(parameter, other[name].to(parameter.dtype)), name


def test_a_run_with_rounded_weights_is_the_run_without_and_stores_float32(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    for name, dtype in (("plain", "float32"), ("rounded", "bfloat16")):
        fit(tiny(f"name={name}", *HALF, f"trainer.frozen_dtype={dtype}", "max_steps=3"), Path("t"))
    files = [tmp_path / "runs" / name / "checkpoints/last.ckpt" for name in ("plain", "rounded")]
    plain, rounded = (torch.load(file, weights_only=True) for file in files)
    for part in ("state_dict", "ema"):
        assert plain[part].keys() == rounded[part].keys()
        for key, value in plain[part].items():
            assert rounded[part][key].dtype is value.dtype, key
            assert torch.equal(rounded[part][key], value), key


def test_a_run_with_rounded_weights_goes_on_where_it_stopped(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    words = [*HALF, "trainer.frozen_dtype=bfloat16"]
    fit(tiny("name=whole", *words, "max_steps=4"), Path("t"))
    fit(tiny("name=broken", *words, "max_steps=2"), Path("t"))
    fit(tiny("name=broken", *words, "max_steps=4"), Path("t"))
    files = [tmp_path / "runs" / name / "checkpoints/last.ckpt" for name in ("whole", "broken")]
    whole, broken = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert all(torch.equal(broken[key], value) for key, value in whole.items())
