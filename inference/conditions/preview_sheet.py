"""One picture to check before painting: who is in the video, and what will be painted."""

from collections.abc import Sequence

import cv2
import numpy as np

from inference.conditions.people import FoundPerson
from inference.conditions.stored import ConditionFrame
from inference.video.provenance import draw_label

_HEIGHT = 256  # px of a tile
_GAP = 4
_RED = (220, 40, 40)


def draw_sheet(
    people: Sequence[FoundPerson],
    frames: Sequence[ConditionFrame],
    unseen: Sequence[tuple[int, np.ndarray]] = (),
) -> np.ndarray:
    """People with their numbers; below them frames with their masks, and their DensePose.

    Args:
        people: everyone in the video.
        frames: some in which the person was found.
        unseen: some in which the person was not found, a last row: index and (h, w, 3) uint8 RGB.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rows = [
        [draw_label(_tile(person.picture), f"person {person.id}") for person in people],
        [_tile(frame.overlay()) for frame in frames],
        [_tile(frame.densepose) for frame in frames],
        [_unseen_tile(index, image) for index, image in unseen],
    ]
    joined = [np.concatenate(row, axis=1) for row in rows if row]
    width = max(row.shape[1] for row in joined)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in joined], axis=0
    )


def _unseen_tile(index: int, image: np.ndarray) -> np.ndarray:
    """Half its brightness, in a red frame: nothing is painted here."""
    tile = draw_label(_tile(image) // 2, f"{index}: nobody found")
    tile[:_GAP] = tile[-2 * _GAP : -_GAP] = tile[:, :_GAP] = tile[:, -2 * _GAP : -_GAP] = _RED
    return tile


def _tile(image: np.ndarray) -> np.ndarray:
    scale = _HEIGHT / image.shape[0]
    size = (max(1, round(image.shape[1] * scale)), _HEIGHT)
    shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.pad(shown, ((0, _GAP), (0, _GAP), (0, 0)))
