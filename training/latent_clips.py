"""Encodes whole clips, a few frames at a time, while workers decode the next ones."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch.utils.data import DataLoader, Dataset

from datasets.bad_samples import Fault, UnreadableClipError
from datasets.clips import to_sample
from datasets.loading.clip_reader import ClipReader, nearest_size
from datasets.loading.collate import PackedBatch, pack
from datasets.loading.workers import settle_worker
from datasets.sample import SampleFormat
from datasets.shards import IndexedSample
from models.codecs.vae import Codec, mask_to_latents
from training.config import TrainConfig
from training.encoding import sample_format

CHUNK_FRAMES = 32
"""Frames decoded at once; more take more memory, fewer reopen files more often."""
_OF_GARMENT = ("garment", "outline")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One clip's latents as they are stored, or the reason for having none."""

    clip: IndexedSample
    latents: Float[np.ndarray, "t k y x"] | None = None
    mask: UInt8[np.ndarray, "t y x"] | None = None
    garment: Float[np.ndarray, "c y2 x2"] | None = None
    body: Float[np.ndarray, "t 4 y x"] | None = None
    places: Float[np.ndarray, "t y x 3"] | None = None
    outline: Float[np.ndarray, "16 12"] | None = None
    fault: Fault | None = None


class Chunks(Dataset["PackedBatch | Fault"]):
    """Runs of frames of clips, in order."""

    def __init__(
        self,
        clips: list[IndexedSample],
        sizes: list[tuple[int, int]],
        timeout_s: float,
        format: SampleFormat,
    ) -> None:
        self.clips, self.sizes, self.format = clips, sizes, format
        self.reader = ClipReader(timeout_s=timeout_s, format=format)
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
        return pack([to_sample(clip.key, number, tracks, known, "none")], format=self.format)


def encode_clips(
    clips: list[IndexedSample], config: TrainConfig, codec: Codec
) -> Iterator[Encoded]:
    """Each clip's latents, in order."""
    sizes = config.data.sizes(config.system.height, config.system.width)
    format = sample_format(config.system)
    chunks = Chunks(clips, sizes, config.data.read_timeout_s, format)
    loader = DataLoader(
        chunks, batch_size=None, num_workers=config.data.num_workers,
        worker_init_fn=settle_worker,
        pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    device = _device(config.trainer.accelerator)
    parts: list[dict[str, np.ndarray]] = []
    fault: Fault | None = None
    for (index, start), chunk in zip(chunks.places, loader, strict=True):
        clip = clips[index]
        if isinstance(chunk, Fault):
            fault = fault or chunk
        elif fault is None:
            parts.append(_encode(chunk.to(device), codec, config.data.latent_dtype))
        if start + CHUNK_FRAMES < clip.num_frames:
            continue
        if fault is not None:
            yield Encoded(clip=clip, fault=fault)
        else:
            whole = {
                name: parts[0][name]
                if name in _OF_GARMENT
                else np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            yield replace(Encoded(clip=clip), **whole)
        parts, fault = [], None


@torch.no_grad()
def _encode(chunk: PackedBatch, codec: Codec, dtype: str) -> dict[str, np.ndarray]:
    """Fields of ``Encoded`` for some frames."""
    batch = chunk.unpack()
    shown = (batch.video, batch.agnostic, batch.densepose)  # TRACKS
    tracks = [codec.encode_images(frames[0]) for frames in shown]
    garment = codec.encode_images(batch.garment)[0]
    mask = mask_to_latents(batch.mask)[0, 0].to(torch.uint8)
    stored = torch.cat(tracks, dim=1).cpu().numpy().astype(dtype)
    found = {
        "latents": stored,
        "mask": mask.cpu().numpy(),
        "garment": garment.cpu().numpy().astype(dtype),
    }
    if batch.body is not None and batch.places is not None:
        found["body"] = rearrange(batch.body[0], "k t y x -> t k y x").cpu().numpy()
        found["places"] = batch.places[0].cpu().numpy()
        found["outline"] = batch.outline[0].cpu().numpy()
    return found


def _device(accelerator: str) -> torch.device:
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
