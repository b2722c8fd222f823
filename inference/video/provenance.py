"""What every result states about itself: that it is synthetic, what made it, and when."""

import json
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from datasets.media_files import open_media, own_record

_RECORDED = (
    "model", "origin", "step", "weights", "date", "video", "garment", "category", "person", "seed",
    "sampler", "long_video", "codec", "job",
)  # fmt: skip
_LABEL_HEIGHT = 0.035  # of the frame's shorter side
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 21.0  # px of a capital at scale 1


def file_metadata(report: Mapping[str, Any]) -> dict[str, str]:
    """The file's ``comment``, for people, and ``description``, as JSON for programs.

    ``description`` contains ``"synthetic": true`` and the report's model, date and settings.
    """
    comment = (
        f"Synthetic video: clothing replaced by VITON-DiT ({report.get('model', '')}"
        f", step {report.get('step', '?')}), {report.get('date', '')}"
    )
    record = {"synthetic": True, **{key: report[key] for key in _RECORDED if key in report}}
    return {"comment": comment, "description": json.dumps(record, sort_keys=True)}


def read_record(path: str) -> dict[str, Any]:
    """The record in a result's ``description``; empty for a file without one."""
    import av.error

    try:
        with open_media(path) as container:
            return own_record(container)
    except (av.error.FFmpegError, OSError):
        return {}


def draw_label(frame: np.ndarray, text: str) -> np.ndarray:
    """The frame with a text on a dark box in its lower left corner.

    Args:
        frame: (height, width, 3) uint8 RGB.
        text: in plain Latin letters; an empty text draws nothing.
    """
    if not text:
        return frame
    height, width = frame.shape[:2]
    scale = max(_LABEL_HEIGHT * min(height, width), 7.0) / _FONT_HEIGHT
    thick = max(1, round(1.6 * scale))
    (wide, high), below = cv2.getTextSize(text, _FONT, scale, thick)
    if wide > 0.9 * width:  # a long text gets smaller letters
        scale *= 0.9 * width / wide
        (wide, high), below = cv2.getTextSize(text, _FONT, scale, thick)
    pad = max(2, high // 2)
    box = frame[height - high - below - 2 * pad :, : wide + 2 * pad]
    labelled = frame.copy()
    labelled[height - high - below - 2 * pad :, : wide + 2 * pad] = box // 4
    origin = (pad, height - pad - below)
    return cv2.putText(labelled, text, origin, _FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
