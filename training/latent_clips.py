"""Encodes whole clips, a few frames at a time, while workers decode the next ones."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.utils.data import DataLoader, Dataset

from datasets.bad_samples import Fault, UnreadableClipError
from datasets.clips import to_sample
from datasets.loading.clip_reader import ClipReader, nearest_size
from datasets.loading.collate import PackedBatch, pack
from datasets.loading.workers import settle_worker
from datasets.shards import IndexedSample
from models.codecs.vae import Codec, mask_to_latents
from training.config import TrainConfig

CHUNK_FRAMES = 32
"""Frames decoded at once; more take more memory, fewer reopen files more often."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One clip's latents as they are stored, or the reason for having none."""

    clip: IndexedSample
    latents: Float[np.ndarray, "t k y x"] | None = None
    mask: UInt8[np.ndarray, "t y x"] | None = None
    garment: Float[np.ndarray, "c y x"] | None = None
    fault: Fault | None = None


class Chunks(Dataset["PackedBatch | Fault"]):
    """Runs of frames of clips, in order."""

    def __init__(
        self, clips: list[IndexedSample], sizes: list[tuple[int, int]], timeout_s: float
    ) -> None:
        self.clips, self.sizes = clips, sizes
        self.reader = ClipReader(timeout_s=timeout_s)
        self.places = [
            (index, start)
            for index, clip in enumerate(clips)
            for start in range(0, clip.num_frames, CHUNK_FRAMES)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> "PackedBatch | Fault":
        index, start = self.places[number]
        clip = self.clips[index]
        frames = list(range(start, min(start + CHUNK_FRAMES, clip.num_frames)))
        record = clip.record
        size = nearest_size(int(record["height"]), int(record["width"]), self.sizes)
        try:
            tracks = self.reader.read(clip, frames, size)
        except UnreadableClipError as error:
            return error.fault
        known = torch.zeros(len(frames), dtype=torch.bool)
        return pack([to_sample(clip.key, number, tracks, known, "none")])


def encode_clips(
    clips: list[IndexedSample], config: TrainConfig, codec: Codec
) -> Iterator[Encoded]:
    """Each clip's latents, in order."""
    sizes = config.data.sizes(config.system.height, config.system.width)
    chunks = Chunks(clips, sizes, config.data.read_timeout_s)
    loader = DataLoader(
        chunks, batch_size=None, num_workers=config.data.num_workers,
        worker_init_fn=settle_worker,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    device = _device(config.trainer.accelerator)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    garment: np.ndarray | None = None
    fault: Fault | None = None
    for (index, start), chunk in zip(chunks.places, loader, strict=True):
        clip = clips[index]
        if isinstance(chunk, Fault):
            fault = fault or chunk
        elif fault is None:
            latents, mask, picture = _encode(chunk.to(device), codec, config.data.latent_dtype)
            parts.append((latents, mask))
            garment = picture if garment is None else garment
        if start + CHUNK_FRAMES < clip.num_frames:
            continue
        if fault is not None:
            yield Encoded(clip=clip, fault=fault)
        else:
            yield Encoded(
                clip=clip,
                latents=np.concatenate([latents for latents, _ in parts]),
                mask=np.concatenate([mask for _, mask in parts]),
                garment=garment,
            )
        parts, garment, fault = [], None, None


@torch.no_grad()
def _encode(
    chunk: PackedBatch, codec: Codec, dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents (t, k, y, x), mask (t, y, x) and the garment's latents (c, y, x)."""
    batch = chunk.unpack()
    video, log_variance = codec.encode_moments(batch.video[0])
    tracks = [video, codec.encode_images(batch.agnostic[0])]
    tracks.append(codec.encode_images(batch.densepose[0]))
    tracks += [] if log_variance is None else [log_variance]
    garment = codec.encode_images(batch.garment)[0]
    mask = mask_to_latents(batch.mask)[0, 0].to(torch.uint8)
    stored = torch.cat(tracks, dim=1).cpu().numpy().astype(dtype)
    return stored, mask.cpu().numpy(), garment.cpu().numpy().astype(dtype)


def _device(accelerator: str) -> torch.device:
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
