import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from configs.errors import ConfigError, DataError
from curation.perception.completion import CompletedDetector
from curation.perception.config import PerceptionConfig
from curation.perception.detectron2_densepose import (
    Detectron2DensePose,
    chart_to_iuv,
)
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.human_parser import FileHumanParser, name_hands
from curation.perception.parser_labels import TABLES
from curation.perception.protocols import BackendInfo, Person
from curation.perception.select import choose_perception, missing_parts
from curation.perception.ultralytics_people import (
    UltralyticsDetector,
    people_from_result,
    preserved_process,
)
from datasets.labels import ParseLabel

FRAME = np.zeros((64, 48, 3), np.uint8)


class BrightestChannel(torch.nn.Module):
    """A parser of 18 labels: upper clothes where red is, pants where blue is."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(images.shape[0], 18, images.shape[2] // 4, images.shape[3] // 4)
        small = torch.nn.functional.avg_pool2d(images, 4)
        logits[:, 4] = small[:, 0]
        logits[:, 6] = small[:, 2]
        return logits


@pytest.fixture
def parser_file(tmp_path: Path) -> Path:
    path = tmp_path / "parser.pt"
    traced = torch.jit.script(BrightestChannel())
    torch.jit.save(traced, str(path))
    return path


@pytest.mark.perception
def test_embedded_takes_the_embedded_models(embedded_models: Path) -> None:
    perception = choose_perception(PerceptionConfig(kind="embedded"))
    assert isinstance(perception.detector, EmbeddedDetector)
    assert isinstance(perception.densepose, EmbeddedDensePose)
    assert isinstance(perception.parser, EmbeddedParser)
    assert all(info.is_approximate and info.note for info in perception.infos().values())


@pytest.mark.perception
def test_auto_takes_a_parser_that_is_there_and_says_why_not_the_rest(
    embedded_models: Path, parser_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="curation.perception.select"):
        perception = choose_perception(PerceptionConfig(parser_path=str(parser_file)))
    assert isinstance(perception.parser, FileHumanParser)
    assert isinstance(perception.densepose, EmbeddedDensePose)
    assert "densepose: embedded, because detectron2 with DensePose is missing" in caplog.text
    assert "(approximate: 24 parts" in caplog.text


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages absent, whether or not this environment has them."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def test_installed_refuses_in_one_sentence_that_names_the_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "ultralytics", "detectron2")
    with pytest.raises(DataError, match=r"make setup-yolo.*make setup-densepose") as caught:
        choose_perception(PerceptionConfig(kind="installed"))
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'best'; accepted: auto, embedded, installed"):
        PerceptionConfig(kind="best")


def test_missing_weights_are_named(parser_file: Path, tmp_path: Path) -> None:
    config = PerceptionConfig(parser_path=str(parser_file))
    assert missing_parts(config)["parser"] is None
    gone = PerceptionConfig(parser_path=str(tmp_path / "no" / "parser"))
    assert missing_parts(gone)["parser"] == f"{tmp_path / 'no' / 'parser'} is missing"


def test_adapters_without_their_package_name_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "lap", "ultralytics", "detectron2", "transformers")
    with pytest.raises(DataError, match="lap is not installed: make setup-yolo"):
        UltralyticsDetector(PerceptionConfig(yolo_weights="yolo.pt")).detect([FRAME])
    densepose = Detectron2DensePose(
        PerceptionConfig(densepose_config="a.yaml", densepose_weights="b.pkl")
    )
    with pytest.raises(DataError, match=r"not installed .*make setup-densepose"):
        densepose.estimate([FRAME], [None])
    with pytest.raises(DataError, match="does not exist"):
        FileHumanParser(PerceptionConfig(parser_path=str(tmp_path / "x"))).parse([FRAME], [None])
    with pytest.raises(DataError, match=r"needs transformers: make setup-text"):
        FileHumanParser(PerceptionConfig(parser_path=str(tmp_path))).parse([FRAME], [None])


def test_adapters_describe_themselves_without_loading_anything(tmp_path: Path) -> None:
    weights = tmp_path / "yolo11m-pose.pt"
    weights.write_bytes(b"weights")
    info = UltralyticsDetector(PerceptionConfig(yolo_weights=str(weights))).info
    assert info.name == "ultralytics-yolo11m-pose"
    assert info.weights_sha256 is not None
    assert not info.is_approximate
    gone = Detectron2DensePose(
        PerceptionConfig(densepose_config="r50.yaml", densepose_weights="absent.pkl")
    ).info
    assert (gone.name, gone.weights_sha256) == ("detectron2-r50", None)


def test_a_torchscript_parser_is_read_and_its_labels_translated(
    parser_file: Path, standing_person: Person
) -> None:
    assert standing_person.mask is not None
    frame = np.zeros((*standing_person.mask.shape, 3), np.uint8)
    frame[:190, :, 0], frame[190:, :, 2] = 255, 255
    parser = FileHumanParser(PerceptionConfig(parser_path=str(parser_file), parser_labels="atr"))
    nobody, labels = parser.parse([frame, frame], [None, standing_person])
    assert not nobody.any()
    assert (labels[100:180, 60:140] == ParseLabel.UPPER).all()
    assert (labels[200:320, 60:140] == ParseLabel.LOWER).all()
    assert not labels[:, :2].any()  # outside the person's box


def test_a_parser_with_another_number_of_labels_is_refused(
    parser_file: Path, standing_person: Person
) -> None:
    parser = FileHumanParser(PerceptionConfig(parser_path=str(parser_file), parser_labels="lip"))
    with pytest.raises(DataError, match=r"18 labels, but perception\.parser_labels=lip has 20"):
        parser.parse([np.zeros((360, 200, 3), np.uint8)], [standing_person])


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a network")
    with pytest.raises(DataError, match="neither TorchScript nor ONNX"):
        FileHumanParser(PerceptionConfig(parser_path=str(path))).parse([FRAME], [None])


def test_label_tables_have_the_published_lengths() -> None:
    lengths = {name: len(table) for name, table in TABLES.items()}
    assert lengths == {"atr": 18, "lip": 20, "fashn": 18}
    with pytest.raises(ConfigError, match="parser_labels='coco'"):
        FileHumanParser(PerceptionConfig(parser_labels="coco"))
    with pytest.raises(ConfigError, match="parser_channel_order is 'gbr'; accepted: rgb, bgr"):
        PerceptionConfig(parser_channel_order="gbr")


def test_arm_pixels_beyond_the_wrist_are_hands(standing_person: Person) -> None:
    labels = np.full((360, 200), ParseLabel.ARMS, np.uint8)
    named = name_hands(labels, standing_person)
    assert named[190, 155] == ParseLabel.HANDS
    assert named[150, 148] == ParseLabel.ARMS
    assert named[20, 100] == ParseLabel.ARMS


class Chart:
    """The four maps of DensePose's head for one box, (1, channels, 112, 112)."""

    def __init__(self) -> None:
        self.coarse_segm = torch.zeros(1, 2, 112, 112)
        self.fine_segm = torch.zeros(1, 25, 112, 112)
        self.u = torch.zeros(1, 25, 112, 112)
        self.v = torch.zeros(1, 25, 112, 112)


