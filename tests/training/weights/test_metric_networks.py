"""Weights are found by name, checked, and refused when they are something else."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from configs.errors import DataError
from training.evaluation.suite import load_suite
from training.metrics.catalogue import METRICS
from training.metrics.i3d import InceptionI3d
from training.metrics.protocols import get_protocol
from training.metrics.resnext3d import ResNeXt3d101
from training.weights.catalogue import CATALOGUE
from training.weights.metric_networks import find_weights, load_i3d, load_lpips, load_resnext


@pytest.fixture(autouse=True)
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def constants(network: type[nn.Module]) -> dict[str, Tensor]:
    """Right keys and shapes, another number in each, and a small file: one is stored of each."""
    with torch.device("meta"):
        shapes = network().state_dict()
    return {
        key: torch.tensor(number, dtype=value.dtype).expand(value.shape)
        for number, (key, value) in enumerate(shapes.items())
    }


def test_absent_weights_are_a_stated_gap_and_no_other_network_takes_the_name() -> None:
    suite = load_suite(get_protocol("fixed"))
    gaps = {metric.key: suite.gap(metric) for metric in METRICS}
    assert suite.networks == {}
    assert suite.lpips is None
    assert gaps["ssim"] is None
    for key, file_name in (
        ("vfid_i3d", "i3d.pt"), ("kvd", "i3d.pt"), ("vfid_resnext", "resnext-101.pth"),
        ("lpips", "alexnet-owt-7be5be79.pth"),
    ):  # fmt: skip
        gap = gaps[key]
        assert gap is not None
        assert gap.startswith("weights absent")
        assert file_name in gap


def test_published_files_are_loaded_and_their_hash_is_recorded(weights_dir: Path) -> None:
    states = {"i3d": constants(InceptionI3d), "resnext": constants(ResNeXt3d101)}
    torch.save(states["i3d"], weights_dir / "i3d.pt")
    prefixed = {f"module.{key}": value for key, value in states["resnext"].items()}
    torch.save({"arch": "resnext-101", "state_dict": prefixed}, weights_dir / "resnext-101.pth")
    suite = load_suite(get_protocol("fixed"))
    digest = hashlib.sha256((weights_dir / "i3d.pt").read_bytes()).hexdigest()
    assert suite.weights_record()["i3d"]["sha256"] == digest
    assert "absent" in suite.weights_record()["alex"]
    for name, state in states.items():
        loaded = suite.networks[name].state_dict()
        assert all(torch.equal(value.cpu(), state[key]) for key, value in loaded.items())
        assert not suite.networks[name].training


def test_a_file_with_other_keys_is_refused_by_name(weights_dir: Path) -> None:
    state = InceptionI3d().state_dict()
    state.pop("Mixed_4c.b0.bn.weight")
    torch.save(state, weights_dir / "i3d.pt")
    with pytest.raises(DataError, match=r"not an InceptionI3d: it lacks Mixed_4c\.b0\.bn\.weight"):
        load_i3d(weights_dir / "i3d.pt")
    with pytest.raises(DataError, match="not a ResNeXt3d101: it lacks bn1"):
        load_resnext(weights_dir / "i3d.pt")
    with pytest.raises(DataError, match=r"is not alexnet-owt-7be5be79\.pth"):
        load_lpips("alex", weights_dir / "i3d.pt")


def test_a_file_cut_short_or_no_file_of_weights_is_refused(weights_dir: Path) -> None:
    torch.save(InceptionI3d().state_dict(), weights_dir / "whole.pt")
    content = (weights_dir / "whole.pt").read_bytes()
    (weights_dir / "i3d.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a readable file of weights"):
        load_i3d(weights_dir / "i3d.pt")
    (weights_dir / "i3d.pt").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not a readable file of weights"):
        load_i3d(weights_dir / "i3d.pt")
    torch.save([1, 2], weights_dir / "i3d.pt")
    with pytest.raises(DataError, match="a state dict is expected"):
        load_i3d(weights_dir / "i3d.pt")


def test_a_backbone_whose_content_is_not_what_its_name_says_is_refused(weights_dir: Path) -> None:
    (weights_dir / CATALOGUE["squeeze"].files[0].file).write_bytes(b"damaged")
    with pytest.raises(DataError, match="its name says b8a52dc0"):
        find_weights("squeeze")
