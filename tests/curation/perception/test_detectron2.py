"""The adapter against the real detectron2 and DensePose, with random weights, where installed."""

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import DataError
from curation.perception.check import HEIGHT, WIDTH
from curation.perception.config import PerceptionConfig
from curation.perception.detectron2_densepose import Detectron2DensePose
from curation.perception.protocols import Person

if find_spec("detectron2") is None or find_spec("densepose") is None:
    pytest.skip("detectron2 is an extra: make setup-densepose", allow_module_level=True)

SMALL = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  BACKBONE: {NAME: build_resnet_fpn_backbone}
  RESNETS: {OUT_FEATURES: [res2, res3, res4, res5], RES2_OUT_CHANNELS: 64, DEPTH: 18}
  FPN: {IN_FEATURES: [res2, res3, res4, res5], OUT_CHANNELS: 16}
  ANCHOR_GENERATOR: {SIZES: [[32], [64], [128], [256], [512]]}
  RPN: {IN_FEATURES: [p2, p3, p4, p5, p6]}
  DENSEPOSE_ON: true
  ROI_HEADS: {NAME: DensePoseROIHeads, IN_FEATURES: [p2, p3, p4, p5], NUM_CLASSES: 1}
  ROI_BOX_HEAD: {NAME: FastRCNNConvFCHead, NUM_FC: 1, FC_DIM: 16, POOLER_RESOLUTION: 7}
  ROI_DENSEPOSE_HEAD:
    NAME: DensePoseV1ConvXHead
    POOLER_TYPE: ROIAlign
    NUM_COARSE_SEGM_CHANNELS: 2
    CONV_HEAD_DIM: 16
    NUM_STACKED_CONVS: 1
    HEATMAP_SIZE: %d
    POOLER_RESOLUTION: %d
    DECODER_ON: false
INPUT: {MIN_SIZE_TEST: 96}
VERSION: 2
"""


def write_model(folder: Path, grid: int = 112, **changed: Any) -> PerceptionConfig:
    """A small network's YAML and weights; ``changed``: tensors whose name holds a word."""
    import torch
    from densepose import add_densepose_config
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    folder.mkdir(exist_ok=True)
    (folder / "base.yaml").write_text(SMALL % (grid, grid // 4))
    (folder / "small.yaml").write_text("_BASE_: base.yaml\n")
    settings = get_cfg()
    add_densepose_config(settings)
    settings.merge_from_file(str(folder / "small.yaml"))
    settings.MODEL.DEVICE = "cpu"
    torch.manual_seed(0)
    model = {name: value.numpy() for name, value in build_model(settings).state_dict().items()}
    for word, value in changed.items():
        for name in [name for name in model if word in name]:
            del model[name]
            if value is not None:
                model[name] = value
    content = {"model": model, "__author__": "a test", "matching_heuristics": True}
    (folder / "model.pkl").write_bytes(pickle.dumps(content, protocol=2))
    return PerceptionConfig(
        densepose_config=str(folder / "small.yaml"), densepose_weights=str(folder / "model.pkl")
    )


def estimate(config: PerceptionConfig) -> Any:
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    box = np.array([60, 30, 132, 240], np.float32)
    person = Person(box=box, score=1.0, keypoints=np.zeros((17, 3), np.float32))
    return Detectron2DensePose(config).estimate([frame, frame], [person, None])


@pytest.mark.parametrize("grid", [112, 56])
def test_fitting_weights_give_a_grid_of_112(tmp_path: Path, grid: int) -> None:
    found, nobody = estimate(write_model(tmp_path / "m", grid))
    assert nobody is None
    assert found.iuv.shape == (112, 112, 3)
    assert found.iuv[..., 0].max() > 0


def test_weights_that_do_not_fit_are_refused_by_what_is_missing(tmp_path: Path) -> None:
    config = write_model(tmp_path / "a", densepose_head=None)
    with pytest.raises(DataError, match=r"tensors are missing, such as roi_heads\.densepose_head"):
        estimate(config)
    config = write_model(tmp_path / "b", ann_index_lowres=np.zeros(3, np.float32))
    with pytest.raises(DataError, match=r"another shape, such as roi_heads\.densepose_predictor"):
        estimate(config)


def test_a_missing_base_and_a_cse_configuration_are_one_sentence(tmp_path: Path) -> None:
    config = write_model(tmp_path / "m")
    small = Path(config.densepose_config)
    small.write_text(
        "_BASE_: base.yaml\nMODEL: {ROI_DENSEPOSE_HEAD: {PREDICTOR_NAME: DensePoseEmbedding}}\n"
    )
    with pytest.raises(DataError, match=r"gives no I, U, V \(CSE configurations do not\)"):
        estimate(config)
    small.write_text("_BASE_: absent.yaml\n")
    with pytest.raises(DataError, match=r"small\.yaml extends .*absent\.yaml, which does not exis"):
        estimate(config)
    small.write_text("MODEL: !!python/object/apply:os.mkdir [evil]\n")
    with pytest.raises(DataError, match=r"is no configuration of DensePose"):
        estimate(config)
    assert not Path("evil").exists()
