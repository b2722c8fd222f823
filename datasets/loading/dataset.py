"""Tickets -> windows: what is drawn for a sample, and what replaces a bad one."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import Dataset

from datasets.bad_samples import Fault, UnreadableClipError
from datasets.clips import centre_window, choose_frames, choose_window, to_sample
from datasets.loading.clip_reader import ClipReader
from datasets.loading.clip_table import ClipTable
from datasets.loading.collate import PackedBatch, pack
from datasets.loading.config import DataConfig
from datasets.loading.latents import LatentBatch, LatentReader, LatentSample, stack_latents
from datasets.loading.recolour import recolour
from datasets.loading.sample_order import CLIPS, Stream, Ticket
from datasets.loading.swapping import choose_pattern, known_frames
from datasets.sample import SampleFormat, TryOnSample
from datasets.seeding import numpy_generator
from datasets.shards import IndexedSample


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One sample and the bad ones met before it; no sample if too many were bad."""

    sample: TryOnSample | LatentSample | None
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class UnreadableBatch:
    """Returned instead of a batch: too many clips in a row were unreadable for one sample."""

    faults: list[Fault]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The random choices of one sample."""

    frames: list[int]  # of the clip
    known: Bool[Tensor, " t"]
    pattern: str
    mirror: bool


class ClipDataset(Dataset[Drawn]):
    """Ticket -> the sample of that number.

    An unreadable clip is replaced by the next one in its epoch's order. No other sample shifts, and
    every worker, rank and resumed run makes the same replacement.
    """

    def __init__(
        self,
        table: ClipTable,
        streams: list[Stream],
        config: DataConfig,
        seed: int,
        format: SampleFormat | None = None,
    ) -> None:
        self.table, self.streams, self.config, self.seed = table, streams, config, seed
        self.reader = ClipReader(
            config.cache_mb, config.read_timeout_s, needs_garment_region=config.recolour > 0,
            format=format,
        )  # fmt: skip
        self.latent_reader = LatentReader(config.read_timeout_s)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}
        self._bad: dict[int, Fault] = {}

    def __getitem__(self, ticket: Ticket) -> Drawn:
        faults: list[Fault] = []
        stream = self.streams[ticket.stream]
        order, place = self._order(ticket)
        for attempt in range(min(len(order), self.config.max_bad_in_a_row)):
            row = int(stream.rows[order[(place + attempt) % len(order)]])
            if row in self._bad:
                faults.append(self._bad[row])
                continue
            try:
                sample = self._read(ticket.number, stream, self.table.sample(row))
                return Drawn(sample=sample, faults=faults)
            except UnreadableClipError as error:
                self._bad[row] = error.fault
                faults.append(error.fault)
        return Drawn(sample=None, faults=faults)

    def _order(self, ticket: Ticket) -> tuple[np.ndarray, int]:
        """The epoch's order of the ticket's stream, and the ticket's position in it."""
        count = len(self.streams[ticket.stream].rows)
        epoch, place = divmod(ticket.position, count)
        if self._orders.get(ticket.stream, (-1,))[0] != epoch:
            purpose = f"order {ticket.stream}" if ticket.stream else "order"
            order = numpy_generator(self.seed, purpose, epoch).permutation(count)
            self._orders[ticket.stream] = (epoch, order)
        return self._orders[ticket.stream][1], place

    def draw(self, number: int, kind: str, clip: IndexedSample) -> Draw:
        """Frames, known ones and mirroring of a sample, from (seed, number) and the clip."""
        config, random = self.config, numpy_generator(self.seed, "window", number)
        if kind == CLIPS:
            window = choose_window(clip.num_frames, config.num_frames, config.strides, random)
            frames = window.indices
        else:
            garment_frame = int(clip.record["garment_frame"])
            frames = choose_frames(clip.num_frames, config.images_per_window, random, garment_frame)
        random = numpy_generator(self.seed, "swap", number)
        pattern = choose_pattern(config.swapping, len(frames), random) if kind == CLIPS else "none"
        known = known_frames(pattern, len(frames), config.swapping.max_known, random)
        mirror = numpy_generator(self.seed, "flip", number).random() < config.flip
        return Draw(frames=frames, known=known, pattern=pattern, mirror=bool(mirror))

    def _read(self, number: int, stream: Stream, clip: IndexedSample) -> TryOnSample | LatentSample:
        drawn = self.draw(number, stream.kind, clip)
        indices = drawn.frames
        if self.config.latents is not None:
            return LatentSample(
                key=clip.key, number=number, tracks=self.latent_reader.read(clip, indices),
                known=drawn.known, pattern=drawn.pattern, is_images=stream.kind != CLIPS,
            )  # fmt: skip
        tracks = self.reader.read(clip, indices, stream.size, mirror=drawn.mirror)
        random = numpy_generator(self.seed, "recolour", number)
        if random.random() < self.config.recolour:
            tracks = recolour(tracks, random)
        return to_sample(
            clip.key, number, tracks, drawn.known, drawn.pattern, is_images=stream.kind != CLIPS
        )


class HeldOutWindows(Dataset[Drawn]):
    """The middle window of each held-out clip, nothing swapped."""

    def __init__(
        self,
        clips: list[IndexedSample],
        config: DataConfig,
        size: tuple[int, int],
        format: SampleFormat | None = None,
    ) -> None:
        self.clips, self.config, self.size = clips, config, size
        self.reader = ClipReader(timeout_s=config.read_timeout_s, format=format)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> Drawn:
        clip = self.clips[number]
        window = centre_window(clip.num_frames, self.config.num_frames, self.config.strides)
        tracks = self.reader.read(clip, window.indices, self.size)
        known = torch.zeros(window.num_frames, dtype=torch.bool)
        return Drawn(sample=to_sample(clip.key, number, tracks, known, "none"))


def collate_drawn(
    rows: list[Drawn], format: SampleFormat | None = None
) -> PackedBatch | LatentBatch | UnreadableBatch:
    """Stack samples and collect their faults; unreadable if a sample is missing."""
    faults = [fault for row in rows for fault in row.faults]
    lacking = next((row for row in rows if row.sample is None), None)
    if lacking is not None:
        return UnreadableBatch(faults=lacking.faults)
    latents = [row.sample for row in rows if isinstance(row.sample, LatentSample)]
    if latents:
        return stack_latents(latents, faults)
    samples = [row.sample for row in rows if isinstance(row.sample, TryOnSample)]
    return pack(samples, faults, format)
