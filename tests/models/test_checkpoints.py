import re

import pytest
import torch
from torch import nn

from models.checkpoints import (
    load_network,
    load_trunk,
    read_checkpoint,
)
from models.convert import describe_network
from models.embeddings import spatial_positions, temporal_positions
from models.stdit import STDiT, STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig
from models.weights.trunk_formats import (
    OPEN_SORA,
    check_trunk,
    describe_positions,
    infer_config,
    recognise,
)

TABLES = {"pos_embed": (1, 1024, 1152), "pos_embed_temporal": (1, 16, 1152)}
LARGE_PIXART = [
    f"{part}_embedder.mlp.{layer}.{kind}"
    for part in ("csize", "ar")
    for layer in (0, 2)
    for kind in ("weight", "bias")
]


@pytest.mark.parametrize("fusion", [None, "attention", "places"])
def test_an_open_sora_checkpoint_loads_into_trunk_and_denoiser(
    tmp_path, tiny_trunk, published, fusion
):
    torch.save(published, tmp_path / "open-sora.pth")
    trunk = STDiT(tiny_trunk, fusion=fusion)
    kept = {name: value.clone() for name, value in trunk.state_dict().items() if "fusion" in name}
    load_trunk(trunk, tmp_path / "open-sora.pth", OPEN_SORA)
    state = trunk.state_dict()
    for name, value in published.items():
        if not name.startswith("pos_embed"):
            assert torch.equal(state[name], value), name
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert bool(kept) == (fusion is not None)


def test_a_renamed_key_is_refused_by_name_and_nothing_is_loaded(tmp_path, tiny_trunk, published):
    published["blocks.1.attn.to_qkv.weight"] = published.pop("blocks.1.attn.qkv.weight")
    torch.save(published, tmp_path / "renamed.pth")
    trunk = STDiT(tiny_trunk)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    for kind in ("open-sora", None):
        with pytest.raises(
            ValueError,
            match=r"renamed.* 1 missing: blocks\.1\.attn\.qkv\.weight; .* 1 unexpected:"
            r" blocks\.1\.attn\.to_qkv\.weight$",
        ):
            load_trunk(trunk, tmp_path / "renamed.pth", kind)
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_another_size_is_refused_with_both_shapes(tmp_path, tiny_trunk, published):
    published["final_layer.linear.weight"] = torch.zeros(16, 32)
    torch.save(published, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"final_layer\.linear\.weight \(16, 32\) \(expected \(32, 32\)\)"
    ):
        load_trunk(STDiT(tiny_trunk), tmp_path / "other.pth", "open-sora")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_load_into_float32_exactly(tmp_path, tiny_trunk, published, dtype):
    half = {name: value.to(dtype) for name, value in published.items()}
    torch.save(half, tmp_path / "half.pth")
    trunk = STDiT(tiny_trunk)
    load_trunk(trunk, tmp_path / "half.pth", "open-sora")
    for name, value in trunk.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, half[name].float()), name


def test_quantised_weights_are_refused_by_name(tmp_path, tiny_trunk, published):
    published["blocks.0.mlp.fc1.weight"] = published["blocks.0.mlp.fc1.weight"].to(torch.int8)
    torch.save(published, tmp_path / "int8.pth")
    with pytest.raises(ValueError, match=r"not a plain float: blocks\.0\.mlp\.fc1\.weight int8$"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "int8.pth")


@pytest.mark.parametrize("fusion", [None, "attention", "places"])
def test_an_image_model_loads_with_its_patch_weight_widened(
    tmp_path, tiny_trunk, image_model, fusion
):
    torch.save({"state_dict": image_model}, tmp_path / "pixart.pth")
    trunk = STDiT(tiny_trunk, fusion=fusion)
    nn.init.ones_(trunk.blocks[3].attn_temp.proj.weight)  # whatever the trunk was before
    loaded = load_trunk(trunk, tmp_path / "pixart.pth", "pixart")
    assert loaded.kind == "pixart"
    assert set(loaded.matched) == image_model.keys() - {"pos_embed"}
    assert set(loaded.missing) == trunk.state_dict().keys() - set(loaded.matched)
    assert all(re.search(r"\.(attn_temp|fusion)\.", name) for name in loaded.missing)
    assert loaded.ignored.keys() == {"pos_embed"}
    widened = trunk.x_embedder.proj.weight
    assert torch.equal(widened[:, :, 0], image_model["x_embedder.proj.weight"])
    assert torch.equal(trunk.blocks[3].attn.qkv.weight, image_model["blocks.3.attn.qkv.weight"])
    assert not trunk.blocks[3].attn_temp.proj.weight.any()


