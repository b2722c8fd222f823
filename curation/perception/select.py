"""Chooses a run's models of people once, logs the choice, and has it stored in every record."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from configs.errors import DataError
from curation.perception.completion import CompletedDetector
from curation.perception.config import PerceptionConfig
from curation.perception.detectron2_densepose import (
    INSTALL_COMMAND as INSTALL_DENSEPOSE,
)
from curation.perception.detectron2_densepose import Detectron2DensePose
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.embedded.weights import fetch_models
from curation.perception.human_parser import FileHumanParser
from curation.perception.parser_networks import INSTALL_ONNX, INSTALL_TRANSFORMERS
from curation.perception.protocols import (
    DensePoseEstimator,
    HumanParser,
    Perception,
    PersonDetector,
)
from curation.perception.torchvision_people import FETCH_COMMAND as FETCH_PEOPLE
from curation.perception.torchvision_people import TorchvisionDetector
from curation.perception.ultralytics_people import INSTALL_COMMAND as INSTALL_ULTRALYTICS
from curation.perception.ultralytics_people import UltralyticsDetector

logger = logging.getLogger(__name__)


def choose_perception(config: PerceptionConfig | None = None) -> Perception:
    """Choose the three models and log which were taken, why, and at what cost.

    Args:
        config: which kind, and where the weights are. ``embedded`` uses the models fetched from the
            package index; ``installed`` uses ultralytics or torchvision, detectron2 and a parser,
            and fails if one is missing; ``auto`` uses each of those that is available with its
            weights, and the embedded one otherwise. A detector that is named must be available.

    Raises:
        DataError: a package, its weights, or the embedded models are missing.
    """
    settings = PerceptionConfig() if config is None else config
    kind = settings.kind
    missing = {} if kind == "embedded" else missing_parts(settings)
    if kind == "installed" and any(missing.values()):
        raise DataError(
            "perception=installed, but "
            + "; ".join(reason for reason in missing.values() if reason)
        )

    if missing.get("detector") and settings.detector not in {"auto", "embedded"}:
        raise DataError(
            f"perception.detector={settings.detector}, but {missing['detector']}; or choose "
            "perception.detector=auto"
        )

    def is_installed(role: str) -> bool:
        if role == "detector" and settings.detector == "embedded":
            return False
        if kind == "auto" and missing[role]:
            logger.info("%s: embedded, because %s", role, missing[role])
        return kind != "embedded" and not missing[role]

    detector = _choose_detector(settings) if is_installed("detector") else EmbeddedDetector()
    densepose: DensePoseEstimator = (
        Detectron2DensePose(settings) if is_installed("densepose") else EmbeddedDensePose()
    )
    parser: HumanParser = FileHumanParser(settings) if is_installed("parser") else EmbeddedParser()
    needs_masks = densepose.info.is_approximate or parser.info.is_approximate
    if needs_masks and not isinstance(detector, EmbeddedDetector):
        detector = CompletedDetector(detector)
    perception = Perception(detector=detector, densepose=densepose, parser=parser)
    if any(info.is_approximate for info in perception.infos().values()):
        fetch_models()
    for role, info in perception.infos().items():
        cost = f" (approximate: {info.note})" if info.is_approximate else ""
        logger.info("%s: %s %s%s", role, info.name, info.version, cost)
    return perception


def _choose_detector(config: PerceptionConfig) -> PersonDetector:
    """The installed detector that is named, or the first that lacks nothing."""
    missing = missing_of_detectors(config)
    detector = next(name for name, reason in missing.items() if reason is None)
    return (UltralyticsDetector if detector == "ultralytics" else TorchvisionDetector)(config)


Steps = list[tuple[Callable[[], bool], str]]
"""What must hold, and what is missing otherwise."""


def missing_of_detectors(config: PerceptionConfig) -> dict[str, str | None]:
    """Installed detector -> what it lacks; only the one that ``config`` names, if it names one."""
    checks: dict[str, Steps] = {
        "ultralytics": [
            (lambda: _importable("ultralytics"), f"ultralytics is missing ({INSTALL_ULTRALYTICS})"),
            (lambda: _importable("lap"), f"lap is missing ({INSTALL_ULTRALYTICS})"),
            (lambda: Path(config.yolo_weights).is_file(), f"{config.yolo_weights} is missing"),
        ],
        "torchvision": [
            (
                lambda: Path(config.people_weights).is_file(),
                f"{config.people_weights} is missing ({FETCH_PEOPLE})",
            ),
        ],
    }
    is_named = config.detector in checks
    return {
        name: _first_missing(steps)
        for name, steps in checks.items()
        if not is_named or name == config.detector
    }


def missing_parts(config: PerceptionConfig) -> dict[str, str | None]:
    """Role -> what its installed model lacks, with the command that installs it; None: nothing."""
    detectors = missing_of_detectors(config).values()
    detector = None if None in detectors else " and ".join(str(reason) for reason in detectors)
    if detector is not None and len(detectors) > 1:
        detector += ", and one of the two is needed"
    checks: dict[str, Steps] = {
        "densepose": [
            (
                lambda: _importable("detectron2") and _importable("densepose"),
                f"detectron2 with DensePose is missing ({INSTALL_DENSEPOSE})",
            ),
            (
                lambda: Path(config.densepose_config).is_file(),
                f"{config.densepose_config} is missing",
            ),
            (
                lambda: Path(config.densepose_weights).is_file(),
                f"{config.densepose_weights} is missing",
            ),
        ],
        "parser": [
            (lambda: Path(config.parser_path).exists(), f"{config.parser_path} is missing"),
            (
                lambda: Path(config.parser_path).is_file() or _importable("transformers"),
                f"transformers is missing ({INSTALL_TRANSFORMERS})",
            ),
            (
                lambda: Path(config.parser_path).suffix != ".onnx" or _importable("onnxruntime"),
                f"onnxruntime is missing ({INSTALL_ONNX})",
            ),
        ],
    }
    return {
        "detector": detector,
        **{role: _first_missing(steps) for role, steps in checks.items()},
    }


def _first_missing(steps: Steps) -> str | None:
    return next((reason for is_there, reason in steps if not is_there()), None)


def _importable(package: str) -> bool:
    return find_spec(package) is not None
