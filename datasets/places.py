"""Where in its picture the cloth at each place of a frame lies, found by comparing the two.

In paired training, frame and garment picture show the same garment, so its places can be found
without a model: by body coordinates (the picture was cut out of a frame that has DensePose too),
then refined by the pictures themselves. ``models/places.py`` estimates places where this is not
possible, and is fitted to these.

Coordinates: x, y in [0, 1] of the garment's picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

CELL = 8
"""Pixels of a cell's sides: one latent."""
GROUPS = ((1, 2), (15, 17), (16, 18), (19, 21), (20, 22), (8, 10), (7, 9), (12, 14), (11, 13))
"""DensePose parts that make up torso, upper arms, lower arms, upper legs, lower legs; left first.
Front and back of a limb count as one: garments are pictured from the front."""
OUTLINE = (16, 12)
"""Rows and columns of ``outline_of``: as in ``models/places.py``."""

_GROUP_OF_PART = np.zeros(256, np.uint8)
for _number, _parts in enumerate(GROUPS, start=1):
    _GROUP_OF_PART[list(_parts)] = _number
_BINS = 24  # of U and of V
_LEAST_SHARE = 0.35  # of a cell that must have a counterpart in the picture
_LEAST_CELLS = 6  # of a group, to know how the picture is scaled there
_PATCH = 7  # px: half the side of a patch
_REACH = 5  # px: how far around the first guess it is looked for
_SCALES = (0.6, 2.5)  # of the picture against the frame
_LEAST_STRAIGHT = 0.35  # sideways over straight: patches turned further are not compared
_PULL = 0.008  # of correlation, for each px away from the first guess
_BORDER = 40  # px
_FAR = 15  # of a colour from the ground, sum over the channels


@dataclass(frozen=True, kw_only=True)
class PictureBody:
    """Body coordinates of a garment's picture: the mean point of each (group, U, V).

    Attributes:
        table: sums of x and y, and their number, for each group and bin of U and V.
    """

    table: Float[np.ndarray, "groups bins bins 3"]


def outline_of(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "16 12"]:
    """The share of garment in each field of its picture, 0..255.

    Garment is what differs from the plain ground, the colour of the first pixel, holes filled.
    """
    far = np.abs(picture.astype(np.int16) - picture[0, 0]).sum(axis=-1) > _FAR
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(far.astype(np.uint8), cv2.MORPH_CLOSE, disc)
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(far.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 255, cv2.FILLED)
    return cv2.resize(filled, OUTLINE[::-1], interpolation=cv2.INTER_AREA)


