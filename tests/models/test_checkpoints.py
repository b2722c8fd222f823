import pytest
import torch
from safetensors.torch import save_file

from models.checkpoints import (
    load_network,
    load_open_sora,
    load_pixart,
    read_checkpoint,
    read_weights,
)
from models.stdit import STDiT
from models.viton_dit import VitonDiT, VitonDiTConfig


@pytest.fixture
def published(tiny_trunk, shake) -> dict[str, torch.Tensor]:
    """A state dict as Open-Sora publishes them: flat, position tables included."""
    trunk = STDiT(tiny_trunk)
    shake(trunk)
    tables = {"pos_embed": torch.zeros(1, 16, 32), "pos_embed_temporal": torch.zeros(1, 4, 32)}
    return {**{name: value.clone() for name, value in trunk.state_dict().items()}, **tables}


@pytest.mark.parametrize("fusion", [False, True])
def test_an_open_sora_checkpoint_loads_into_trunk_and_denoiser(
    tmp_path, tiny_trunk, published, fusion
):
    torch.save(published, tmp_path / "open-sora.pth")
    trunk = STDiT(tiny_trunk, fusion=fusion)
    kept = {name: value.clone() for name, value in trunk.state_dict().items() if "fusion" in name}
    load_open_sora(trunk, tmp_path / "open-sora.pth")
    state = trunk.state_dict()
    for name, value in published.items():
        if not name.startswith("pos_embed"):
            assert torch.equal(state[name], value), name
    assert all(torch.equal(state[name], value) for name, value in kept.items())
    assert bool(kept) == fusion


def test_a_renamed_key_is_refused_by_name_and_nothing_is_loaded(tmp_path, tiny_trunk, published):
    published["blocks.1.attn.to_qkv.weight"] = published.pop("blocks.1.attn.qkv.weight")
    torch.save(published, tmp_path / "renamed.pth")
    trunk = STDiT(tiny_trunk)
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"renamed.*missing: blocks\.1\.attn\.qkv\.weight; .*unexpected: blocks\.1\.attn\.to",
    ):
        load_open_sora(trunk, tmp_path / "renamed.pth")
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_another_size_is_refused_with_both_shapes(tmp_path, tiny_trunk, published):
    published["final_layer.linear.weight"] = torch.zeros(16, 32)
    torch.save(published, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"final_layer\.linear\.weight \(16, 32\) \(expected \(32, 32\)\)"
    ):
        load_open_sora(STDiT(tiny_trunk), tmp_path / "other.pth")


def test_half_precision_weights_load_into_float32(tmp_path, tiny_trunk, published):
    half = {name: value.to(torch.bfloat16) for name, value in published.items()}
    torch.save(half, tmp_path / "half.pth")
    trunk = STDiT(tiny_trunk)
    load_open_sora(trunk, tmp_path / "half.pth")
    assert trunk.t_block[1].weight.dtype == torch.float32
    assert torch.equal(trunk.t_block[1].weight, half["t_block.1.weight"].float())


@pytest.fixture
def image_model(published) -> dict[str, torch.Tensor]:
    """The same as PixArt-alpha would publish it: no time."""
    state = {name: value for name, value in published.items() if "temp" not in name}
    state["x_embedder.proj.weight"] = state["x_embedder.proj.weight"].squeeze(2)
    return state


@pytest.mark.parametrize("fusion", [False, True])
def test_an_image_model_loads_with_its_patch_weight_widened(
    tmp_path, tiny_trunk, image_model, fusion
):
    torch.save({"state_dict": image_model}, tmp_path / "pixart.pth")
    trunk = STDiT(tiny_trunk, fusion=fusion)
    load_pixart(trunk, tmp_path / "pixart.pth")
    widened = trunk.x_embedder.proj.weight
    assert torch.equal(widened[:, :, 0], image_model["x_embedder.proj.weight"])
    assert torch.equal(trunk.blocks[3].attn.qkv.weight, image_model["blocks.3.attn.qkv.weight"])
    assert not trunk.blocks[3].attn_temp.proj.weight.any()


def test_an_image_model_that_lacks_more_than_time_is_refused(tmp_path, tiny_trunk, image_model):
    del image_model["blocks.2.mlp.fc1.bias"]
    torch.save({"state_dict": image_model}, tmp_path / "pixart.pth")
    with pytest.raises(ValueError, match=r"1 missing: blocks\.2\.mlp\.fc1\.bias$"):
        load_pixart(STDiT(tiny_trunk), tmp_path / "pixart.pth")


def test_a_video_model_is_no_image_model(tmp_path, tiny_trunk, published):
    torch.save({"state_dict": published}, tmp_path / "video.pth")
    with pytest.raises(ValueError, match=r"no image model: it has blocks\.0\.attn_temp"):
        load_pixart(STDiT(tiny_trunk), tmp_path / "video.pth")


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


class Foreign:
    """Something that only code could build."""


def test_files_that_are_no_checkpoint_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "text.ckpt").write_text("no weights here")
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    torch.save({"system": Foreign(), "state_dict": {}}, tmp_path / "code.ckpt")
    torch.save([torch.zeros(1)], tmp_path / "list.ckpt")
    for name, message in (
        ("absent.ckpt", "is not a readable checkpoint"),
        ("text.ckpt", "is not a readable checkpoint"),
        ("code.ckpt", "is not a readable checkpoint"),
        ("list.ckpt", "holds a list"),
        ("foreign.ckpt", "has no 'system'"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert name in str(raised.value)


def test_weights_are_read_from_safetensors_too(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "weights.safetensors")
    assert torch.equal(read_weights(tmp_path / "weights.safetensors")["weight"], torch.ones(2))
    torch.save({"epoch": 3, "weight": torch.ones(2)}, tmp_path / "mixed.pth")
    with pytest.raises(ValueError, match="no flat state dict; no tensors: epoch"):
        read_weights(tmp_path / "mixed.pth")
