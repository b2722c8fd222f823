"""The garment's picture pasted onto the body by DensePose, without a network that paints.

A reference row: a network that does not beat it has not earned its time. Where each pixel's cloth
lies in the picture is estimated as for ``fusion: places`` (``models/places.py``).
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from configs.errors import DataError
from datasets.places import CELL, body_cells, outline_of
from inference.checkpoint_choice import shipped_model
from models.checkpoints import read_checkpoint
from models.places import PlaceEstimator
from training.metrics.colour import garment_pixels

_FAR = 24  # of a colour from the picture's ground, sum over the channels: garment
_REACH = 3.0  # cells: how far places reach beyond the body, into loose clothes


@lru_cache(maxsize=1)
def shipped_estimator() -> PlaceEstimator:
    """The estimator of the model that ships, so that the row is the same in every table.

    Raises:
        DataError: this checkout has no such model.
    """
    folder = shipped_model()
    if folder is None:
        raise DataError("models/pretrained/tryon is missing; restore it, or set baselines=false")
    prefix = "garment.places."
    found = read_checkpoint(folder).network
    estimator = PlaceEstimator()
    estimator.load_state_dict(
        {name.removeprefix(prefix): v for name, v in found.items() if name.startswith(prefix)}
    )
    return estimator


def paste_garment(
    video: UInt8[np.ndarray, "t h w 3"],
    mask: Bool[np.ndarray, "t h w"],
    iuv: UInt8[np.ndarray, "t h w 3"],
    garment: UInt8[np.ndarray, "h2 w2 3"],
    estimator: PlaceEstimator | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """The video with the garment's picture inside the mask, and its mean colour where none fits.

    Args:
        video: the frames.
        mask: where the garment goes.
        iuv: DensePose: I, U, V.
        garment: on a plain ground.
        estimator: fitted; None: ``shipped_estimator``.
    """
    estimator = estimator or shipped_estimator()
    height, width = video.shape[1:3]
    more = [(0, 0), (0, -height % CELL), (0, -width % CELL), (0, 0)]
    colour = garment_pixels(garment).mean(axis=0)
    cloth = _without_ground(garment, colour)
    outline = torch.from_numpy(outline_of(garment))[None] / 255
    cells = body_cells(torch.from_numpy(np.pad(iuv, more)))
    body = cells.permute(1, 0, 2, 3)[None].to(estimator.weights.device)
    places = estimator(body, outline.to(body.device))[0].cpu().numpy()
    pasted = video.copy()
    for index, inside in enumerate(mask):
        points, known = _pixel_places(places[index], cells[index, 0].numpy(), height, width)
        x, y = (points * (cloth.shape[1], cloth.shape[0])).astype(np.float32).transpose(2, 0, 1)
        found = cv2.remap(
            cloth, x - 0.5, y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        shown = np.where(known[..., None], found, np.rint(colour).astype(np.uint8))
        pasted[index][inside] = shown[inside]
    return pasted


def _without_ground(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The picture with the garment's mean colour around it."""
    inside = np.abs(picture.astype(np.int16) - picture[0, 0]).sum(axis=-1) > _FAR
    return np.where(inside[..., None], picture, np.rint(colour).astype(np.uint8))


def _pixel_places(
    places: Float[np.ndarray, "y x 3"], groups: Float[np.ndarray, "y x"], height: int, width: int
) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """Places of pixels, interpolated within each part of the body, and continued beyond it."""
    weight = places[..., 2:]
    points = _spread(places[..., :2], weight, _REACH, height, width)
    nearest = groups.repeat(CELL, axis=0).repeat(CELL, axis=1)[:height, :width]
    for group in np.unique(groups[weight[..., 0] > 0]):
        own = _spread(places[..., :2], weight * (groups == group)[..., None], 0.0, height, width)
        chosen = (nearest == group) & np.isfinite(own[..., 0])
        points[chosen] = own[chosen]
    known = np.isfinite(points[..., 0])
    return np.where(known[..., None], points, 0), known


def _spread(
    values: np.ndarray, weight: np.ndarray, sigma: float, height: int, width: int
) -> np.ndarray:
    """Weighted values of cells, blurred and enlarged to pixels; NaN where there is no weight."""
    both = np.concatenate([values * weight, weight], axis=-1).astype(np.float32)
    if sigma:
        both = cv2.GaussianBlur(both, (0, 0), sigma)
    rows, columns = values.shape[:2]
    size = (CELL * columns, CELL * rows)
    both = cv2.resize(both, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
    total = both[..., 2:]
    return np.where(total > 1e-4, both[..., :2] / np.maximum(total, 1e-4), np.nan)