def group_of(parts: UInt8[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s"]:
    """The number of the group in GROUPS, from 1, of each DensePose part; 0: in none."""
    return _GROUP_OF_PART[parts]


def body_cells(iuv: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n 4 y x"]:
    """Body coordinates of each cell, on the tensor's device.

    Returns:
        The group that covers most of the cell (0: none; GROUPS), its mean U and V in [0, 1], and
        the share of the cell that it covers.
    """
    table = torch.from_numpy(_GROUP_OF_PART).to(iuv.device)
    group = table[iuv[..., 0].long()]
    shares = torch.stack(
        [
            F.avg_pool2d((group == number).float()[:, None], CELL)[:, 0]
            for number in range(1, len(GROUPS) + 1)
        ],
        dim=1,
    )
    share, best = shares.max(dim=1)
    best = torch.where(share > 0, best + 1, 0)
    wide = best.repeat_interleave(CELL, dim=1).repeat_interleave(CELL, dim=2)
    inside = ((group == wide) & (group > 0)).float()
    u, v = (
        F.avg_pool2d((iuv[..., axis].float() / 255 * inside)[:, None], CELL)[:, 0]
        / share.clamp(min=1e-6)
        for axis in (1, 2)
    )
    return torch.stack([best.float(), u, v, share], dim=1)


def picture_body(
    iuv: UInt8[np.ndarray, "h w 3"], garment: np.ndarray, size: tuple[int, int]
) -> PictureBody:
    """Body coordinates of a picture that was cut out of a frame.

    Args:
        iuv: DensePose of that frame.
        garment: (2, 3), pixel of the frame (x, y, 1) -> pixel of the picture.
        size: height and width of the picture.
    """
    group = group_of(iuv[..., 0])
    rows, columns = np.nonzero(group)
    points = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]).T @ garment.T
    points /= (size[1], size[0])
    table = np.zeros((len(GROUPS), _BINS, _BINS, 3), np.float32)
    values = np.concatenate([points, np.ones((len(rows), 1))], axis=1)
    np.add.at(table, _bins(iuv[rows, columns], group[rows, columns]), values)
    return PictureBody(table=table)


def match_places(
    iuv: UInt8[np.ndarray, "t h w 3"], body: PictureBody
) -> Float[np.ndarray, "t y x 3"]:
    """Places by body coordinates: x, y, and 1 where they are known."""
    cells = body_cells(torch.from_numpy(np.ascontiguousarray(iuv))).numpy()
    count, height, width = iuv.shape[:3]
    group = group_of(iuv[..., 0])
    wide = cells[:, 0].repeat(CELL, axis=1).repeat(CELL, axis=2)
    values = np.zeros((count, height, width, 3), np.float32)
    where = np.nonzero((group == wide) & (group > 0))
    sums = body.table[_bins(iuv[where], group[where])]
    number = sums[:, 2:]
    values[where] = np.where(number > 0, sums / np.maximum(number, 1), 0)
    means = rearrange(values, "t (y p) (x q) c -> t y x (p q) c", p=CELL, q=CELL).mean(axis=3)
    share = means[..., 2:]
    known = share >= _LEAST_SHARE
    points = np.where(known, means[..., :2] / np.maximum(share, 1e-6), 0)
    return np.concatenate([points, known], axis=-1).astype(np.float32)


def refine_places(
    places: Float[np.ndarray, "t y x 3"],
    iuv: UInt8[np.ndarray, "t h w 3"],
    video: UInt8[np.ndarray, "t h w 3"],
    garment: UInt8[np.ndarray, "h2 w2 3"],
) -> Float[np.ndarray, "t y x 3"]:
    """Places moved to where the picture looks most like the frame, at most a few pixels away.

    DensePose is about 1 cm off, a pattern repeats every few: only the pictures tell its phase.

    Args:
        places: from ``match_places``.
        iuv: of the frames.
        video: the frames.
        garment: its picture, of the frames' size or a multiple.
    """
    height, width = video.shape[1:3]
    if garment.shape[:2] != (height, width):
        garment = cv2.resize(garment, (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.copyMakeBorder(
        _lab(garment), _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_REPLICATE
    )
    groups = body_cells(torch.from_numpy(np.ascontiguousarray(iuv))).numpy()[:, 0]
    refined = places.copy()
    for frame, group, place in zip(video, groups, refined, strict=True):
        lab = _lab(frame)
        for number in range(1, len(GROUPS) + 1):
            rows, columns = np.nonzero((group == number) & (place[..., 2] > 0))
            scales = _scales(place[rows, columns, :2] * (width, height), rows, columns)
            if scales is None:
                continue
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                found = _find_patch(lab, picture, row, column, place[row, column], scales)
                if found is not None:
                    place[row, column, :2] = found
    return refined


def _bins(iuv: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, v = (iuv[:, axis].astype(np.int64) * _BINS // 256 for axis in (1, 2))
    return group.astype(np.int64) - 1, u, v


def _lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)


def _scales(
    points: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[float, float] | None:
    """Pixels of the picture per pixel of the frame, across and down.

    None for too few cells, or a group that is turned against the picture.
    """
    if len(rows) < _LEAST_CELLS or not np.ptp(rows) or not np.ptp(columns):
        return None
    terms = np.stack([columns * CELL, rows * CELL, np.ones(len(rows))], axis=1)
    solved = np.linalg.lstsq(terms, points, rcond=None)[0]
    across, down = solved[0, 0], solved[1, 1]
    if min(across, down) <= 0:
        return None
    if max(abs(solved[1, 0]) / across, abs(solved[0, 1]) / down) > _LEAST_STRAIGHT:
        return None
    return float(np.clip(across, *_SCALES)), float(np.clip(down, *_SCALES))


def _find_patch(
    frame: np.ndarray,
    picture: np.ndarray,
    row: int,
    column: int,
    place: np.ndarray,
    scales: tuple[float, float],
) -> np.ndarray | None:
    """The point of the picture that looks like the frame around a cell; None at the borders."""
    y, x = row * CELL + CELL // 2, column * CELL + CELL // 2
    patch = frame[max(y - _PATCH, 0) : y + _PATCH, max(x - _PATCH, 0) : x + _PATCH]
    if min(patch.shape[:2]) < 2 * _PATCH:
        return None
    wide, high = (max(4, int(2 * _PATCH * scale)) for scale in scales)
    patch = cv2.resize(patch, (wide, high))
    height, width = frame.shape[:2]
    left = round(place[0] * width - wide / 2 - _REACH) + _BORDER
    top = round(place[1] * height - high / 2 - _REACH) + _BORDER
    window = picture[max(top, 0) : top + high + 2 * _REACH, max(left, 0) : left + wide + 2 * _REACH]
    if window.shape[0] <= high or window.shape[1] <= wide:
        return None
    alike = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
    down, across = np.mgrid[: alike.shape[0], : alike.shape[1]]
    alike = alike - _PULL * np.hypot(down - _REACH, across - _REACH)
    best = np.unravel_index(int(alike.argmax()), alike.shape)
    return np.array(
        [
            (left - _BORDER + best[1] + wide / 2) / width,
            (top - _BORDER + best[0] + high / 2) / height,
        ]
    )
