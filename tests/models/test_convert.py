import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from models.checkpoints import load_network, load_trunk, read_checkpoint
from models.convert import convert, group_names, main
from models.stdit import STDiT
from models.viton_dit import VitonDiT, VitonDiTConfig
from models.weights.files import file_sha256, read_provenance, read_weights

ROOT = Path(__file__).resolve().parents[2]


def bits(state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {
        name: value.contiguous().view(torch.uint8).numpy().tobytes()
        for name, value in state.items()
        if value.numel()
    }


@pytest.fixture
def trained(tmp_path, tiny, tiny_trunk) -> Path:
    """A training checkpoint of stage 1, as ``training`` writes it: no ControlNet."""
    state = {name: v for name, v in tiny.state_dict().items() if not name.startswith("control.")}
    content = {
        "system": {"network": asdict(VitonDiTConfig(trunk=tiny_trunk)), "fps": 8.0},
        "state_dict": {f"network.{name}": value for name, value in state.items()},
        "ema": {name: value + 1 for name, value in state.items()},
        "global_step": 12,
        "optimizer_states": [{"exp_avg": torch.zeros(3)}],
    }
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["open-sora", "pixart"])
def test_loading_what_was_converted_equals_loading_the_original_to_the_bit(
    tmp_path, tiny_trunk, published, image_model, kind, dtype
):
    state = published if kind == "open-sora" else image_model
    state = {name: value.to(dtype) for name, value in state.items()}
    torch.save({"state_dict": state}, tmp_path / "public.pth")
    report = convert(tmp_path / "public.pth", tmp_path / "converted.safetensors")
    assert report.conversion.kind == kind
    trunks = [STDiT(tiny_trunk), STDiT(tiny_trunk)]
    trunks[1].load_state_dict(trunks[0].state_dict())
    before = load_trunk(trunks[0], tmp_path / "public.pth")
    after = load_trunk(trunks[1], tmp_path / "converted.safetensors")
    assert bits(trunks[0].state_dict()) == bits(trunks[1].state_dict())
    assert set(after.matched) == set(before.matched)
    assert (after.kind, after.missing) == (kind, before.missing)
    written = read_weights(tmp_path / "converted.safetensors")
    assert all(value.dtype == dtype for value in written.values())
    assert bits(written) == {name: b for name, b in bits(state).items() if name in written}


def test_the_report_says_what_became_of_every_tensor(tmp_path, image_model):
    torch.save({"state_dict": image_model}, tmp_path / "pixart.pth")
    report = convert(tmp_path / "pixart.pth", tmp_path / "new.safetensors")
    lines = [re.split(r"  +", line, maxsplit=1) for line in report.format().splitlines()]
    by_label = {label: text for label, text in (line for line in lines if len(line) == 2)}
    num_new = 4 * 4
    num_own = len(image_model) - 1 + num_new
    parameters = sum(v.numel() for name, v in image_model.items()
                     if name not in {"pos_embed", "y_embedder.y_embedding"})  # fmt: skip
    assert by_label["found"] == f"a PixArt-alpha image model: {tmp_path / 'pixart.pth'}"
    assert by_label["written"] == f"{tmp_path / 'new.safetensors'}, for trunk_weights="
    assert by_label["matched"].startswith(f"{num_own - num_new} of {num_own} tensors")
    assert by_label["parameters"] == f"{parameters:,} (and 72 of the null caption)"
    assert by_label["dtypes"] == f"float32 ({num_own - num_new})"
    assert by_label["reshaped"] == "x_embedder.proj.weight (32, 4, 2, 2) -> (32, 4, 1, 2, 2)"
    assert by_label["new"].startswith("blocks.*.attn_temp.* (16 tensors): start with zero output")
    assert by_label["dropped"].startswith("pos_embed (1 tensor): recomputed for the grid at hand")
    hashes = [line for line in report.format().splitlines() if line.startswith("sha256")]
    assert hashes == [
        f"sha256 IN   {file_sha256(tmp_path / 'pixart.pth')}",
        f"sha256 OUT  {file_sha256(tmp_path / 'new.safetensors')}",
    ]
    assert read_provenance(tmp_path / "new.safetensors") == {
        "kind": "pixart",
        "source": "pixart.pth",
        "source_sha256": file_sha256(tmp_path / "pixart.pth"),
    }


