"""One frame through every model of a run before any work, so that a bad file is one sentence."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from configs.errors import DataError, UserError
from curation.perception.config import PerceptionConfig
from curation.perception.protocols import (
    ARBITER_HEIGHT,
    ARBITER_WIDTH,
    ARBITER_WINDOW,
    BackendInfo,
    Perception,
    Person,
)
from curation.perception.torchvision_people import NAME as TORCHVISION

logger = logging.getLogger(__name__)

HEIGHT, WIDTH = 256, 192
KEYS = {
    "detector": "perception.yolo_weights",
    TORCHVISION: "perception.people_weights",
    "densepose": "perception.densepose_config and perception.densepose_weights",
    "parser": "perception.parser_path",
}
"""What names the files of a model by its name, or else of each role's installed model."""


def check_perception(perception: Perception, config: PerceptionConfig | None = None) -> None:
    """Load every installed model and show it one frame; embedded models need no check.

    Curation does so in each worker as it starts, where the models stay loaded.

    Args:
        perception: the models; they stay loaded.
        config: where they are from; names the device.

    Raises:
        DataError: a model cannot be loaded, does not fit its adapter, or its device is absent.
    """
    settings = PerceptionConfig() if config is None else config
    infos = perception.infos()
    exact = {role for role, info in infos.items() if not info.is_approximate}
    if exact - {"arbiter"}:
        check_device(settings.device)
    frame, person = _frame(), _person()
    trials: dict[str, Callable[[], Any]] = {
        "detector": lambda: perception.detector.detect([frame]),
        "densepose": lambda: perception.densepose.estimate([frame], [person]),
        "parser": lambda: perception.parser.parse([frame], [person]),
    }
    if perception.arbiter is not None:
        small = np.zeros((ARBITER_WINDOW, ARBITER_HEIGHT, ARBITER_WIDTH, 3), np.uint8)
        arbiter = perception.arbiter
        trials["arbiter"] = lambda: arbiter.judge(small)
    for role, trial in trials.items():
        if role in exact:
            _try(role, infos[role], trial)


def check_device(device: str) -> None:
    """Reject a device that torch does not know or this machine lacks.

    Raises:
        DataError: as said.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DataError(
            f"perception.device={device} cannot be used ({_first_line(error)}); "
            "give cpu, or cuda on a machine with a GPU"
        ) from error


def _try(role: str, info: BackendInfo, trial: Callable[[], Any]) -> None:
    try:
        trial()
    except UserError:
        raise
    except MemoryError as error:
        raise DataError(f"{role}: {info.name} does not fit into memory") from error
    except Exception as error:  # whatever a foreign loader raises is the file's or the set-up's
        keys = KEYS.get(info.name) or KEYS.get(role)
        named = f"; check {keys}, or choose perception=embedded" if keys else ""
        raise DataError(
            f"{role}: {info.name} {info.version} fails on a first frame "
            f"({type(error).__name__}: {_first_line(error)}){named}"
        ) from error
    logger.info("%s: %s has seen a first frame", role, info.name)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


def _frame() -> np.ndarray:
    """A bright body-like shape on gray; nothing depends on what a model sees in it."""
    frame = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
    frame[40:230, 70:122] = (200, 160, 140)
    return frame


def _person() -> Person:
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:, 0] = WIDTH / 2
    keypoints[:, 1] = np.linspace(45, 225, 17)
    keypoints[:, 2] = 1
    return Person(box=np.array([60, 30, 132, 240], np.float32), score=1.0, keypoints=keypoints)
