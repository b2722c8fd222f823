"""People by torchvision's Keypoint R-CNN (BSD-3-Clause): 17 COCO keypoints, boxes tracked.

Needs no package beyond the project's own; weights are read from a local file only
(`make weights FETCH=people`). Its boxes are numbered over time as the embedded detector's are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError
from curation.perception.box_tracks import BoxTracks
from curation.perception.config import PerceptionConfig, installed_version
from curation.perception.protocols import COCO_KEYPOINTS, BackendInfo, Person
from datasets.storage import sha256_read_once

FETCH_COMMAND = "make weights FETCH=people"
NAME = "torchvision-keypointrcnn"
SCORE_THRESHOLD = 0.35
BATCH_SIZE = 4
MAX_PEOPLE = 20
"""In a frame; the network's own limit is 100, each with 17 heat maps to be enlarged."""
MIN_SIDE, MAX_SIDE = 640, 1333
"""Frames are scaled to these; 640 is the smallest size that the network was trained at."""
VISIBLE_LOGIT = 2.0
"""A keypoint's score is the maximum of its heat map before the softmax, below zero to above ten.
Its visibility is the logistic function of the distance from this, where Detectron draws the line
between points that it shows and those that it does not."""


class TorchvisionDetector:
    """Keypoint R-CNN with ResNet-50 and FPN; every call of ``detect`` starts new tracks."""

    def __init__(self, config: PerceptionConfig) -> None:
        self.config = config
        self._model: Any = None

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        return BackendInfo(
            name=NAME,
            version=installed_version("torchvision"),
            weights_sha256=sha256_read_once(Path(self.config.people_weights)),
            is_approximate=False,
        )

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """People of each frame, best first; see ``PersonDetector``."""
        import torch

        if self._model is None:
            self._model = load_model(Path(self.config.people_weights)).to(self.config.device)
        tracks, found = BoxTracks(), list[list[Person]]()
        for start in range(0, len(frames), BATCH_SIZE):
            batch = [
                torch.from_numpy(np.ascontiguousarray(frame)).to(self.config.device)
                for frame in frames[start : start + BATCH_SIZE]
            ]
            with torch.inference_mode():
                results = self._model([frame.permute(2, 0, 1) / 255 for frame in batch])
            found += [tracks.follow(people_from_result(result)) for result in results]
        return found


def people_from_result(result: Mapping[str, Any]) -> list[Person]:
    """One frame's output of the network -> people, best score first."""
    found = {name: value.cpu().numpy() for name, value in result.items()}
    logits = found["keypoints_scores"].astype(np.float64)
    keypoints = found["keypoints"].astype(np.float32)
    keypoints[..., 2] = 1 / (1 + np.exp(np.clip(VISIBLE_LOGIT - logits, -50, 50)))
    scores = found["scores"]
    return [
        Person(
            box=found["boxes"][row].astype(np.float32),
            score=float(scores[row]),
            keypoints=keypoints[row],
        )
        for row in np.argsort(-scores, kind="stable")
        if scores[row] >= SCORE_THRESHOLD
    ]


def load_model(weights: Path) -> Any:
    """The network with the weights of a local file, ready to be used.

    Raises:
        DataError: the file is missing, is not one of weights, or is of another network.
    """
    import torch

    if not weights.is_file():
        raise DataError(
            f"{weights} does not exist: {FETCH_COMMAND}, or name the file by "
            "perception.people_weights"
        )
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises nearly anything
        first = (str(error).splitlines() or [""])[0][:120]
        raise DataError(
            f"{weights} cannot be read as weights ({type(error).__name__}: {first}); "
            f"{FETCH_COMMAND}"
        ) from error
    model = build_network()
    fault = _misfit(model.state_dict(), state)
    if fault is not None:
        raise DataError(f"{weights} is not torchvision's Keypoint R-CNN: {fault}; {FETCH_COMMAND}")
    model.load_state_dict(state)
    return model.eval()


def build_network(backbone: str = "resnet50") -> Any:
    """The network without weights, as torchvision builds it for its published ones."""
    from torchvision.models.detection import KeypointRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    body = resnet_fpn_backbone(backbone_name=backbone, weights=None)
    model = KeypointRCNN(
        body, num_classes=2, num_keypoints=len(COCO_KEYPOINTS), min_size=MIN_SIDE,
        max_size=MAX_SIDE, box_score_thresh=SCORE_THRESHOLD, box_detections_per_img=MAX_PEOPLE,
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as when they were trained
    return model


def _misfit(expected: Mapping[str, Any], state: Any) -> str | None:
    """What is wrong with a state dict, in words; None: it fits."""
    if not isinstance(state, Mapping):
        return f"it holds a {type(state).__name__}"
    for key, value in expected.items():
        if key not in state:
            return f"it lacks {key}"
        if tuple(getattr(state[key], "shape", ())) != tuple(value.shape):
            shape = tuple(getattr(state[key], "shape", ()))
            return f"{key} is {shape}, expected {tuple(value.shape)}"
    unknown = [key for key in state if key not in expected]
    return f"it has the unknown key {unknown[0]}" if unknown else None
