"""Shards -> batches: the order of samples and every draw follow from (seed, sample number).

A run's samples are numbered 0, 1, 2, ... through all epochs. Number n is sample ``n mod clips`` of
epoch ``n div clips``'s permutation; its window, frames and swap pattern are drawn from (seed, n).
A loader that starts at number n is therefore a loader that was interrupted there, whatever the
number of workers, and resuming in the middle of an epoch is exact.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from jaxtyping import Int
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from configs.errors import DataError
from datasets.clips import (
    ClipTracks,
    centre_window,
    choose_window,
    decode_tracks,
    to_sample,
    with_garment_region,
)
from datasets.draws import numpy_generator
from datasets.recolour import recolour
from datasets.sample import TryOnBatch, TryOnSample, collate
from datasets.shards import (
    GARMENT_REGION_MEMBERS,
    TRACK_MEMBERS,
    IndexedSample,
    index_split,
)
from datasets.swapping import SwapConfig, choose_pattern, known_frames

logger = logging.getLogger(__name__)

MAX_NUMBER = 2**62


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the clips are and how windows are taken from them."""

    roots: list[str] = field(default_factory=lambda: ["data/dance"])  # curated folders
    num_frames: int = 16  # 1: single frames (stages 1 and 2)
    strides: list[int] = field(default_factory=lambda: [1])
    batch_size: int = 1  # windows a device takes in one step
    num_workers: int = 2
    cache_mb: int = 0  # decoded clips kept in memory up to this size (small data sets)
    swapping: SwapConfig = field(default_factory=SwapConfig)
    num_validation_clips: int = 4
    recolour: float = 0.0  # share of windows whose garment gets another colour (recolour.py)

    def __post_init__(self) -> None:
        for name in ("num_frames", "batch_size", "num_validation_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        for name in ("num_workers", "cache_mb"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} must not be negative")
        if not 0 <= self.recolour <= 1:
            raise ValueError(f"recolour = {self.recolour:g} must lie in [0, 1]")
        if not self.roots:
            raise ValueError("roots is empty; name at least one curated folder")
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"strides = {list(self.strides)} must be one or more numbers >= 1")


@dataclass(frozen=True, kw_only=True)
class NumberedBatch(TryOnBatch):
    """A batch whose rows know their numbers in the run: what noise and dropout are drawn from."""

    numbers: Int[Tensor, " b"]


