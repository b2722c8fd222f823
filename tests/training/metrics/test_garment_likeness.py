"""DINOv2 against transformers' numbers, garments cut out on white, and their likeness."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from configs.errors import DataError
from training.evaluation.suite import load_suite
from training.metrics.dinov2 import (
    DinoConfig,
    DinoVisionTransformer,
    PictureFeatures,
    published_state,
)
from training.metrics.garment_likeness import (
    GARMENT_LIKENESS,
    GARMENT_LIKENESS_LOWEST,
    crop_on_white,
)
from training.metrics.metric import VideoInputs
from training.metrics.protocols import get_protocol
from training.weights.metric_networks import load_dinov2

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "dinov2_golden.json").read_text())
TINY = DinoConfig(dim=32, depth=2, num_heads=4, grid=5)


def formula_values(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """The weights with which the golden file was made, by Hugging Face's keys."""
    made: dict[str, Tensor] = {}
    for k, key in enumerate(sorted(shapes)):
        shape = shapes[key]
        h = np.sin(12.9898 * np.arange(math.prod(shape), dtype=np.float64) + 0.7 * k) * 43758.5453
        u = 2 * (h - np.floor(h)) - 1
        if len(shape) == 1:
            filled = 1 + 0.5 * u if key.endswith(("lambda1", "weight")) else 0.1 * u
        elif "embeddings" in key and "projection" not in key:
            filled = u
        else:
            filled = u * math.sqrt(3 / math.prod(shape[1:]))
        made[key] = torch.from_numpy(filled.astype(np.float32)).reshape(shape)
    return made


def formula_images(height: int, width: int) -> Tensor:
    i = np.arange(2 * 3 * height * width, dtype=np.float64)
    values = (np.sin(0.137 * i) + np.sin(0.0093 * i)).astype(np.float32)
    return torch.from_numpy(values).reshape(2, 3, height, width)


@pytest.fixture(scope="module")
def network() -> DinoVisionTransformer:
    network = DinoVisionTransformer(TINY)
    network.load_state_dict(published_state(formula_values(GOLDEN["keys"])))
    return network.eval()


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['height']}x{c['width']}")
def test_features_equal_transformers(network: DinoVisionTransformer, case: dict[str, Any]) -> None:
    with torch.no_grad():
        features = network(formula_images(case["height"], case["width"]))
    torch.testing.assert_close(features, torch.tensor(case["features"]), atol=2e-5, rtol=0)


def test_the_published_files_keys_of_either_kind_are_those_of_the_network() -> None:
    with torch.device("meta"):
        own = DinoVisionTransformer().state_dict()
        theirs = {key: torch.empty(shape) for key, shape in GOLDEN["base_keys"].items()}
    renamed = published_state(theirs)
    assert {key: value.shape for key, value in renamed.items()} == {
        key: value.shape for key, value in own.items()
    }
    assert published_state(dict(own)).keys() == own.keys()


def test_weights_are_found_in_either_file_and_absent_ones_are_a_stated_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(
        "training.weights.metric_networks.DinoVisionTransformer",
        lambda: DinoVisionTransformer(TINY),
    )
    suite = load_suite(get_protocol("fixed"))
    gap = suite.gap(GARMENT_LIKENESS)
    assert gap is not None
    assert gap.startswith("weights absent: `make weights FETCH=dinov2`")
    assert "dinov2-base/model.safetensors" in gap
    assert suite.features is None
    assert "absent" in suite.weights_record()["dinov2"]
    state = formula_values(GOLDEN["keys"])
    torch.save(published_state(state), tmp_path / "dinov2_vitb14_pretrain.pth")
    (tmp_path / "dinov2-base").mkdir()
    found = [load_suite(get_protocol("fixed"))]
    save_file(state, tmp_path / "dinov2-base" / "model.safetensors")
    found.append(load_suite(get_protocol("fixed")))
    files = [Path(suite.weights_record()["dinov2"]["file"]).name for suite in found]
    assert files == ["dinov2_vitb14_pretrain.pth", "model.safetensors"]
    pictures = np.random.default_rng(0).integers(0, 255, (3, 224, 224, 3), np.uint8)
    one, other = (suite.features.of(pictures) for suite in found if suite.features)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1)


