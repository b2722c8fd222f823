"""Networks that see less of a garment: what hooks make of them, and how runs remember it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange

from configs.errors import ConfigError
from configs.loading import load_config, to_plain
from inference.sampling.painter import load_system
from models.conditions import Conditions
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.config import TrainConfig
from training.experiments.fusion_variants import (
    VARIANTS,
    VariantTrainConfig,
    apply_variant,
    build_stored_variant,
    main,
)
from training.fit import fit

PLAIN = VitonDiTConfig(
    trunk=STDiTConfig(dim=32, depth=4, num_heads=2, caption_dim=12, caption_length=6)
)
NOISY = torch.randn(2, 4, 3, 8, 6, generator=torch.Generator().manual_seed(2))
TIMESTEPS = torch.tensor([999, 37])


def build(variant: str) -> VitonDiT:
    """One whose weights are the same for every variant, and none of them zero."""
    torch.manual_seed(0)
    network = VitonDiT(PLAIN)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape)
    apply_variant(network, variant)
    return network


def conditions_of(network: VitonDiT, garment: torch.Tensor) -> Conditions:
    caption = network.encode_caption(network.denoiser.y_embedder.null_caption(1))
    control = torch.randn(2, 9, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    features = network.encode_garment(garment, caption)
    return Conditions(caption=caption, garment=features, control=control)


@pytest.mark.parametrize(("variant", "sees_colour"), [("embedding", True), ("none", False)])
def test_lesser_variants_see_a_garments_mean_or_nothing_of_it(variant, sees_colour):
    lesser, latents = build(variant), torch.randn(1, 4, 8, 6)
    whole = conditions_of(build("attention"), latents).garment
    seen, other = (conditions_of(lesser, x) for x in (latents, -latents))
    for before, hidden in zip(whole.hidden, seen.garment.hidden, strict=True):
        expected = before.mean(dim=1, keepdim=True) * float(sees_colour)
        assert torch.equal(hidden, expected)
    predictions = [lesser(NOISY, TIMESTEPS, lesser.project(given)) for given in (seen, other)]
    assert torch.equal(*predictions) != sees_colour


@pytest.mark.parametrize("has_keys_values", [False, True])
def test_concatenation_adds_to_each_place_only_the_garments_same_place(has_keys_values):
    fusion = build("concatenation").denoiser.blocks[0].fusion
    queries, garment = torch.randn(1, 2 * 12, 32), torch.randn(1, 12, 32)
    keys_values = fusion.keys_values(garment)
    added = fusion(queries, keys_values if has_keys_values else garment)
    values = rearrange(keys_values[1], "b h l d -> b l (h d)")
    assert torch.allclose(added, fusion.proj(values).repeat(1, 2, 1), atol=1e-6)


def test_concatenation_reaches_every_block_of_denoiser_and_control():
    aligned, plain = build("concatenation"), build("attention")
    garment = torch.randn(1, 4, 8, 6)
    given = conditions_of(aligned, garment)
    masks = []
    for block in (*aligned.denoiser.blocks, *aligned.control.blocks):
        block.fusion.register_forward_pre_hook(lambda _, inputs: masks.append(inputs[2]))
    assert not torch.allclose(aligned(NOISY, TIMESTEPS, given), plain(NOISY, TIMESTEPS, given))
    assert len(masks) == 4 + 2
    assert all(torch.equal(mask[0], torch.eye(12).repeat(3, 1).bool()) for mask in masks)
    without = replace(given, garment=None)
    assert torch.equal(aligned(NOISY, TIMESTEPS, without), plain(NOISY, TIMESTEPS, without))
    other_grid = conditions_of(aligned, torch.randn(1, 4, 6, 4))
    with pytest.raises(ValueError, match="6 positions cannot be concatenated to frames of 12"):
        aligned(NOISY, TIMESTEPS, other_grid)


def test_a_variant_has_the_weights_of_the_plain_network_and_every_fusion_gets_a_gradient():
    names = list(build("attention").state_dict())
    for variant in VARIANTS:
        network = build(variant)
        assert list(network.state_dict()) == names
        given = conditions_of(network, torch.randn(1, 4, 8, 6))
        network(NOISY, TIMESTEPS, given).square().mean().backward()
        lacking = {name for name, p in network.named_parameters() if p.grad is None}
        assert not {name for name in lacking if ".fusion." in name}, variant


def test_a_run_stores_its_variant_resumes_with_it_and_is_built_with_it(
    tiny: Callable[..., TrainConfig], tmp_path: Path, clips_root: Path
) -> None:
    tiny()  # writes tiny.yaml
    path, runs = str(tmp_path / "tiny.yaml"), tmp_path / "runs"
    words = [f"data.roots=[{clips_root}]", f"runs={runs}", "stage=stage2"]
    none, file = [*words, "system.network.fusion=none"], runs / "tiny/checkpoints/last.ckpt"
    assert main([path, *none, "max_steps=2"]) == 0
    assert main([path, *none, "max_steps=4"]) == 0
    assert main([path, *none, "max_steps=4", "name=unbroken"]) == 0
    unbroken = file.parents[2] / "unbroken" / "checkpoints" / "last.ckpt"
    resumed, whole = (load_system(f, "raw", build=build_stored_variant) for f in (file, unbroken))
    assert resumed.step == 4
    for name, value in resumed.system.network.state_dict().items():
        assert torch.equal(value, whole.system.network.state_dict()[name]), name

    garments = (torch.full((1, 4, 4, 4), value) for value in (-1.0, 1.0))
    network = resumed.system.network
    hidden = [
        network.encode_garment(
            garment, network.encode_caption(network.denoiser.y_embedder.null_caption(1))
        ).hidden
        for garment in garments
    ]
    assert all(not tensor.any() for side in hidden for tensor in side), "none sees nothing"
    assert load_config(VariantTrainConfig, runs / "tiny" / "config.yaml").system.network.fusion == (
        "none"
    )
    with pytest.raises(ConfigError, match=r"fusion = none, now it is embedding"):
        main([path, *words, "system.network.fusion=embedding", "max_steps=4"])
    with pytest.raises(ConfigError, match=r"fusion = none, now it is attention"):
        fit(tiny("stage=stage2", max_steps=4), Path(path))


def test_other_commands_refuse_a_variant_in_one_sentence_and_plain_attention_loads_everywhere(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    sentence = (
        r"fusion must be one of .*, not 'none'; other variants are an ablation: train them with "
        r"training\.experiments\.fusion_variants$"
    )
    with pytest.raises(ConfigError, match=sentence):
        tiny("system.network.fusion=none")
    config = tiny("stage=stage2")
    state = VitonDiT(config.system.network).state_dict()
    content = {
        "state_dict": {f"network.{name}": value for name, value in state.items()},
        "system": to_plain(config.system),
        "global_step": 7,
    }
    assert content["system"]["network"]["fusion"] == "attention", "as checkpoints of before have it"
    file = tmp_path / "last.ckpt"
    torch.save(content, file)
    load_system(file)
    load_system(file, build=build_stored_variant)
    content["system"]["network"]["fusion"] = "none"
    torch.save(content, file)
    load_system(file, build=build_stored_variant)
    with pytest.raises(ConfigError, match=sentence):
        load_system(file)


def test_settings_out_of_range_are_refused(tiny: Callable[..., TrainConfig], tmp_path: Path):
    tiny()
    path = tmp_path / "tiny.yaml"
    for word, message in (
        ("fusion=colour", r"fusion must be one of \('attention', 'places', .*not 'colour'"),
        ("control_depth=9", r"control_depth must be between 1 and trunk\.depth \(4\), not 9"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(VariantTrainConfig, path, [f"system.network.{word}"])
