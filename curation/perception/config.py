"""Which models of people are used, and where their files are; ``select.py`` builds them."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from configs.checks import check_choices
from configs.errors import ConfigError

KINDS = ("auto", "embedded", "installed")
DETECTORS = ("auto", "ultralytics", "torchvision", "embedded")


@dataclass(frozen=True, kw_only=True)
class PerceptionConfig:
    """The section ``perception`` of curation and of try-on; paths are relative to the work folder.

    Attributes:
        kind: embedded (from the package index), installed, or auto: each installed model that is
            there with its weights. ``perception=embedded`` is short for ``perception.kind``.
        detector: which one finds people; auto: ultralytics, else torchvision, else embedded.
        people_weights: torchvision's Keypoint R-CNN.
        yolo_weights: an ultralytics pose model.
        densepose_config: a YAML of detectron2's DensePose project; what it extends lies next to it.
        densepose_weights: the model zoo's .pkl or a .pth that fits it.
        parser_path: a transformers folder, a TorchScript file or an ONNX file.
        parser_labels: auto (the names in the folder's config.json), atr, lip or fashn.
        parser_channel_order: rgb or bgr; SCHP's own weights want bgr.
        device: of the installed models: cpu, cuda, cuda:1, ...
    """

    SHORTHAND: ClassVar[str] = "kind"
    kind: str = "auto"
    detector: str = "auto"
    people_weights: str = "weights/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"
    yolo_weights: str = "weights/yolo11m-pose.pt"
    densepose_config: str = "weights/densepose/densepose_rcnn_R_50_FPN_s1x.yaml"
    densepose_weights: str = "weights/densepose/model_final_162be9.pkl"
    parser_path: str = "weights/parser"
    parser_labels: str = "auto"
    parser_channel_order: str = "rgb"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_choices(self, kind=KINDS, detector=DETECTORS, parser_channel_order=("rgb", "bgr"))
        embedded = [name for name in (self.kind, self.detector) if name == "embedded"]
        if self.kind != "auto" and self.detector != "auto" and len(embedded) == 1:
            raise ConfigError(
                f"perception={self.kind} and perception.detector={self.detector} contradict each "
                "other; give perception=auto with that detector, or leave it out"
            )


def installed_version(package: str) -> str:
    """Version of a package; "not installed" if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