def test_another_networks_file_is_refused_by_the_first_wrong_key(tmp_path: Path) -> None:
    save_file(formula_values(GOLDEN["keys"]), tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"not DINOv2 ViT-B/14: it lacks blocks\.10\.attn\.proj"):
        load_dinov2(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="not a readable safetensors file"):
        load_dinov2(tmp_path / "model.safetensors")


def test_a_crop_holds_the_garment_alone_in_the_middle_of_white() -> None:
    picture = np.full((60, 90, 3), 40, np.uint8)
    area = np.zeros((60, 90), bool)
    area[10:50, 20:40] = True
    area[20:30, 25:35] = False  # an arm in front of it
    picture[area] = (200, 30, 30)
    crop = crop_on_white(picture, area, 44)
    coloured = np.argwhere((crop != 255).any(axis=-1))
    assert coloured.min(axis=0).tolist() == [2, 12]  # a rim of 5 %, and the aspect kept
    assert coloured.max(axis=0).tolist() == [41, 31]
    np.testing.assert_array_equal(crop[5, 20], (200, 30, 30))
    np.testing.assert_array_equal(crop[17, 22], (255, 255, 255))
    assert not (crop == 40).all(axis=-1).any()
    assert crop_on_white(picture, area, 224).shape == (224, 224, 3)
    area[2:4, 80:85] = True  # a speck far away
    np.testing.assert_array_equal(crop_on_white(picture, area, 44), crop)


def inputs(network: DinoVisionTransformer, prediction: np.ndarray, **changes: Any) -> VideoInputs:
    """Four frames; the garment is everywhere but in a rim of 6 pixels, and absent from the last."""
    region = np.zeros(prediction.shape[:3], bool)
    region[:-1, 6:-6, 6:-6] = True
    return VideoInputs(
        prediction=prediction, source=prediction, truth=None,
        mask=region.astype(np.uint8) * 255, garment_region=region, pairing="unpaired",
        garment=np.pad(striped()[6:-6, 6:-6], ((9, 9), (9, 9), (0, 0)), constant_values=255),
        protocol=get_protocol("fixed"), features=PictureFeatures(network), **changes,
    )  # fmt: skip


def striped(period: int = 16) -> np.ndarray:
    stripes = np.where(np.arange(76) // (period // 2) % 2 == 0, 230, 40)
    return np.repeat(np.repeat(stripes[:, None, None], 76, 1), 3, 2).astype(np.uint8)


def test_the_same_garment_is_alike_and_one_bad_frame_shows_in_the_lowest(
    network: DinoVisionTransformer,
) -> None:
    assert GARMENT_LIKENESS.compute is not None
    assert GARMENT_LIKENESS_LOWEST.compute is not None
    right = np.stack([striped()] * 4)
    given = inputs(network, right)
    mean, lowest = GARMENT_LIKENESS.compute(given), GARMENT_LIKENESS_LOWEST.compute(given)
    assert mean.value == pytest.approx(1, abs=1e-6)
    assert lowest.value == pytest.approx(1, abs=1e-6)
    assert mean.per_frame is not None
    assert mean.per_frame[3] is None  # no garment there
    wrong = right.copy()
    wrong[1] = striped(6).transpose(1, 0, 2)
    given = inputs(network, wrong)
    mean, lowest = GARMENT_LIKENESS.compute(given), GARMENT_LIKENESS_LOWEST.compute(given)
    assert mean.per_frame is not None
    assert mean.per_frame[1] is not None
    assert lowest.value == pytest.approx(mean.per_frame[1], abs=1e-5)
    assert lowest.value is not None
    assert lowest.value < 0.98
    assert mean.value == pytest.approx((2 + lowest.value) / 3, abs=1e-5)


def test_a_video_without_the_garment_has_no_likeness(network: DinoVisionTransformer) -> None:
    assert GARMENT_LIKENESS_LOWEST.compute is not None
    given = inputs(network, np.stack([striped()]))
    assert GARMENT_LIKENESS_LOWEST.compute(given).value is None
