"""Shards -> batches: the order of samples and every draw depend only on (seed, sample number).

A run's samples are numbered 0, 1, 2, ... (``sample_order.py``); the clip of a sample, its window,
frames and swap pattern are drawn from (seed, number). A loader started at a step therefore equals
one interrupted there, with any number of workers, and resuming mid-epoch is exact.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from configs.errors import DataError
from datasets.bad_samples import Fault, Tally
from datasets.loading.clip_table import ClipTable
from datasets.loading.collate import PackedBatch
from datasets.loading.config import DataConfig
from datasets.loading.dataset import ClipDataset, HeldOutWindows, UnreadableBatch, collate_drawn
from datasets.loading.latents import (
    LATENT_MEMBERS,
    PLACE_MEMBERS,
    CacheKey,
    LatentBatch,
    find_cache,
)
from datasets.loading.sample_order import (
    CLIPS,
    IMAGES,
    RankBatches,
    SampleOrder,
    Stream,
    Ticket,
)
from datasets.loading.streams import build_streams
from datasets.loading.workers import settle_worker
from datasets.sample import NumberedBatch, SampleFormat
from datasets.shards import (
    GARMENT_REGION_MEMBERS,
    TRACK_MEMBERS,
    IndexedSample,
    find_shards,
    list_shards,
    scan_shard,
)

__all__ = ["DataConfig", "NumberedBatch", "TryOnData"]

logger = logging.getLogger(__name__)


class CountedLoader:
    """A loader's batches; counts the bad samples met by its workers."""

    def __init__(self, loader: "DataLoader[Any]", tally: Tally) -> None:
        self.loader, self.tally = loader, tally

    def __iter__(self) -> Iterator[PackedBatch | LatentBatch]:
        for batch in self.loader:
            self.tally.add(batch.faults)
            if isinstance(batch, UnreadableBatch):
                last = batch.faults[-1]
                raise DataError(
                    f"{len(batch.faults)} samples in a row cannot be read, the last one is "
                    f"{last.name} ({last.reason})"
                )
            yield batch