def test_an_image_model_that_lacks_more_than_time_is_refused(tmp_path, tiny_trunk, image_model):
    del image_model["blocks.2.mlp.fc1.bias"]
    torch.save({"state_dict": image_model}, tmp_path / "pixart.pth")
    with pytest.raises(ValueError, match=r"1 missing: blocks\.2\.mlp\.fc1\.bias$"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "pixart.pth", "pixart")


def test_a_video_model_is_no_image_model(tmp_path, tiny_trunk, published):
    torch.save({"state_dict": published}, tmp_path / "video.pth")
    with pytest.raises(ValueError, match=r"not an image model: it has blocks\.0\.attn_temp"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "video.pth", "pixart")


def test_whole_parts_may_be_missing_where_that_is_allowed_but_never_half_of_one(tiny):
    state = tiny.state_dict()
    before = tiny.control.input_projection.weight.clone()
    without = {name: value for name, value in state.items() if not name.startswith("control.")}
    load_network(tiny, without, "stage 1", allow_missing=["control."])
    assert torch.equal(tiny.control.input_projection.weight, before)
    with pytest.raises(
        ValueError, match=r"stage 1 does not fit the network; keys .* missing: control"
    ):
        load_network(tiny, without, "stage 1")
    without["control.input_projection.bias"] = state["control.input_projection.bias"]
    with pytest.raises(ValueError, match="missing: control"):
        load_network(tiny, without, "stage 1", allow_missing=["control."])


def test_a_training_checkpoint_comes_back_whole(tmp_path, tiny, tiny_trunk, make_conditions, noisy):
    torch.save(
        {
            "system": {"network": {"control_depth": None}, "fps": 8.0},
            "state_dict": {f"network.{name}": value for name, value in tiny.state_dict().items()},
            "ema": tiny.state_dict(),
            "global_step": 12,
            "optimizer_states": [],
        },
        tmp_path / "last.ckpt",
    )
    contents = read_checkpoint(tmp_path / "last.ckpt")
    assert contents.step == 12
    assert contents.system == {"network": {"control_depth": None}, "fps": 8.0}
    assert contents.ema is not None
    other = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    load_network(other, contents.network, "last.ckpt")
    conditions = make_conditions(tiny)
    assert torch.equal(other(*noisy, conditions), tiny(*noisy, conditions))


def test_a_file_that_is_not_ours_is_no_training_checkpoint(tmp_path, published):
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    with pytest.raises(
        ValueError, match=r"foreign\.ckpt is not a training checkpoint.*no 'system'"
    ):
        read_checkpoint(tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match=r"absent\.ckpt.*no such file"):
        read_checkpoint(tmp_path / "absent.ckpt")


def test_trunks_are_told_apart_by_their_keys(tmp_path, tiny_trunk, published, image_model):
    torch.save(published, tmp_path / "a.pth")
    torch.save({"state_dict": image_model}, tmp_path / "b.pth")
    video = load_trunk(STDiT(tiny_trunk), tmp_path / "a.pth")
    image = load_trunk(STDiT(tiny_trunk), tmp_path / "b.pth")
    assert (video.kind, video.missing) == ("open-sora", ())
    assert video.description == "an Open-Sora v1.0 video trunk"
    assert (image.kind, image.description) == ("pixart", "a PixArt-alpha image model")
    with pytest.raises(
        ValueError, match=r"b\.pth is not a video model: it has no blocks\.\*\.attn"
    ):
        load_trunk(STDiT(tiny_trunk), tmp_path / "b.pth", "open-sora")
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match=r"c\.pth is neither .*its keys are layer\.weight$"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "c.pth")


