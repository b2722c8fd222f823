"""People by ultralytics' YOLO pose models and its trackers (AGPL-3.0: an extra, imported lazily).

Written against ultralytics 8.4. It is given batches of arrays, never paths, and reads weights from
a local file only; its trackers run on the detections, a new one for each scene. The changes it
makes to the process are undone (``preserved_process``).
"""

import copy
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from configs.errors import DataError
from curation.perception.config import PerceptionConfig, installed_version
from curation.perception.protocols import BackendInfo, Person
from datasets.storage import sha256_read_once

INSTALL_COMMAND = "make setup-yolo"
ENVIRONMENT = {
    "YOLO_OFFLINE": "1",  # never check the network for weights or updates
    "YOLO_AUTOINSTALL": "0",
    "YOLO_VERBOSE": "false",
    "YOLO_CONFIG_DIR": tempfile.gettempdir(),
}
SCORE_THRESHOLD = 0.35
BATCH_SIZE = 16
TRACKER = "bytetrack.yaml"  # included in the package; needs no features
TRACKER_FLOOR = 0.1  # trackers continue with weak detections (ultralytics' own default for them)


class UltralyticsDetector:
    """YOLO pose with tracking; every call of ``detect`` starts new tracks."""

    def __init__(self, config: PerceptionConfig) -> None:
        self.config = config
        self._model: Any = None

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name=f"ultralytics-{Path(self.config.yolo_weights).stem}",
            version=installed_version("ultralytics"),
            weights_sha256=sha256_read_once(Path(self.config.yolo_weights)),
            is_approximate=False,
        )

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame, best first; see ``PersonDetector``."""
        if self._model is None:
            self._model = load_model(self.config.yolo_weights)
        found: list[list[Person]] = []
        with preserved_process():
            tracker = new_tracker(TRACKER)
            for start in range(0, len(frames), BATCH_SIZE):
                batch = frames[start : start + BATCH_SIZE]
                results = self._model.predict(
                    [np.ascontiguousarray(frame[..., ::-1]) for frame in batch],  # it expects BGR
                    classes=[0],
                    conf=min(TRACKER_FLOOR, SCORE_THRESHOLD),
                    device=self.config.device,
                    verbose=False,
                )
                for result in results:
                    people = people_from_result(result, track_ids(result, tracker))
                    found.append([p for p in people if p.score >= SCORE_THRESHOLD])
        return found


def track_ids(result: Any, tracker: Any) -> dict[int, int]:
    """Row of a detection -> number of its track; rows without a track are absent."""
    tracks = tracker.update(result.boxes.cpu().numpy(), result.orig_img)
    # rows of x1, y1, x2, y2, track, score, class, row of the detection
    return {int(row[7]): int(row[4]) for row in tracks}


def people_from_result(result: Any, tracks: dict[int, int]) -> list[Person]:
    """One frame's ``ultralytics.engine.results.Results`` -> people, best score first.

    Raises:
        DataError: the model returns boxes but not 17 keypoints.
    """
    if result.boxes is None or len(result.boxes) == 0:
        return []
    boxes = result.boxes.xyxy.cpu().numpy().astype(np.float32)
    scores = result.boxes.conf.cpu().numpy()
    if result.keypoints is None or tuple(result.keypoints.data.shape[1:]) != (17, 3):
        raise DataError(
            "the ultralytics weights are not a pose model of 17 keypoints: use one named *-pose.pt"
        )
    keypoints = result.keypoints.data.cpu().numpy().astype(np.float32)
    return [
        Person(
            box=boxes[i],
            score=float(scores[i]),
            keypoints=keypoints[i],
            track_id=tracks.get(int(i)),
        )
        for i in np.argsort(-scores, kind="stable")
    ]


def new_tracker(name: str) -> Any:
    """A tracker with empty memory, by the name of its settings file in ultralytics.

    Raises:
        DataError: no such settings.
    """
    from ultralytics.trackers.track import TRACKER_MAP  # pyright: ignore[reportMissingImports]
    from ultralytics.utils import YAML, IterableSimpleNamespace  # pyright: ignore[reportMissingImports]
    from ultralytics.utils.checks import check_yaml  # pyright: ignore[reportMissingImports]

    try:
        settings = IterableSimpleNamespace(**YAML.load(str(check_yaml(name))))
    except FileNotFoundError as error:
        raise DataError(f"ultralytics has no tracker {name!r}; try bytetrack.yaml") from error
    settings.device = "cpu"
    return TRACKER_MAP[settings.tracker_type](args=settings)


def load_model(weights: str) -> Any:
    """The YOLO object of a local weights file.

    Raises:
        DataError: a package or the file is missing, or the file is not one of ultralytics.
    """
    with preserved_process():
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import lap  # pyright: ignore[reportMissingImports]  # noqa: F401  (of its trackers)
            from ultralytics import YOLO  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise DataError(
                f"{error.name or 'ultralytics'} is not installed: {INSTALL_COMMAND} (AGPL-3.0), "
                "or choose perception=embedded"
            ) from error
        if not Path(weights).is_file():
            raise DataError(f"ultralytics weights {weights} do not exist")
        try:
            return YOLO(weights)
        except Exception as error:  # whatever unpickling raises
            first = (str(error).splitlines() or [""])[0]
            raise DataError(
                f"ultralytics cannot read {weights} ({type(error).__name__}: {first}); "
                "take a pose model such as yolo11m-pose.pt"
            ) from error


@contextmanager
def preserved_process() -> Iterator[None]:
    """Undo what importing and running ultralytics changes in the process.

    Environment variables, warning filters, the thread counts of torch and OpenCV, how numpy and
    torch print, ``torch.save``, and Pillow's ``Image.open``, which is replaced by one that tries to
    install a package when a file is not a picture.
    """
    import torch
    from torch._tensor_str import PRINT_OPTS  # torch has a setter alone

    variables = dict(os.environ)
    arrays, tensors = np.get_printoptions(), copy.copy(PRINT_OPTS)
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    save, open_picture = torch.save, Image.open
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.save, Image.open = save, open_picture
        torch.set_num_threads(threads)
        cv2.setNumThreads(opencv_threads)
        np.set_printoptions(**arrays)
        for name, value in vars(tensors).items():
            setattr(PRINT_OPTS, name, value)
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)