class TryOnData(LightningDataModule):
    """The training loader, and the fixed windows for validation.

    Args:
        config: the data settings.
        height: of the model's frames, in pixels.
        width: of the model's frames, in pixels.
        seed: of the run.
        accumulate: micro-batches per optimizer step.
        cache_key: settings that a latent cache must match; required if ``config.latents`` is set.
        format: of the conditions.
    """

    def __init__(
        self,
        config: DataConfig,
        height: int,
        width: int,
        seed: int,
        accumulate: int = 1,
        cache_key: CacheKey | None = None,
        format: SampleFormat | None = None,
    ) -> None:
        super().__init__()
        self.format = format or SampleFormat()
        self.config, self.height, self.width = config, height, width
        self.seed, self.accumulate, self.cache_key = seed, accumulate, cache_key
        self.tally = Tally(0, config.max_bad_share)
        self._table: ClipTable | None = None
        self._streams: list[Stream] = []
        self._validation: list[IndexedSample] = []

    def setup(self, stage: str | None = None) -> None:
        """Index the shards once."""
        if self._table is not None:
            return
        cached = self._find_caches()
        members = (*TRACK_MEMBERS, *GARMENT_REGION_MEMBERS)
        if cached:
            members = (*LATENT_MEMBERS, *(PLACE_MEMBERS if self.format.places else ()))
        if not cached and self.config.latents is not None:
            self.config = replace(self.config, latents=None)  # auto, and there is none
        scanned = self._scan(cached)
        self._table = ClipTable.of([samples for samples, _ in scanned], members)
        faults = [fault for _, found in scanned for fault in found]
        self.tally.num_clips = len(self._table) + len(faults)
        self.tally.add(faults)
        if not len(self._table):
            raise DataError(f"no sample in the train shards under {', '.join(self.config.roots)}")
        sizes = self.config.sizes(self.height, self.width)
        self._streams = build_streams(self._table, self.config, sizes)
        if self.config.num_validation_clips:
            self._validation = self._choose_validation()
        self._log_streams()

    def _find_caches(self) -> list[list[Any]] | None:
        where = self.config.latents
        if where is None:
            return None
        if self.cache_key is None:
            raise ValueError("data.latents requires a cache_key")
        found = [find_cache(root, where, self.cache_key, "train") for root in self.config.roots]
        lacking = [root for root, shards in zip(self.config.roots, found, strict=True)
                   if shards is None]  # fmt: skip
        if lacking:
            logger.warning(
                "latents = auto: %s has no latent cache; the codec encodes in every step "
                "(run `make latents` to avoid that)", ", ".join(lacking),
            )  # fmt: skip
            return None
        logger.info("reading latents from the cache %s", self.cache_key.name)
        return [shards for shards in found if shards is not None]

    def _scan(
        self, cached: list[list[Any]] | None
    ) -> list[tuple[list[IndexedSample], list[Fault]]]:
        """Training samples and faults of each root."""
        scanned: list[tuple[list[IndexedSample], list[Fault]]] = []
        for index, root in enumerate(self.config.roots):
            shards = cached[index] if cached else find_shards(root, "train")
            needed = LATENT_MEMBERS if cached else TRACK_MEMBERS
            scans = [scan_shard(shard, needed) for shard in shards]
            samples = [sample for scan in scans for sample in scan.samples]
            scanned.append((samples, [fault for scan in scans for fault in scan.faults]))
        return scanned

    def _choose_validation(self) -> list[IndexedSample]:
        """The first held-out clips of any root that are long enough and readable."""
        shards = [shard for root in self.config.roots for shard in list_shards(root, "val")]
        if not shards:
            raise DataError(
                f"{', '.join(self.config.roots)}: no shards/val-*.tar, which validation needs; "
                "curate with a larger shards.val_share or with `split: val` in sidecars, or skip "
                "validation with data.num_validation_clips=0"
            )
        found = [sample for shard in shards for sample in scan_shard(shard).samples]
        needed = self.config.needed_frames
        chosen: list[IndexedSample] = []
        for clip in found:
            if len(chosen) == self.config.num_validation_clips:
                break
            if clip.num_frames < needed:
                continue
            try:
                _ = HeldOutWindows([clip], self.config, (self.height, self.width), self.format)[0]
                chosen.append(clip)
            except DataError as error:
                logger.warning("left out of validation: %s", error)
        if not chosen:
            raise DataError(
                f"no clip of the val shards under {', '.join(self.config.roots)} has {needed} "
                "frames and can be read; data.num_validation_clips=0 skips validation"
            )
        return chosen

    def _log_streams(self) -> None:
        if len(self._streams) > 1:
            total = {kind: sum(s.weight for s in self._streams if s.kind == kind)
                     for kind in (CLIPS, IMAGES)}  # fmt: skip
            for stream in self._streams:
                logger.info(
                    "%s of %d x %d: %d, %.1f%% of the samples of that kind", stream.kind,
                    *stream.size, len(stream.rows), 100 * stream.weight / total[stream.kind],
                )  # fmt: skip

    @property
    def num_clips(self) -> int:
        """Training clips in use."""
        return len({int(row) for stream in self._streams for row in stream.rows})

    @property
    def fingerprint(self) -> str:
        """Hash of the clips in use and their order; a different hash means different samples."""
        assert self._table is not None, "call setup() first"
        digest = hashlib.sha256()
        for column in (self._table.keys, self._table.num_frames, self._table.root):
            digest.update(column.tobytes())
        for stream in self._streams:
            digest.update(f"{stream.kind}{stream.size}{stream.weight:.6g}".encode())
            digest.update(stream.rows.tobytes())
        return digest.hexdigest()

    def sample_order(self, world_size: int = 1) -> SampleOrder:
        """The order of the run's samples."""
        size = self.config.batch_size * self.accumulate * world_size
        return SampleOrder(self._streams, self.seed, size, self.config.image_share)

    def dataset(self) -> ClipDataset:
        """The dataset that turns tickets into samples."""
        assert self._table is not None, "call setup() first"
        return ClipDataset(self._table, self._streams, self.config, self.seed, self.format)

    def first_samples(self, count: int) -> Iterator[NumberedBatch | LatentBatch]:
        """A sample of each of at most ``count`` clips, as training draws it; without bad ones."""
        dataset, stream = self.dataset(), self._streams[0]
        for position in range(min(count, len(stream.rows))):
            row = dataset[Ticket(position, 0, position)]
            if row.sample is None:
                continue
            batch = collate_drawn([row], self.format)
            if isinstance(batch, PackedBatch):
                yield batch.unpack()
            elif isinstance(batch, LatentBatch):
                yield batch

    def train_dataloader(self) -> CountedLoader:
        """Batches from the trainer's current step; Lightning calls this after restoring it."""
        trainer = self.trainer
        if trainer is None:
            return self.loader_from(0)
        self._check_ranks_agree()
        return self.loader_from(trainer.global_step, trainer.global_rank, trainer.world_size)

    def loader_from(self, step: int, rank: int = 0, world_size: int = 1) -> CountedLoader:
        """The batches of one rank, starting at an optimizer step."""
        batches = RankBatches(
            self.sample_order(world_size), step, self.accumulate, rank, world_size
        )
        loader = DataLoader(
            self.dataset(),
            batch_sampler=batches,
            num_workers=self.config.num_workers,
            collate_fn=partial(collate_drawn, format=self.format),
            worker_init_fn=settle_worker,
            pin_memory=torch.cuda.is_available(),
        )
        return CountedLoader(loader, self.tally)

    def val_dataloader(self) -> Iterable[PackedBatch]:
        """One batch per held-out clip: its middle window, nothing swapped."""
        size = self.height, self.width
        windows = HeldOutWindows(self._validation, self.config, size, self.format)
        collate = partial(collate_drawn, format=self.format)
        return DataLoader(windows, batch_size=1, collate_fn=collate)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Convert bytes to pictures in [-1, 1] on the device."""
        return batch.unpack() if isinstance(batch, PackedBatch) else batch

    def _check_ranks_agree(self) -> None:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        found: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(found, self.fingerprint)
        others = [rank for rank, theirs in enumerate(found) if theirs != found[0]]
        if others:
            raise DataError(
                f"rank {others[0]} sees different clips under {', '.join(self.config.roots)} than "
                "rank 0; all machines need the same shards"
            )

    def teardown(self, stage: str) -> None:
        """Log the bad samples."""
        self.tally.log_summary()

    def state_dict(self) -> dict[str, Any]:
        """The fingerprint of the clips and the counts of bad ones, for a checkpoint."""
        return {"fingerprint": self.fingerprint, "tally": self.tally.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Warn if the clips have changed; resume the counts of bad ones."""
        if state_dict["fingerprint"] != self.fingerprint:
            logger.warning(
                "the clips under %s have changed since the checkpoint: from here on the run sees "
                "other samples than an unbroken run would", ", ".join(self.config.roots),
            )  # fmt: skip
        self.tally.load_state_dict(state_dict["tally"])