def test_a_key_that_is_declared_missing_must_be_missing(
    tmp_path, tiny_trunk, published, image_model
):
    image_model["pos_embed_temporal"] = published["pos_embed_temporal"]
    torch.save({"state_dict": image_model}, tmp_path / "image.pth")
    with pytest.raises(ValueError, match=r"1 unexpected: pos_embed_temporal$"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "image.pth")
    fused = {"blocks.0.fusion.proj.bias": torch.zeros(32)}
    torch.save({**published, **fused}, tmp_path / "fused.pth")
    with pytest.raises(ValueError, match=r"1 unexpected: blocks\.0\.fusion\.proj\.bias$"):
        load_trunk(STDiT(tiny_trunk, fusion="attention"), tmp_path / "fused.pth")


def test_half_a_temporal_attention_is_refused(tmp_path, tiny_trunk, published):
    names = [name for name in published if ".attn_temp." in name]
    for name in names[1:]:
        del published[name]
    torch.save(published, tmp_path / "half.pth")
    with pytest.raises(ValueError, match=f"keys {len(names) - 1} missing: {names[1]}"):
        load_trunk(STDiT(tiny_trunk), tmp_path / "half.pth")


@pytest.fixture
def large(trunk_keys) -> dict[str, torch.Tensor]:
    """The public XL/2 checkpoint without its memory."""
    return {
        name: torch.empty(shape, device="meta") for name, shape in {**trunk_keys, **TABLES}.items()
    }


def test_a_trunk_of_xl_2_has_exactly_the_published_keys_and_takes_them_all(large, trunk_keys):
    own, parameters = describe_network(STDiT, STDiTConfig())
    assert own == trunk_keys
    assert sum(torch.Size(own[name]).numel() for name in parameters) == 759_620_768
    file = recognise(large, "xl2")
    assert (file.kind, file.ignored.keys()) == ("open-sora", TABLES.keys())
    assert infer_config(file, "xl2") == STDiTConfig()
    assert check_trunk(file, own, "xl2") == []


def test_of_pixart_at_xl_2_exactly_time_is_missing(large, trunk_keys):
    temporal = {name for name in large if "temp" in name}
    image = {name: value for name, value in large.items() if name not in temporal}
    image["x_embedder.proj.weight"] = torch.empty(1152, 4, 2, 2, device="meta")
    file = recognise(image, "pixart")
    assert infer_config(file, "pixart") == STDiTConfig()
    assert set(check_trunk(file, trunk_keys, "pixart")) == temporal - {"pos_embed_temporal"}
    assert len(temporal) == 28 * 4 + 1
    assert file.reshaped == {"x_embedder.proj.weight": ((1152, 4, 2, 2), (1152, 4, 1, 2, 2))}
    assert file.ignored.keys() == {"pos_embed"}


def test_the_large_pixart_is_refused_with_its_embedders_named(large, trunk_keys):
    image = {name: value for name, value in large.items() if "temp" not in name}
    image |= {name: torch.empty(1, device="meta") for name in LARGE_PIXART}
    with pytest.raises(ValueError, match="use PixArt-XL-2-512x512") as raised:
        check_trunk(recognise(image, "PixArt-XL-2-1024-MS.pth"), trunk_keys, "1024")
    assert f"8 unexpected: {', '.join(LARGE_PIXART)};" in str(raised.value)


def test_position_tables_say_what_they_were_made_for():
    device = torch.device("cpu")
    tables = {
        "pos_embed": spatial_positions(16, 16, 64, 0.5, device)[None],
        "pos_embed_temporal": temporal_positions(16, 64, 2.0, device)[None],
    }
    assert describe_positions(tables) == {
        "pos_embed": "for 16 x 16 tokens at space_scale 0.5",
        "pos_embed_temporal": "for 16 frames at time_scale 2",
    }
    assert describe_positions({"pos_embed": torch.zeros(1, 16, 32)}) == {
        "pos_embed": "for 4 x 4 tokens at an unknown scale"
    }


def test_after_stage_1_the_controlnet_starts_from_the_trunk_with_what_its_garment_part_learned(
    tiny, tiny_trunk
):
    state = {name: v for name, v in tiny.state_dict().items() if not name.startswith("control.")}
    after = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    load_network(after, state, "stage 1", allow_missing=["control."])
    after.initialise_from_trunk(["control"])
    for name, value in state.items():
        assert torch.equal(after.state_dict()[name], value), name
    for index, block in enumerate(after.control.blocks):
        for name, value in block.state_dict().items():
            assert torch.equal(value, state[f"denoiser.blocks.{index}.{name}"]), name
    assert not after.control.input_projection.weight.any()