def test_a_chart_becomes_the_best_part_and_that_parts_own_coordinates() -> None:
    chart = Chart()
    chart.coarse_segm[0, 1, :, 20:] = 1  # the left stripe is background
    chart.fine_segm[0, 5] = 1
    chart.u[0, 5], chart.v[0, 5], chart.u[0, 4] = 0.5, 1.7, 0.9
    iuv = chart_to_iuv(chart)
    assert iuv.shape == (112, 112, 3)
    assert (iuv[:, 20:] == (5, 128, 255)).all()
    assert not iuv[:, :20].any()


class Boxes:
    """The part of ultralytics' Boxes that the adapter reads."""

    def __init__(self, rows: list[list[float]]) -> None:
        data = torch.tensor(rows)
        self.xyxy, self.conf = data[:, :4], data[:, 4]

    def __len__(self) -> int:
        return len(self.xyxy)


class Keypoints:
    def __init__(self, count: int) -> None:
        self.data = torch.arange(count * 51, dtype=torch.float32).reshape(count, 17, 3)


class Result:
    def __init__(self, boxes: Boxes | None, keypoints: Keypoints | None) -> None:
        self.boxes, self.keypoints = boxes, keypoints


def test_yolo_results_become_people_best_first() -> None:
    result = Result(
        Boxes([[0, 0, 5, 9, 0.4], [10, 0, 20, 30, 0.9], [3, 3, 9, 9, 0.3]]), Keypoints(3)
    )
    people = people_from_result(result, {0: 7, 1: 3})
    assert [person.track_id for person in people] == [3, 7, None]
    assert people[0].keypoints[0, 0] == 51
    assert people_from_result(Result(None, None), {}) == []
    with pytest.raises(DataError, match="not a pose model"):
        people_from_result(Result(Boxes([[0, 0, 5, 9, 0.4]]), None), {})


def test_what_ultralytics_changes_in_the_process_is_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("KEPT", "mine")
    threads, open_picture, save = torch.get_num_threads(), Image.open, torch.save
    printed, filters = np.get_printoptions(), warnings.filters[:]
    tensor = str(torch.full((30,), 1 / 3))
    with preserved_process():
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ["KEPT"] = "theirs"
        torch.set_num_threads(threads + 1)
        monkeypatch.setattr(Image, "open", None)
        monkeypatch.setattr(torch, "save", None)
        np.set_printoptions(linewidth=320, formatter={"float_kind": "{:.5g}".format})
        torch.set_printoptions(linewidth=320, precision=4, profile="default")
        warnings.filterwarnings("ignore", category=FutureWarning, module="timm")
    assert Image.open is open_picture
    assert torch.save is save
    assert torch.get_num_threads() == threads
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["KEPT"] == "mine"
    assert np.get_printoptions() == printed
    assert str(torch.full((30,), 1 / 3)) == tensor
    assert warnings.filters == filters


class Complete:
    """A detector whose people need no completion."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.info = BackendInfo(name="x", version="1", weights_sha256=None, is_approximate=False)

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        return [[self.person], []]


def test_completion_leaves_whole_people_and_empty_frames_alone(standing_person: Person) -> None:
    detector = CompletedDetector(Complete(standing_person))
    assert detector.detect([FRAME, FRAME]) == [[standing_person], []]
    assert detector.info.name == "x"
