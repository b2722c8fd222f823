"""The adapter against the real package: its own pose network, with random weights.

A random network lets its signal die away and sees nobody. With batch norms fitted to noise and a
louder person class it sees people somewhere, which is enough to hold shapes, channel order, batches
and tracks to what the adapter expects.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from configs.errors import DataError
from curation.perception.config import PerceptionConfig
from curation.perception.ultralytics_people import (
    ENVIRONMENT,
    UltralyticsDetector,
    new_tracker,
    preserved_process,
)

if find_spec("ultralytics") is None or find_spec("lap") is None:  # importing it changes the process
    pytest.skip("ultralytics is an extra: make setup-yolo", allow_module_level=True)


def write_weights(folder: Path, network: str) -> Path:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with preserved_process():
        from ultralytics import YOLO

        torch.manual_seed(0)
        model: Any = YOLO(network)
        for module in model.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model.model.train()
        with torch.no_grad():
            model.model(torch.rand(1, 3, 640, 480))
        model.model.eval()
        for branch in model.model.model[-1].cv3:  # class scores
            torch.nn.init.normal_(branch[-1].weight, std=0.5)
            branch[-1].bias.data[:] = -9.0
            branch[-1].bias.data[0] = -4.0
        path = folder / f"{Path(network).stem}.pt"
        model.save(str(path))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("yolo"), "yolo11n-pose.yaml")


@pytest.fixture(scope="module")
def detector(weights: Path) -> Iterator[UltralyticsDetector]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curation.perception.ultralytics_people.SCORE_THRESHOLD", 0.3)
        patch.setattr("curation.perception.ultralytics_people.BATCH_SIZE", 2)
        yield UltralyticsDetector(PerceptionConfig(yolo_weights=str(weights)))


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
    coarse[..., 2] //= 4  # red and blue differ: taken for each other, the network would notice
    return [np.ascontiguousarray(cv2.resize(coarse, (96, 128)))] * 3


def test_people_have_boxes_in_the_frame_17_keypoints_and_scores_in_order(
    detector: UltralyticsDetector, frames: list[np.ndarray]
) -> None:
    found = detector.detect(frames)
    assert len(found) == 3
    assert found[0], "the louder class should make the network see somebody"
    for people in found:
        scores = [person.score for person in people]
        assert scores == sorted(scores, reverse=True)
        assert 0.3 <= min(scores) <= max(scores) <= 1
        for person in people:
            assert person.box.shape == (4,)
            assert person.box.dtype == person.keypoints.dtype == np.float32
            assert (person.box >= 0).all()
            assert (person.box <= [96, 128, 96, 128]).all()
            assert person.keypoints.shape == (17, 3)
            assert 0 <= person.keypoints[:, 2].min() <= person.keypoints[:, 2].max() <= 1


def test_a_still_person_keeps_the_number_and_a_new_scene_starts_anew(
    detector: UltralyticsDetector, frames: list[np.ndarray]
) -> None:
    first = detector.detect(frames)
    numbers = [[person.track_id for person in people] for people in first]
    assert numbers[0] == numbers[1] == numbers[2]
    assert 1 in numbers[0]
    again = detector.detect(frames)
    assert [[person.track_id for person in people] for people in again] == numbers


def test_a_batch_gives_what_single_frames_give(
    weights: Path, detector: UltralyticsDetector, frames: list[np.ndarray]
) -> None:
    other = [frames[0], np.ascontiguousarray(frames[0][::-1])]
    together = detector.detect(other)
    alone = [detector.detect([frame])[0] for frame in other]
    for batched, single in zip(together, alone, strict=True):
        assert len(batched) == len(single)
        for a, b in zip(batched, single, strict=True):
            np.testing.assert_allclose(a.box, b.box, atol=0.05)
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=0.05)
    assert detector.detect([]) == []


def test_red_and_blue_reach_the_network_in_its_own_order(
    weights: Path, detector: UltralyticsDetector, frames: list[np.ndarray]
) -> None:
    from ultralytics import YOLO

    with preserved_process():
        model: Any = YOLO(str(weights))
        by_file = model.predict(frames[0][..., ::-1].copy(), conf=0.3, classes=[0], verbose=False)
    expected = by_file[0].boxes.conf.numpy()
    scores = [person.score for person in detector.detect(frames[:1])[0]]
    np.testing.assert_allclose(scores, np.sort(expected)[::-1], atol=1e-4)
    swapped = detector.detect([np.ascontiguousarray(frames[0][..., ::-1])])[0]
    assert [person.score for person in swapped] != pytest.approx(scores, abs=1e-4)


def test_the_process_keeps_its_threads(
    detector: UltralyticsDetector, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads(), cv2.getNumThreads()
    detector.detect(frames[:1])
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_model_without_keypoints_and_absent_files_are_refused(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    boxes_only = write_weights(tmp_path, "yolo11n.yaml")
    with pytest.raises(DataError, match=r"not a pose model of 17 keypoints"):
        UltralyticsDetector(PerceptionConfig(yolo_weights=str(boxes_only))).detect(frames[:1])
    with pytest.raises(DataError, match=r"weights .*absent\.pt do not exist"):
        UltralyticsDetector(PerceptionConfig(yolo_weights=str(tmp_path / "absent.pt"))).detect(
            frames
        )
    with pytest.raises(DataError, match=r"no tracker 'nosort\.yaml'; try bytetrack\.yaml"):
        new_tracker("nosort.yaml")


def test_pillow_opens_pictures_as_before(detector: UltralyticsDetector) -> None:
    detector.detect([np.zeros((64, 48, 3), np.uint8)])
    assert Image.open.__module__ == "PIL.Image"
