"""Both VFID networks against features that the public evaluation code computed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.metrics.i3d import InceptionI3d
from training.metrics.resnext3d import ResNeXt3d101

GOLDEN = Path(__file__).parents[2] / "golden"
NETWORKS = {"i3d": InceptionI3d, "resnext": ResNeXt3d101}


def formula_state(module: nn.Module) -> dict[str, Tensor]:
    """Weights by the formula of vfid_golden.json."""
    state = module.state_dict()
    made: dict[str, Tensor] = {}
    for k, key in enumerate(sorted(state)):
        value = state[key]
        if key.endswith("num_batches_tracked"):
            made[key] = value
            continue
        i = np.arange(value.numel(), dtype=np.float64)
        h = np.sin(12.9898 * i + 0.7 * k) * 43758.5453
        u = 2 * (h - np.floor(h)) - 1
        if key.endswith("running_var"):
            filled = 1 + 0.25 * u
        elif key.endswith("running_mean"):
            filled = 0.1 * u
        elif value.ndim == 1:
            filled = 1 + 0.1 * u if key.endswith("weight") else 0.05 * u
        else:
            filled = u * math.sqrt(6 / value[0].numel())
        made[key] = torch.from_numpy(filled.astype(np.float32)).reshape(value.shape)
    return made


def formula_clip(seed: int) -> Tensor:
    i = np.arange(3 * 10 * 224 * 224, dtype=np.float64)
    x = 0.5 + 0.25 * np.sin(0.0137 * i + seed)
    x += 0.25 * np.sin(0.00093 * i * (1 + 0.1 * seed))
    clip = torch.from_numpy(np.clip(x, 0, 1).astype(np.float32)).reshape(1, 3, 10, 224, 224)
    return 2 * clip - 1


@pytest.mark.parametrize("arch", ["i3d", "resnext"])
def test_features_equal_those_of_the_public_evaluation_code(arch: str) -> None:
    cases = json.loads((GOLDEN / "vfid_golden.json").read_text())["cases"]
    cases = [case for case in cases if case["arch"] == arch]
    network = NETWORKS[arch]()
    network.load_state_dict(formula_state(network))
    with torch.no_grad():
        features = network.features(torch.cat([formula_clip(case["seed"]) for case in cases]))
    assert len(cases) == 2
    for case, feature in zip(cases, features.double(), strict=True):
        assert feature.shape == (case["dim"],)
        scale = case["l2"] / math.sqrt(case["dim"])
        assert float(feature.mean()) == pytest.approx(case["mean"], rel=1e-4)
        assert float(feature.std()) == pytest.approx(case["std"], rel=1e-4)
        assert float(feature.norm()) == pytest.approx(case["l2"], rel=1e-4)
        assert feature[:32].tolist() == pytest.approx(case["first32"], rel=1e-4, abs=1e-5 * scale)
        assert feature[-8:].tolist() == pytest.approx(case["last8"], rel=1e-4, abs=1e-5 * scale)


@pytest.mark.parametrize("arch", ["i3d", "resnext"])
def test_state_dict_keys_are_the_published_ones(arch: str) -> None:
    published = json.loads((GOLDEN / f"{arch}_keys.json").read_text())
    with torch.device("meta"):
        ours = NETWORKS[arch]().state_dict()
    assert {key: list(value.shape) for key, value in ours.items()} == published


def test_a_clip_has_the_same_features_alone_and_in_a_batch() -> None:
    network = InceptionI3d()
    clips = torch.cat([formula_clip(0), formula_clip(1)])
    with torch.no_grad():
        together, alone = network.features(clips), network.features(clips[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-5, atol=1e-6)
