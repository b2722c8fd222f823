import pytest
import torch

from configs.errors import ConfigError
from models.stdit import STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from training.freezing import (
    FreezeConfig,
    FreezeRule,
    format_table,
    freeze,
    freeze_rule,
    learning_names,
    learning_table,
    set_modes,
)


@pytest.fixture(scope="module")
def network() -> VitonDiT:
    trunk = STDiTConfig(dim=32, depth=4, num_heads=2, caption_dim=8, caption_length=2)
    return VitonDiT(VitonDiTConfig(trunk=trunk))


def kinds(names: list[str]) -> set[str]:
    return {".".join("*" if piece.isdigit() else piece for piece in n.split(".")) for n in names}


def learns(network: VitonDiT, stage: str, preset: str = "article") -> set[str]:
    names = [name for name, _ in network.named_parameters()]
    return set(learning_names(names, freeze_rule(FreezeConfig(preset=preset), stage)))


def test_pretraining_trains_the_bare_trunk(network: VitonDiT) -> None:
    expected = {n for n, _ in network.named_parameters()
                if n.startswith("denoiser.") and ".fusion." not in n}  # fmt: skip
    assert learns(network, "pretrain") == expected


@pytest.mark.parametrize("preset", ["article", "figure"])
def test_stage_1_trains_the_extractor_and_the_attention_that_reads_it(
    network: VitonDiT, preset: str
) -> None:
    names = [name for name, _ in network.named_parameters()]
    extractor = {name for name in names if name.startswith("garment.")}
    fusion = {name for name in names if name.startswith("denoiser.") and ".fusion." in name}
    assert learns(network, "stage1", preset) == extractor | fusion


@pytest.mark.parametrize("stage", ["stage2", "stage3"])
def test_the_article_keeps_the_denoisers_spatial_self_attention_alone(
    network: VitonDiT, stage: str
) -> None:
    frozen = [n for n, _ in network.named_parameters() if n not in learns(network, stage)]
    assert kinds(frozen) == {
        f"denoiser.blocks.*.attn.{layer}.{kind}"
        for layer in ("qkv", "proj")
        for kind in ("weight", "bias")
    }


def test_the_figure_keeps_prompt_attention_and_feed_forward_of_dit_and_extractor(
    network: VitonDiT,
) -> None:
    frozen = [
        n for n, _ in network.named_parameters() if n not in learns(network, "stage3", "figure")
    ]
    heads = {".".join(name.split(".")[:4]) for name in kinds(frozen)}
    assert heads == {f"{part}.blocks.*.{module}" for part in ("denoiser", "garment")
                     for module in ("cross_attn", "mlp")}  # fmt: skip


def test_one_star_stands_for_one_piece_of_a_name() -> None:
    names = ["a.blocks.0.attn.w", "a.blocks.0.deep.attn.w", "a.x"]
    assert learning_names(names, FreezeRule(learn=["a.blocks.*.attn.*"], keep=[])) == names[:1]
    assert learning_names(names, FreezeRule(learn=["a.blocks.**"], keep=[])) == names[:2]


@pytest.mark.parametrize("where", ["learn", "keep"])
def test_a_pattern_that_matches_nothing_is_an_error(network: VitonDiT, where: str) -> None:
    rule = FreezeRule(learn=["**"], keep=[]) if where == "keep" else FreezeRule(learn=[], keep=[])
    getattr(rule, where).append("denoiser.block.*.attn.**")
    with pytest.raises(
        ConfigError, match=r"'denoiser\.block\.\*\.attn\.\*\*' matches no parameter"
    ):
        freeze(network, rule)


def test_frozen_modules_are_in_eval_mode_and_learning_ones_in_training_mode(
    network: VitonDiT,
) -> None:
    freeze(network, freeze_rule(FreezeConfig(), "stage1"))
    network.train()
    set_modes(network)
    assert network.garment.training
    assert not network.control.training
    assert not network.denoiser.x_embedder.training


def test_the_table_adds_up_to_the_network(network: VitonDiT) -> None:
    freeze(network, freeze_rule(FreezeConfig(), "stage2"))
    rows = learning_table(network)
    total = sum(p.numel() for p in network.parameters())
    assert sum(row[2] for row in rows) == total
    assert ("denoiser.blocks.*.attn", 0) in [row[:2] for row in rows]
    assert f"{total:,}" in format_table(rows)


def test_own_patterns_need_the_preset_own() -> None:
    with pytest.raises(ValueError, match="read by preset 'own'"):
        FreezeConfig(preset="article", learn=["denoiser.**"])
    with pytest.raises(ValueError, match="needs patterns in learn"):
        FreezeConfig(preset="own")


def test_at_full_size_the_article_learns_1_8_and_the_figure_1_1_billion_parameters() -> None:
    with torch.device("meta"):
        full = VitonDiT(VitonDiTConfig())
    sizes = {name: p.numel() for name, p in full.named_parameters()}
    billions = [sum(sizes[n] for n in learns(full, "stage3", preset)) / 1e9
                for preset in ("article", "figure")]  # fmt: skip
    assert billions == pytest.approx([1.80, 1.07], abs=0.02)
