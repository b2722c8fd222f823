"""A pretrained clothes parser read from local files, on the one person of each frame.

Written for SCHP exported to ONNX or TorchScript, and for transformers folders such as Segformers
trained on ATR ("clothes") or FASHN's parser. The network (``parser_networks.py``) takes
ImageNet-normalised images; ``parser_labels.py`` maps its labels.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from configs.errors import ConfigError, DataError
from curation.perception.config import PerceptionConfig
from curation.perception.parser_labels import CHOICES, label_table
from curation.perception.parser_networks import ParserNetwork, choose_logits, load_network
from curation.perception.protocols import BackendInfo, Person
from datasets.labels import ParseLabel
from datasets.storage import sha256_read_once

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH_SIZE = 8
P = ParseLabel
LEFT_ELBOW, LEFT_WRIST, RIGHT_ELBOW, RIGHT_WRIST = 7, 9, 8, 10


class FileHumanParser:
    """Parses the one person of each frame inside a box around them."""

    def __init__(self, config: PerceptionConfig) -> None:
        if config.parser_labels not in CHOICES:
            raise ConfigError(
                f"parser_labels={config.parser_labels!r}; choose one of {', '.join(CHOICES)}"
            )
        self.config = config
        self._network: ParserNetwork | None = None
        self._table = np.zeros(0, np.uint8)

    @property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        path = Path(self.config.parser_path)
        weights = path / "model.safetensors" if path.is_dir() else path
        return BackendInfo(
            name=f"parser-{path.stem}",
            version=self.config.parser_labels,
            weights_sha256=sha256_read_once(weights),
            is_approximate=False,
        )

    def parse(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[np.ndarray]:
        """Label maps; see ``HumanParser``."""
        if self._network is None:
            path = Path(self.config.parser_path)
            self._network = load_network(path, self.config.device)
            self._table = np.array(label_table(path, self.config.parser_labels), np.uint8)
        maps = [np.zeros(frame.shape[:2], np.uint8) for frame in frames]
        wanted = [i for i, person in enumerate(people) if person is not None]
        for start in range(0, len(wanted), BATCH_SIZE):
            indices = wanted[start : start + BATCH_SIZE]
            boxes = [_crop_box(frames[i], people[i]) for i in indices]
            crops = [
                frames[i][top:bottom, left:right]
                for i, (left, top, right, bottom) in zip(indices, boxes, strict=True)
            ]
            for i, box, labels in zip(indices, boxes, self._run(crops), strict=True):
                left, top, right, bottom = box
                maps[i][top:bottom, left:right] = labels
                maps[i] = name_hands(maps[i], people[i])
        return maps

    def _run(self, crops: list[np.ndarray]) -> list[np.ndarray]:
        """Label maps of crops, each at its crop's own size."""
        import torch

        assert self._network is not None
        size = (self._network.width, self._network.height)
        images = np.stack([cv2.resize(crop, size).astype(np.float32) / 255 for crop in crops])
        images = (images - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
        if self.config.parser_channel_order == "bgr":
            images = images[..., ::-1]
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float()
        with torch.no_grad():
            output = self._network.run(batch.to(self.config.device))
        table = self._table
        logits = choose_logits(output, len(table))
        if logits.ndim != 4 or logits.shape[1] != len(table):
            count = logits.shape[1] if logits.ndim == 4 else f"no (shape {tuple(logits.shape)})"
            raise DataError(
                f"{self.config.parser_path} returns {count} labels, but "
                f"perception.parser_labels={self.config.parser_labels} has {len(table)}; "
                f"choose another one of {', '.join(CHOICES)}"
            )
        found = []
        for crop, scores in zip(crops, logits, strict=True):
            height, width = crop.shape[:2]
            resized = torch.nn.functional.interpolate(
                scores[None], size=(height, width), mode="bilinear", align_corners=False
            )
            found.append(table[resized[0].argmax(0).cpu().numpy()])
        return found


def name_hands(labels: np.ndarray, person: Person | None) -> np.ndarray:
    """Relabel arm pixels beyond the wrists as hands, which no public label set has."""
    if person is None:
        return labels
    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    named = labels.copy()
    for elbow_row, wrist_row in ((LEFT_ELBOW, LEFT_WRIST), (RIGHT_ELBOW, RIGHT_WRIST)):
        elbow, wrist = person.keypoints[elbow_row], person.keypoints[wrist_row]
        forearm = wrist[:2] - elbow[:2]
        length = float(np.hypot(*forearm))
        if min(elbow[2], wrist[2]) < 0.3 or length < 1:
            continue
        beyond = ((x - wrist[0]) * forearm[0] + (y - wrist[1]) * forearm[1]) / length
        near = np.hypot(x - wrist[0], y - wrist[1]) < 0.9 * length
        named[(labels == P.ARMS) & near & (beyond > 0)] = P.HANDS
    return named


def _crop_box(frame: np.ndarray, person: Person | None) -> tuple[int, int, int, int]:
    assert person is not None
    left, top, right, bottom = person.box
    x, y = 0.1 * (right - left), 0.1 * (bottom - top)
    height, width = frame.shape[:2]
    left, top = max(0, int(left - x)), max(0, int(top - y))
    right, bottom = min(width, int(np.ceil(right + x))), min(height, int(np.ceil(bottom + y)))
    return left, top, max(right, left + 1), max(bottom, top + 1)
