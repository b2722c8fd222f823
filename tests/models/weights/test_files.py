import pickle
import zipfile
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.weights.files import (
    check_destination,
    list_some,
    read_provenance,
    read_torch_file,
    read_weights,
    write_weights,
)


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request):
    """``torch.save`` in the format of today and in that of before 2020."""
    return lambda content, path: torch.save(
        content, path, _use_new_zipfile_serialization=request.param
    )


def test_weights_are_read_from_every_format_bare_or_under_state_dict(tmp_path, save):
    state = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2, dtype=torch.bfloat16)}
    save(state, tmp_path / "bare.pth")
    save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    save_file(state, tmp_path / "new.safetensors")
    for name in ("bare.pth", "nested.pth", "new.safetensors"):
        read = read_weights(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[key], value) for key, value in state.items()), name


def test_a_pickled_class_is_refused_in_one_sentence_that_names_it(tmp_path, save):
    state = {"state_dict": {"weight": torch.ones(2)}, "args": Namespace(depth=28)}
    save(state, tmp_path / "trained.pth")
    with pytest.raises(
        ValueError, match=r"trained\.pth .*it holds argparse\.Namespace.*save its state dict alone"
    ) as raised:
        read_weights(tmp_path / "trained.pth")
    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value)


class Bomb:
    def __reduce__(self):
        return print, ("this must never be printed",)


def test_code_in_a_file_is_never_run(tmp_path, save, capsys):
    save({"weight": torch.ones(2), "payload": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ValueError, match="besides tensors it holds print,"):
        read_weights(tmp_path / "bomb.pth")
    assert capsys.readouterr().out == ""


def test_files_that_hold_no_weights_are_refused_in_a_sentence_that_names_them(tmp_path):
    (tmp_path / "text.pth").write_text("no weights here")
    (tmp_path / "text.safetensors").write_text("no weights here")
    (tmp_path / "lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (tmp_path / "page.pth").write_text("<!doctype html>")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"weight": 1}))
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("photo.txt", "no weights here")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    torch.save({"epoch": 3, "weight": torch.ones(2)}, tmp_path / "mixed.pth")
    torch.save({"state_dict": nn.Linear(1, 1).weight}, tmp_path / "tensor.pth")
    whole = tmp_path / "whole.pth"
    torch.save({"weight": torch.zeros(1000)}, whole)
    (tmp_path / "short.pth").write_bytes(whole.read_bytes()[:2000])
    for name, message in (
        ("absent.pth", "no such file"),
        ("text.pth", "not written by torch.save"),
        ("lfs.pth", "Git LFS pointer"),
        ("page.pth", "a web page; download the file itself"),
        ("text.safetensors", "is not a readable safetensors file"),
        ("absent.safetensors", "is not a readable safetensors file"),
        ("plain.pth", "not written by torch.save"),
        ("photos.pth", "is not a readable checkpoint"),
        ("list.pth", "holds a list"),
        ("mixed.pth", "not tensors: epoch"),
        ("tensor.pth", "holds no weights"),
        ("short.pth", "truncated; copy or download it again"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            read_weights(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert name in str(raised.value)


def test_a_zip_file_is_mapped_not_read(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "big.pth")
    mapped = read_torch_file(tmp_path / "big.pth")["weight"]
    mapped += 1  # private to this process
    assert not read_torch_file(tmp_path / "big.pth")["weight"].any()
    maps = Path("/proc/self/maps")
    assert not maps.exists() or "big.pth" in maps.read_text()


def test_views_and_shared_memory_are_written_one_by_one_bit_for_bit(tmp_path):
    base = torch.randn(4, 6)
    tied = torch.randn(3)
    state = {
        "turned": base.T,
        "part": base[1],
        "tied": tied,
        "tied again": tied,
        "widened": base[:, :, None],
        "half": torch.randn(5).to(torch.float16),
        "odd": torch.tensor([float("nan"), -0.0, float("inf")]),
        "empty": torch.zeros(0),
        "scalar": torch.tensor(3),
    }
    write_weights(tmp_path / "new" / "all.safetensors", state)
    read = read_weights(tmp_path / "new" / "all.safetensors")
    assert read.keys() == state.keys()
    for name, value in state.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
        assert read[name].numpy().tobytes() == value.contiguous().numpy().tobytes(), name
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["all.safetensors"]


def test_the_same_weights_and_provenance_give_the_same_bytes(tmp_path):
    notes = {f"key {index}": {"nested": [index]} for index in range(8)}
    for name in ("a", "b", "c"):
        write_weights(tmp_path / name, {"y": torch.ones(2), "x": torch.zeros(2)}, notes)
    assert len({(tmp_path / name).read_bytes() for name in ("a", "b", "c")}) == 1
    assert read_provenance(tmp_path / "a") == notes
    save_file({"x": torch.ones(1)}, tmp_path / "foreign.safetensors", metadata={"format": "pt"})
    assert read_provenance(tmp_path / "foreign.safetensors") == {}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "kept.safetensors"
    write_weights(path, {"x": torch.ones(1)})
    with pytest.raises(TypeError):
        write_weights(path, {"x": torch.ones(1)}, {"not plain": object()})
    assert read_weights(path)["x"] == 1
    (tmp_path / "folder.safetensors" / "inside").mkdir(parents=True)
    with pytest.raises(ValueError, match="could not be written"):
        write_weights(tmp_path / "folder.safetensors", {"x": torch.ones(1)})
    with pytest.raises(ValueError, match="could not be written"):
        write_weights(path / "below a file", {"x": torch.ones(1)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.safetensors", "kept.safetensors"]


def test_a_written_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_weights(tmp_path / "weights", {"x": torch.ones(1)})
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_destinations_are_checked_before_work_is_done(tmp_path):
    path = tmp_path / "there.safetensors"
    check_destination(path, overwrite=False)
    path.write_text("")
    check_destination(path, overwrite=True)
    with pytest.raises(ValueError, match="exists; give another name, or --overwrite"):
        check_destination(path, overwrite=False)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        check_destination(tmp_path / "new.pth", overwrite=False)


def test_long_lists_are_cut_and_counted():
    assert list_some(["a", "b"]) == "a, b"
    assert list_some([str(i) for i in range(20)], limit=3) == "0, 1, 2 and 17 more"
