"""The adapter against torchvision's own network, with random weights and a smaller backbone.

With a louder person class it sees people somewhere, which is enough to hold shapes, channel order,
batches and tracks to what the adapter expects.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights

from configs.errors import ConfigError, DataError
from curation.perception import torchvision_people
from curation.perception.check import check_perception
from curation.perception.completion import CompletedDetector
from curation.perception.config import PerceptionConfig
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.protocols import BackendInfo, NamedModel, Perception, PersonDetector
from curation.perception.select import choose_perception, missing_parts
from curation.perception.torchvision_people import (
    NAME,
    TorchvisionDetector,
    build_network,
    people_from_result,
)
from curation.settings import CurateConfig

ABSENT = "absent/keypoints.pth"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights; while they are used, the network has a smaller backbone and input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision_people, "MIN_SIDE", 96)
        patch.setattr(torchvision_people, "BATCH_SIZE", 2)
        patch.setattr(torchvision_people, "MAX_PEOPLE", 3)
        patch.setattr(torchvision_people, "build_network", partial(build_network, "resnet18"))
        torch.manual_seed(0)
        model = torchvision_people.build_network()
        head = model.roi_heads.box_predictor
        torch.nn.init.normal_(head.cls_score.weight, std=0.05)
        head.cls_score.bias.data[:] = torch.tensor([0.0, 1.0])
        path = tmp_path_factory.mktemp("people") / "keypoints.pth"
        torch.save(model.state_dict(), path)
        yield path


@pytest.fixture(scope="module")
def detector(weights: Path) -> TorchvisionDetector:
    return TorchvisionDetector(PerceptionConfig(people_weights=str(weights)))


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    coarse[..., 2] //= 4  # red and blue differ: taken for each other, the network would notice
    return [np.ascontiguousarray(cv2.resize(coarse, (96, 128)))] * 3


def test_it_is_a_detector_and_says_what_it_is_without_loading(
    detector: TorchvisionDetector,
) -> None:
    assert isinstance(detector, PersonDetector)
    assert detector.info.name == NAME
    assert not detector.info.is_approximate
    assert detector.info.weights_sha256 is not None
    gone = TorchvisionDetector(PerceptionConfig(people_weights=ABSENT)).info
    assert gone.weights_sha256 is None


def test_people_have_boxes_in_the_frame_17_keypoints_and_scores_in_order(
    detector: TorchvisionDetector, frames: list[np.ndarray]
) -> None:
    found = detector.detect(frames)
    assert len(found) == 3
    assert found[0], "the louder class should make the network see somebody"
    for people in found:
        scores = [person.score for person in people]
        assert scores == sorted(scores, reverse=True)
        assert torchvision_people.SCORE_THRESHOLD <= min(scores) <= max(scores) <= 1
        for person in people:
            assert person.box.shape == (4,)
            assert person.box.dtype == person.keypoints.dtype == np.float32
            assert (person.box >= 0).all()
            assert (person.box <= [96, 128, 96, 128]).all()
            assert person.keypoints.shape == (17, 3)
            assert 0 <= person.keypoints[:, 2].min() <= person.keypoints[:, 2].max() <= 1


def test_a_still_person_keeps_the_number_and_a_new_scene_starts_anew(
    detector: TorchvisionDetector, frames: list[np.ndarray]
) -> None:
    first = detector.detect(frames)
    numbers = [[person.track_id for person in people] for people in first]
    assert numbers[0] == numbers[1] == numbers[2]
    assert sorted(numbers[0]) == list(range(len(numbers[0])))
    again = detector.detect(frames)
    assert [[person.track_id for person in people] for people in again] == numbers


def test_a_batch_gives_what_single_frames_give(
    detector: TorchvisionDetector, frames: list[np.ndarray]
) -> None:
    other = [frames[0], np.ascontiguousarray(frames[0][::-1])]
    together = detector.detect(other)
    alone = [detector.detect([frame])[0] for frame in other]
    assert not np.allclose(alone[0][0].box, alone[1][0].box, atol=0.05)
    for batched, single in zip(together, alone, strict=True):
        assert len(batched) == len(single)
        for a, b in zip(batched, single, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=0.05)
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.05)
    assert detector.detect([]) == []


def test_red_and_blue_reach_the_network_as_they_are(
    detector: TorchvisionDetector, weights: Path, frames: list[np.ndarray]
) -> None:
    model: Any = torchvision_people.load_model(weights)
    with torch.inference_mode():
        (expected,) = model([torch.from_numpy(frames[0]).permute(2, 0, 1) / 255])
    scores = [person.score for person in detector.detect(frames[:1])[0]]
    np.testing.assert_allclose(scores, expected["scores"].numpy(), atol=1e-5)
    swapped = detector.detect([np.ascontiguousarray(frames[0][..., ::-1])])[0]
    assert [person.score for person in swapped] != pytest.approx(scores, abs=1e-5)


def test_the_points_that_are_shown_are_those_above_the_networks_own_line() -> None:
    keypoints = torch.zeros(2, 17, 3)
    keypoints[..., 0], keypoints[..., 2] = 7.0, 1.0  # torchvision calls every point visible
    logits = torch.full((2, 17), 9.0)
    logits[1, :5] = torch.tensor([2.0, 1.0, -4.0, -900.0, 900.0])
    boxes = torch.tensor([[0.0, 0, 5, 9], [3, 3, 9, 9]])
    (best, other) = people_from_result(
        {"boxes": boxes, "labels": torch.ones(2), "scores": torch.tensor([0.5, 0.9]),
         "keypoints": keypoints, "keypoints_scores": logits}
    )  # fmt: skip
    assert (best.score, other.score) == pytest.approx((0.9, 0.5))
    assert best.box.tolist() == [3, 3, 9, 9]
    np.testing.assert_allclose(best.keypoints[:5, 2], [0.5, 0.269, 0.0025, 0, 1], atol=1e-3)
    assert (other.keypoints[:, 2] > 0.99).all()


def test_the_network_has_the_published_size() -> None:
    """Its keys and shapes are checked when they are fetched."""
    with torch.device("meta"):
        model: Any = build_network()
    published = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1
    assert sum(p.numel() for p in model.parameters()) == published.meta["num_params"]
    assert not any("num_batches_tracked" in key for key in model.state_dict())
    assert Path(PerceptionConfig().people_weights).name == Path(published.url).name


def test_files_that_do_not_fit_are_one_sentence_before_any_work(
    weights: Path, tmp_path: Path
) -> None:
    state: dict[str, Any] = torch.load(weights, weights_only=True)
    first, second, *_ = state
    faults: dict[str, tuple[Any, str]] = {
        "lacks.pth": ({first: state[first]}, f"it lacks {second}"),
        "shape.pth": (
            {first: torch.zeros(64, 5)},
            rf"{first} is \(64, 5\), expected \(64, 3, 7, 7\)",
        ),
        "more.pth": ({**state, "foo": torch.zeros(1)}, "it has the unknown key foo"),
        "list.pth": ([1, 2], "it holds a list"),
        "page.pth": (None, "cannot be read as weights"),
    }
    unknown = NamedModel(
        info=BackendInfo(name="embedded", version="1", weights_sha256=None, is_approximate=True)
    )
    for name, (content, told) in faults.items():
        path = tmp_path / name
        if content is None:
            path.write_text("<html>not found</html>")
        else:
            torch.save(content, path)
        broken: Any = TorchvisionDetector(PerceptionConfig(people_weights=str(path)))
        models: Any = {"detector": broken, "densepose": unknown, "parser": unknown}
        with pytest.raises(DataError, match=rf"{name} .*{told}.*FETCH=people") as caught:
            check_perception(Perception(**models))
        assert "\n" not in str(caught.value)


def test_a_named_detector_without_its_weights_is_refused() -> None:
    config = PerceptionConfig(detector="torchvision", people_weights=ABSENT)
    told = (
        rf"perception\.detector=torchvision, but {ABSENT} is missing \(make weights FETCH=people\)"
    )
    with pytest.raises(DataError, match=told):
        choose_perception(config)
    assert str(missing_parts(config)["detector"]).count("is missing") == 1
    with pytest.raises(
        DataError, match=r"setup-yolo.*FETCH=people\), and one of the two is needed"
    ):
        choose_perception(
            PerceptionConfig(kind="installed", people_weights=ABSENT, yolo_weights="x")
        )


@pytest.mark.parametrize(
    ("kind", "named"), [("embedded", "torchvision"), ("installed", "embedded")]
)
def test_settings_that_contradict_each_other_are_refused(kind: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"perception={kind} and perception.detector={named}"):
        PerceptionConfig(kind=kind, detector=named)
    with pytest.raises(ConfigError, match="accepted: auto, ultralytics, torchvision, embedded"):
        PerceptionConfig(detector="rcnn")


@pytest.mark.perception
def test_auto_takes_it_where_its_weights_are_and_completes_its_people(
    embedded_models: Path, weights: Path
) -> None:
    found = choose_perception(PerceptionConfig(people_weights=str(weights), yolo_weights=ABSENT))
    assert isinstance(found.detector, CompletedDetector)
    assert found.infos()["detector"].name == NAME
    embedded = PerceptionConfig(people_weights=str(weights), detector="embedded")
    assert isinstance(choose_perception(embedded).detector, EmbeddedDetector)


def test_on_a_cpu_it_gets_more_time() -> None:
    info = BackendInfo(name="embedded", version="1", weights_sha256=None, is_approximate=True)
    models: Any = dict.fromkeys(("detector", "densepose", "parser"), NamedModel(info=info))
    rcnn: Any = TorchvisionDetector(PerceptionConfig(people_weights=ABSENT))
    config = CurateConfig()
    usual = config.time_limit_s(2.0, Perception(**models))
    assert config.time_limit_s(2.0, Perception(**{**models, "detector": rcnn})) > 5 * usual
