"""Indexed clips -> the streams that a run draws from, by kind, size and root."""

import logging

import numpy as np

from configs.errors import DataError
from datasets.loading.clip_reader import nearest_size
from datasets.loading.clip_table import ClipTable
from datasets.loading.config import DataConfig
from datasets.loading.sample_order import CLIPS, IMAGES, Stream

logger = logging.getLogger(__name__)


def build_streams(
    table: ClipTable, config: DataConfig, sizes: list[tuple[int, int]]
) -> list[Stream]:
    """Streams in a fixed order: clips before images, then sizes and roots as configured.

    Without weights all clips of all roots are shown equally often. With weights each root is shown
    in proportion to its weight, and its clips equally often.

    Raises:
        DataError: no clip is long enough.
    """
    kinds = [CLIPS if config.num_frames > 1 else IMAGES]
    if config.image_share:
        kinds.append(IMAGES)
    size_of = _sizes_of(table, sizes)
    streams: list[Stream] = []
    for kind in kinds:
        usable = np.ones(len(table), bool)
        if kind == CLIPS:
            usable = table.num_frames >= config.needed_frames
            _report_short(table, usable, config)
        streams += _streams_of(kind, table, usable, size_of, config, sizes)
    return streams


def _streams_of(
    kind: str,
    table: ClipTable,
    usable: np.ndarray,
    size_of: np.ndarray,
    config: DataConfig,
    sizes: list[tuple[int, int]],
) -> list[Stream]:
    weights = config.weights or [1.0]
    root_of = table.root if config.weights else np.zeros_like(table.root)
    streams: list[Stream] = []
    for index, size in enumerate(sizes):
        for root, weight in enumerate(weights):
            of_root = usable & (root_of == root)
            rows = np.flatnonzero(of_root & (size_of == index))
            if len(rows) and weight:
                share = weight * len(rows) / np.count_nonzero(of_root)
                streams.append(Stream(kind=kind, size=size, rows=rows, weight=share))
    if not streams:
        raise DataError(
            f"no {kind} to show under {', '.join(config.roots)}: every root that has any has weight"
            f" 0 (weights = {list(config.weights)})"
        )
    for root in range(len(config.weights)):
        if config.weights[root] and not (usable & (table.root == root)).any():
            logger.warning("%s has no %s of %d frames and is not used", config.roots[root], kind,
                           config.needed_frames)  # fmt: skip
    return streams


def _sizes_of(table: ClipTable, sizes: list[tuple[int, int]]) -> np.ndarray:
    """Index of each clip's size."""
    if len(sizes) == 1:
        return np.zeros(len(table), np.int64)
    places = {size: index for index, size in enumerate(sizes)}
    stored = zip(table.height.tolist(), table.width.tolist(), strict=True)
    return np.array([places[nearest_size(height, width, sizes)] for height, width in stored])


def _report_short(table: ClipTable, usable: np.ndarray, config: DataConfig) -> None:
    if not usable.any():
        raise DataError(
            f"no clip under {', '.join(config.roots)} has {config.needed_frames} frames; "
            f"the longest has {table.num_frames.max()}"
        )
    if not usable.all():
        logger.warning(
            "%d of %d clips have fewer than %d frames and are left out%s",
            np.count_nonzero(~usable), len(usable), config.needed_frames,
            ", except for single frames" if config.image_share else "",
        )  # fmt: skip