class NumberSampler(Sampler[int]):
    """Sample numbers from ``start`` on, without end; each rank takes its block of a global step."""

    def __init__(self, start: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        if start % (batch_size * world_size):
            raise ValueError(f"start {start} is not a multiple of {batch_size} x {world_size}")
        self.start, self.batch_size = start, batch_size
        self.rank, self.world_size = rank, world_size

    def __iter__(self) -> Iterator[int]:
        block = self.batch_size * self.world_size
        for first in range(self.start, MAX_NUMBER, block):
            own = first + self.rank * self.batch_size
            yield from range(own, own + self.batch_size)


class ClipDataset(Dataset[tuple[int, TryOnSample]]):
    """Sample number -> (number, sample)."""

    def __init__(
        self, samples: list[IndexedSample], config: DataConfig, height: int, width: int, seed: int
    ) -> None:
        self.samples, self.config, self.seed = samples, config, seed
        self.reader = ClipReader(
            height, width, config.cache_mb, needs_garment_region=config.recolour > 0
        )
        self._epoch, self._order = -1, np.arange(0)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[int, TryOnSample]:
        clip = self.samples[self._clip_of(number)]
        random = numpy_generator(self.seed, "window", number)
        window = choose_window(clip.num_frames, self.config.num_frames, self.config.strides, random)
        swapping = self.config.swapping
        random = numpy_generator(self.seed, "swap", number)
        pattern = choose_pattern(swapping, window.num_frames, random)
        known = known_frames(pattern, window.num_frames, swapping.max_known, random)
        tracks = self.reader.read(clip, window.indices)
        random = numpy_generator(self.seed, "recolour", number)
        if random.random() < self.config.recolour:
            tracks = recolour(tracks, random)
        return number, to_sample(clip.key, tracks, known)

    def _clip_of(self, number: int) -> int:
        epoch, position = divmod(number, len(self.samples))
        if epoch != self._epoch:
            random = numpy_generator(self.seed, "order", epoch)
            self._epoch, self._order = epoch, random.permutation(len(self.samples))
        return int(self._order[position])


class HeldOutWindows(Dataset[tuple[int, TryOnSample]]):
    """The middle window of each held-out clip, always the same."""

    def __init__(
        self, samples: list[IndexedSample], config: DataConfig, height: int, width: int
    ) -> None:
        self.samples, self.config = samples, config
        self.reader = ClipReader(height, width, 0)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[int, TryOnSample]:
        clip = self.samples[number]
        window = centre_window(clip.num_frames, self.config.num_frames, self.config.strides)
        known = torch.zeros(window.num_frames, dtype=torch.bool)
        return number, to_sample(clip.key, self.reader.read(clip, window.indices), known)


class ClipReader:
    """Decodes windows; keeps whole decoded clips while its memory lasts."""

    def __init__(
        self, height: int, width: int, cache_mb: int, *, needs_garment_region: bool = False
    ) -> None:
        self.height, self.width = height, width
        self.needs_garment_region = needs_garment_region
        self._room = cache_mb * 2**20
        self._kept: dict[str, ClipTracks] = {}

    def read(self, clip: IndexedSample, indices: list[int]) -> ClipTracks:
        """The clip's frames at these indices."""
        if clip.key in self._kept:
            return self._kept[clip.key].select(indices)
        keep = self._room >= clip.num_frames * self.height * self.width * 8
        from decord import DECORDError  # after torch, as in tracks.py

        region = GARMENT_REGION_MEMBERS if self.needs_garment_region else ()
        sample = clip.read((*TRACK_MEMBERS, *region))
        wanted = None if keep else indices
        try:
            tracks = decode_tracks(sample, wanted, self.height, self.width)
            if self.needs_garment_region:
                tracks = with_garment_region(tracks, sample, wanted)
        except (ValueError, KeyError, IndexError, RuntimeError, DECORDError) as error:
            raise DataError(
                f"{clip.shard}: sample {clip.key!r} cannot be read ({error})"
            ) from error
        if not keep:
            return tracks
        self._room -= tracks.num_bytes
        self._kept[clip.key] = tracks
        return tracks.select(indices)


class TryOnData(LightningDataModule):
    """The training loader, and the fixed windows that validation looks at.

    Args:
        config: where and how.
        height: of the model's frames, in pixels.
        width: of the model's frames, in pixels.
        seed: of the run.
        accumulate: micro-batches in one optimizer step.
    """

    def __init__(
        self, config: DataConfig, height: int, width: int, seed: int, accumulate: int = 1
    ) -> None:
        super().__init__()
        self.config, self.height, self.width = config, height, width
        self.seed, self.accumulate = seed, accumulate
        self._train: list[IndexedSample] = []
        self._validation: list[IndexedSample] = []

    def setup(self, stage: str | None = None) -> None:
        """Index the shards once."""
        if not self._train:
            self._train = self._index("train")
            self._validation = self._index("val")[: self.config.num_validation_clips]

    def _index(self, split: str) -> list[IndexedSample]:
        found = [sample for root in self.config.roots for sample in index_split(root, split)]
        return _long_enough(found, self.config)

    @property
    def num_clips(self) -> int:
        """Training clips in use."""
        return len(self._train)

    def train_dataloader(self) -> DataLoader[tuple[int, TryOnSample]]:
        """Batches from the trainer's current step on; Lightning asks after it has restored it."""
        trainer = self.trainer
        step = trainer.global_step if trainer is not None else 0
        rank = trainer.global_rank if trainer is not None else 0
        world_size = trainer.world_size if trainer is not None else 1
        return self.loader_from(step, rank, world_size)

    def loader_from(
        self, step: int, rank: int = 0, world_size: int = 1
    ) -> DataLoader[tuple[int, TryOnSample]]:
        """The batches of one rank from an optimizer step on."""
        config = self.config
        start = step * self.accumulate * config.batch_size * world_size
        dataset = ClipDataset(self._train, config, self.height, self.width, self.seed)
        return DataLoader(
            dataset,
            batch_size=config.batch_size,
            sampler=NumberSampler(start, config.batch_size, rank, world_size),
            num_workers=config.num_workers,
            collate_fn=collate_numbered,
            pin_memory=torch.cuda.is_available(),
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[tuple[int, TryOnSample]]:
        """One batch a held-out clip: its middle window, nothing swapped."""
        windows = HeldOutWindows(self._validation, self.config, self.height, self.width)
        return DataLoader(windows, batch_size=1, collate_fn=collate_numbered)


def collate_numbered(rows: list[tuple[int, TryOnSample]]) -> NumberedBatch:
    """Stack numbered samples."""
    batch = collate([sample for _, sample in rows])
    values = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    return NumberedBatch(**values, numbers=torch.tensor([number for number, _ in rows]))


def _long_enough(samples: list[IndexedSample], config: DataConfig) -> list[IndexedSample]:
    needed = (config.num_frames - 1) * min(config.strides) + 1
    kept = [sample for sample in samples if sample.num_frames >= needed]
    if not kept:
        longest = max(sample.num_frames for sample in samples)
        raise DataError(
            f"no clip under {', '.join(config.roots)} has {needed} frames; "
            f"the longest has {longest}"
        )
    if len(kept) < len(samples):
        logger.warning(
            "%d of %d clips have fewer than %d frames and are left out",
            len(samples) - len(kept), len(samples), needed,
        )  # fmt: skip
    return kept