def test_the_trunk_of_a_training_checkpoint_is_a_trunk_for_others(
    tmp_path, tiny_trunk, tiny, trained
):
    report = convert(trained, tmp_path / "trunk.safetensors")
    assert "the trunk of a training checkpoint of step 12, its ema weights" in report.format()
    assert re.search(r"dropped +denoiser\.blocks\.\*\.fusion\.\* \(24 tensors\)", report.format())
    assert re.search(r"dropped +garment\.\* \(\d+ tensors\): not part of", report.format())
    trunk = STDiT(tiny_trunk)
    loaded = load_trunk(trunk, tmp_path / "trunk.safetensors")
    assert (loaded.kind, loaded.missing) == ("open-sora", ())
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, tiny.state_dict()[f"denoiser.{name}"] + 1), name
    convert(trained, tmp_path / "raw.safetensors", weights="raw")
    raw = read_weights(tmp_path / "raw.safetensors")
    assert all(torch.equal(raw[name] + 1, value) for name, value in trunk.state_dict().items())
    assert read_provenance(tmp_path / "raw.safetensors")["weights"] == "raw"


def test_a_whole_network_comes_back_as_a_checkpoint(tmp_path, tiny_trunk, tiny, trained):
    path = tmp_path / "network.safetensors"
    report = convert(trained, path, whole_network=True)
    assert re.search(r"new +control\.\* \(\d+ tensors\): not trained yet", report.format())
    contents, original = read_checkpoint(path), read_checkpoint(trained)
    assert (contents.step, contents.system) == (12, original.system)
    assert contents.ema is contents.network  # it holds the average alone
    assert original.ema is not None
    assert bits(contents.network) == bits(original.ema)
    network = VitonDiT(VitonDiTConfig(trunk=tiny_trunk))
    load_network(network, contents.network, "network", allow_missing=["control."])
    again = convert(path, tmp_path / "trunk.safetensors")
    assert again.conversion.tensors.keys() == STDiT(tiny_trunk).state_dict().keys()
    convert(trained, tmp_path / "raw.safetensors", whole_network=True, weights="raw")
    assert read_checkpoint(tmp_path / "raw.safetensors").ema is None


def test_what_cannot_be_converted_is_refused_and_nothing_is_written(
    tmp_path, published, trained, tiny_trunk
):
    out = tmp_path / "out.safetensors"
    torch.save(published, tmp_path / "good.pth")
    renamed = {**published, "blocks.2.mlp.fc3.bias": published.pop("blocks.2.mlp.fc2.bias")}
    torch.save({k: v for k, v in renamed.items() if k in published or "fc3" in k},
               tmp_path / "renamed.pth")  # fmt: skip
    for source, options, message in (
        ("renamed.pth", {}, r"1 missing: blocks\.2\.mlp\.fc2\.bias; .*: blocks\.2\.mlp\.fc3\.bias"),
        ("good.pth", {"weights": "ema"}, "good.pth is not a training checkpoint"),
        ("good.pth", {"whole_network": True}, "good.pth is not a training checkpoint"),
        ("absent.pth", {}, "absent.pth does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(tmp_path / source, out, **options)
        assert not out.exists()
    content = torch.load(trained, weights_only=True)
    content["ema"] = None
    content["state_dict"]["network.denoiser.stray"] = torch.zeros(1)
    torch.save(content, tmp_path / "stray.ckpt")
    with pytest.raises(ValueError, match="holds no average; use --weights raw"):
        convert(tmp_path / "stray.ckpt", out, weights="ema")
    with pytest.raises(ValueError, match=r"stray\.ckpt does not fit.*: denoiser\.stray$"):
        convert(tmp_path / "stray.ckpt", out)


def test_nothing_is_overwritten_unasked(tmp_path, published, capsys):
    torch.save(published, tmp_path / "in.pth")
    words = [str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]
    assert main(words) == 0
    assert "an Open-Sora v1.0 video trunk" in capsys.readouterr().out
    written = (tmp_path / "out.safetensors").read_bytes()
    (tmp_path / "out.safetensors").write_text("mine")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: .*out\.safetensors exists; give another name.*\n", error)
    assert (tmp_path / "out.safetensors").read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    assert (tmp_path / "out.safetensors").read_bytes() == written
    same = str(tmp_path / "out.safetensors")
    assert main([same, same, "--overwrite"]) == 2
    assert (tmp_path / "out.safetensors").read_bytes() == written


def test_the_command_runs_as_a_module(tmp_path, trained):
    out = tmp_path / "network.safetensors"
    words = [sys.executable, "-m", "models.convert", str(trained), str(out)]
    run = subprocess.run(
        [*words, "--network"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "a training checkpoint of step 12, its ema weights" in run.stdout
    assert read_checkpoint(out).step == 12


def test_names_are_grouped_by_module():
    names = ["blocks.0.attn_temp.qkv.bias", "blocks.11.attn_temp.proj.bias", "pos_embed"]
    assert group_names(names) == ["blocks.*.attn_temp.* (2 tensors)", "pos_embed (1 tensor)"]
