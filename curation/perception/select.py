"""Chooses a run's models of people once, logs the choice, and has it stored in every record."""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from configs.errors import DataError
from curation.perception.config import PerceptionConfig
from curation.perception.detectron2_densepose import (
    INSTALL_COMMAND as INSTALL_DENSEPOSE,
)
from curation.perception.detectron2_densepose import Detectron2DensePose
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.embedded.completion import CompletedDetector
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
from curation.perception.ultralytics_people import INSTALL_COMMAND as INSTALL_ULTRALYTICS
from curation.perception.ultralytics_people import UltralyticsDetector

logger = logging.getLogger(__name__)


def choose_perception(config: PerceptionConfig | None = None) -> Perception:
    """Choose the three models and log which were taken, why, and at what cost.

    Args:
        config: which kind, and where the weights are. ``embedded`` uses the models fetched from the
            package index; ``installed`` uses ultralytics, detectron2 and a parser, and fails if one
            is missing; ``auto`` uses each of those that is available with its weights, and the
            embedded one otherwise.

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

    def is_installed(role: str) -> bool:
        if kind == "auto" and missing[role]:
            logger.info("%s: embedded, because %s", role, missing[role])
        return kind != "embedded" and not missing[role]

    detector: PersonDetector = (
        UltralyticsDetector(settings) if is_installed("detector") else EmbeddedDetector()
    )
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


def missing_parts(config: PerceptionConfig) -> dict[str, str | None]:
    """Role -> what its installed model lacks, with the command that installs it; None: nothing."""
    checks: dict[str, list[tuple[Callable[[], bool], str]]] = {
        "detector": [
            (lambda: _importable("ultralytics"), f"ultralytics is missing ({INSTALL_ULTRALYTICS})"),
            (lambda: _importable("lap"), f"lap is missing ({INSTALL_ULTRALYTICS})"),
            (lambda: Path(config.yolo_weights).is_file(), f"{config.yolo_weights} is missing"),
        ],
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
        role: next((reason for is_there, reason in steps if not is_there()), None)
        for role, steps in checks.items()
    }


def _importable(package: str) -> bool:
    return find_spec(package) is not None
