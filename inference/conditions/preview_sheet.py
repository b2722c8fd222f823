"""One picture to check before painting: who is in the video, and what will be painted."""

from collections.abc import Sequence

import cv2
import numpy as np

from inference.conditions.people import FoundPerson
from inference.conditions.stored import ConditionFrame
from inference.video.provenance import draw_label

_HEIGHT = 256  # px of a tile
_GAP = 4
_BAR = 14  # px
_RED, _GREEN = (220, 40, 40), (70, 150, 90)


def draw_sheet(
    people: Sequence[FoundPerson],
    frames: Sequence[ConditionFrame],
    unseen: np.ndarray | None = None,
) -> np.ndarray:
    """People with their numbers; below them frames with their masks, and their DensePose.

    Args:
        people: everyone in the video.
        frames: some in which the person was found.
        unseen: ``draw_unseen``, a last row; None: every frame shows the person.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rows = [
        [draw_label(_tile(person.picture), f"person {person.id}") for person in people],
        [_tile(frame.overlay()) for frame in frames],
        [_tile(frame.densepose) for frame in frames],
        [] if unseen is None else [unseen],
    ]
    joined = [np.concatenate(row, axis=1) for row in rows if row]
    width = max(row.shape[1] for row in joined)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in joined], axis=0
    )


def draw_unseen(unseen: np.ndarray, pictures: Sequence[tuple[int, np.ndarray]]) -> np.ndarray:
    """Where in a video the person was not found: a bar over its length, red there; below, frames.

    Args:
        unseen: (n,) bool, of all frames.
        pictures: some of these frames: index and (h, w, 3) uint8 RGB.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    tiles = np.concatenate([_unseen_tile(index, image) for index, image in pictures], axis=1)
    width = tiles.shape[1]
    frames = np.minimum(np.arange(width) * len(unseen) // width, len(unseen) - 1)
    colours = np.array([_GREEN, _RED], np.uint8)[unseen[frames].astype(int)]
    marked = np.unique([index * width // len(unseen) for index in np.flatnonzero(unseen)])
    colours[marked] = _RED  # single frames of a long video are narrower than a pixel
    bar = np.tile(colours[None], (_BAR, 1, 1))
    return np.concatenate([bar, np.zeros((_GAP, width, 3), np.uint8), tiles], axis=0)


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
