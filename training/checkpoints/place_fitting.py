"""Fits a network's estimator of places to the run's own clips, before the first step."""

import logging

import torch
from einops import rearrange

from configs.errors import DataError
from datasets.loading.datamodule import TryOnData
from models.viton_dit import VitonDiT

logger = logging.getLogger(__name__)

_MOST_CLIPS = 256
_CHECKED_CLIPS = 16  # if there is nothing to fit
_LEAST_SHARE = 0.4  # of a cell; smaller ones lie at the body's edge


def fit_places(network: VitonDiT, data: TryOnData) -> None:
    """Fit the estimator (``models/places.py``) to places found in at most 256 training clips.

    Every rank does it and gets the same result. Does nothing without fusion "places". The estimator
    of a start checkpoint stays: its network has learned with it.

    Args:
        network: fresh, or with an earlier run's weights.
        data: after ``setup``.

    Raises:
        DataError: no clip has known places; of the first 16, if there is nothing to fit.
    """
    estimator = network.garment.places
    if estimator is None:
        return
    is_fitted = bool(estimator.fitted.any())
    cells, points, garments, outlines = [], [], [], []
    for batch in data.first_samples(_CHECKED_CLIPS if is_fitted else _MOST_CLIPS):
        if batch.places is None or batch.body is None or batch.outline is None:
            continue
        body = rearrange(batch.body.float(), "b k t y x -> (b t y x) k")
        place = rearrange(batch.places.float(), "b t y x c -> (b t y x) c")
        used = (place[:, 2] > 0) & (body[:, 3] > _LEAST_SHARE)
        garments.append(torch.full((int(used.sum()),), len(outlines)))
        cells.append(body[used])
        points.append(place[used, :2])
        outlines.append(batch.outline[0])
        if is_fitted and len(cells[-1]):
            logger.info("places: the estimator of the start checkpoint stays")
            return
    if not sum(map(len, cells)):
        roots = ", ".join(data.config.roots)
        raise DataError(
            f"fusion is places, but no clip under {roots} says how its garment's picture was cut"
            " out (garment_affine: product photos and clips curated by an older version have none);"
            " curate the videos again, or set system.network.fusion=attention"
        )
    error = estimator.fit(
        torch.cat(cells), torch.cat(garments), torch.stack(outlines), torch.cat(points)
    )
    logger.info(
        "places: fitted to %d cells of %d clips, %d of %d parts of the body; their median error is "
        "%.1f%% of the garment's picture", sum(map(len, cells)), len(outlines),
        int(estimator.fitted.sum()), len(estimator.fitted), 100 * error,
    )  # fmt: skip
    if not estimator.fitted.any():
        logger.warning("places: too few cells for any part of the body; none will be estimated")
