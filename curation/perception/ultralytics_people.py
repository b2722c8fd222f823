"""People by ultralytics' YOLO pose models and its tracker (AGPL-3.0: an extra, imported lazily).

Written against ultralytics 8.4. It is given arrays, never paths, and reads weights from a local
file only; what its import changes for the whole process (thread counts) is put back.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from curation.perception.files import file_sha256
from curation.perception.protocols import BackendInfo, Person

INSTALL_COMMAND = "make setup-yolo"
ENVIRONMENT = {
    "YOLO_OFFLINE": "1",  # never look for weights or news on the network
    "YOLO_AUTOINSTALL": "0",
    "YOLO_VERBOSE": "false",
    "YOLO_CONFIG_DIR": tempfile.gettempdir(),
}


@dataclass(frozen=True, kw_only=True)
class UltralyticsConfig:
    """Which pose model, and when to believe it."""

    weights: str  # local .pt file of a pose model, such as yolo11m-pose.pt
    score_threshold: float = 0.35
    tracker: str = "bytetrack.yaml"  # comes with the package
    device: str = "cpu"


class UltralyticsDetector:
    """YOLO pose with tracking; tracks start anew with every call of ``detect``."""

    def __init__(self, config: UltralyticsConfig) -> None:
        self.config = config
        self._model: Any = None

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name=f"ultralytics-{Path(self.config.weights).stem}",
            version=_installed_version(),
            weights_sha256=file_sha256(self.config.weights),
            is_approximate=False,
        )

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame, best first; see ``PersonDetector``."""
        if self._model is None:
            self._model = load_model(self.config.weights)
        found = []
        with preserved_threads():
            for index, frame in enumerate(frames):
                result = self._model.track(
                    np.ascontiguousarray(frame[..., ::-1]),  # it takes BGR
                    persist=index > 0,  # False drops the tracks of the clip before
                    classes=[0],
                    conf=self.config.score_threshold,
                    tracker=self.config.tracker,
                    device=self.config.device,
                    verbose=False,
                )[0]
                found.append(people_from_result(result))
        return found


def people_from_result(result: Any) -> list[Person]:
    """One frame's ``ultralytics.engine.results.Results`` -> people, best score first."""
    if result.boxes is None or len(result.boxes) == 0:
        return []
    boxes = result.boxes.xyxy.cpu().numpy().astype(np.float32)
    scores = result.boxes.conf.cpu().numpy()
    tracks = None if result.boxes.id is None else result.boxes.id.cpu().numpy().astype(int)
    if result.keypoints is None:
        raise DataError("the ultralytics weights are not a pose model: take one named *-pose.pt")
    keypoints = result.keypoints.data.cpu().numpy().astype(np.float32)
    return [
        Person(
            box=boxes[i],
            score=float(scores[i]),
            keypoints=keypoints[i],
            track_id=None if tracks is None else int(tracks[i]),
        )
        for i in np.argsort(-scores, kind="stable")
    ]


def load_model(weights: str) -> Any:
    """The YOLO object of a local weights file.

    Raises:
        DataError: the package or the file is absent.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with preserved_threads():
        try:
            from ultralytics import YOLO  # type: ignore[import-not-found]  (an extra)
        except ImportError as error:
            raise DataError(
                f"ultralytics is not installed: {INSTALL_COMMAND} (AGPL-3.0), "
                "or choose perception=embedded"
            ) from error
        if not Path(weights).is_file():
            raise DataError(f"ultralytics weights {weights} do not exist")
        return YOLO(weights)


@contextmanager
def preserved_threads() -> Iterator[None]:
    """Put back OMP_NUM_THREADS and torch's thread count, which ultralytics sets process-wide."""
    import torch

    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = variable


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ultralytics")
    except PackageNotFoundError:
        return "not installed"
