"""Models are tried before any work: what a loader raises is one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation.perception.check import check_device, check_perception
from curation.perception.config import PerceptionConfig
from curation.perception.human_parser import FileHumanParser
from curation.perception.protocols import BackendInfo, NamedModel, Perception
from curation.settings import CurateConfig

EMBEDDED = NamedModel(
    info=BackendInfo(name="embedded", version="1", weights_sha256=None, is_approximate=True)
)


class Broken:
    """An installed model whose package raises something of its own."""

    info = BackendInfo(name="broken", version="2", weights_sha256=None, is_approximate=False)

    def detect(self, frames: Any) -> Any:
        raise RuntimeError("expected 3 channels\nbut found 4")


def perception(**models: Any) -> Perception:
    given: dict[str, Any] = dict.fromkeys(("detector", "densepose", "parser"), EMBEDDED)
    return Perception(**(given | models))


def test_embedded_models_are_not_run() -> None:
    check_perception(perception())


def test_what_a_foreign_model_raises_is_one_sentence() -> None:
    told = (
        r"detector: broken 2 fails on a first frame \(RuntimeError: expected 3 channels\); check "
        r"perception\.yolo_weights"
    )
    with pytest.raises(DataError, match=told) as caught:
        check_perception(perception(detector=Broken()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(DataError, match=rf"perception\.device={device} cannot be used") as caught:
        check_device(device)
    assert "\n" not in str(caught.value)
    check_device("cpu")


def test_a_parser_with_too_few_labels_is_refused_before_work(tmp_path: Path) -> None:
    path = tmp_path / "parser.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 7, 1), torch.zeros(1, 3, 8, 8)), str(path))
    config = PerceptionConfig(parser_path=str(path), parser_labels="atr")
    with pytest.raises(DataError, match="returns 7 labels"):
        check_perception(perception(parser=FileHumanParser(config)), config)
    given = replace(config, parser_labels="auto")
    with pytest.raises(DataError, match="does not name its labels"):
        check_perception(perception(parser=FileHumanParser(given)), given)


def test_curation_takes_the_keys_of_weights_over_by_their_new_name() -> None:
    config = load_config(CurateConfig, None, ["weights.device=cuda", "perception=installed"])
    assert config.perception == PerceptionConfig(kind="installed", device="cuda")
    assert config.weights is None
    with pytest.raises(ConfigError, match=r"weights\.\* is now called perception\.\*"):
        load_config(CurateConfig, None, ["weights.device=cuda", "perception.device=cuda:1"])


def test_detectron2_on_a_cpu_gets_more_time() -> None:
    exact = NamedModel(info=replace(EMBEDDED.info, is_approximate=False))
    config = load_config(CurateConfig, None, [])
    assert config.time_limit_s(2.0, perception()) == 120 + 2 * 60
    assert config.time_limit_s(2.0, perception(densepose=exact)) == 120 + 2 * 600
    on_gpu = load_config(CurateConfig, None, ["perception.device=cuda"])
    assert on_gpu.time_limit_s(2.0, perception(densepose=exact)) == 120 + 2 * 60
