"""Encode every clip once: ``python -m training.latents CONFIG.yaml [key=value ...]``.

The clips, size and codec are those of the training run that CONFIG describes; stages that share
them share the cache. It resumes clip by clip, and encodes again only shards that have changed. With
several devices start it with torchrun: each process encodes its own shards.
Format: ``datasets/loading/latents.py``.
"""

import io
import json
import logging
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.command import run_command
from configs.console import Progress, counted, size_in_words
from configs.errors import ConfigError, DataError
from configs.loading import load_config, split_arguments
from datasets.bad_samples import Fault, Tally
from datasets.loading.latents import (
    LATENT_MEMBERS,
    PLACE_MEMBERS,
    TRACKS,
    CacheKey,
    caches_of,
    note_path,
    read_note,
)
from datasets.shards import IndexedSample, find_shards, scan_shard
from datasets.storage import PART, put_in_place, write_file
from models.codecs.vae import Codec, build_codec
from models.system import SystemConfig
from training.config import TrainConfig
from training.encoding import cache_key
from training.latent_clips import Encoded, encode_clips

logger = logging.getLogger(__name__)

USAGE = 'make latents [CONFIG=configs/stage3.yaml] [ARGS="key=value ..."]'
SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """One shard to be encoded."""

    source: Path
    target: Path
    content: str  # of the source
    clips: list[IndexedSample]

    @property
    def num_frames(self) -> int:
        """Of all clips."""
        return sum(clip.num_frames for clip in self.clips)


def main(argv: list[str]) -> int:
    """Read the settings and encode."""
    path, overrides = split_arguments(argv, USAGE)
    config = load_config(TrainConfig, path, overrides)
    try:
        codec = build_codec(config.system.codec)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    encode_all(config, codec, cache_key(config))
    return 0


def encode_all(config: TrainConfig, codec: Codec, key: CacheKey) -> list[Path]:
    """Encode all missing shards; returns the caches' folders, one per root."""
    where = config.data.latents or "auto"
    try:
        data = replace(config.data, latents=where)
    except ValueError as error:  # settings that a cache cannot serve
        raise ConfigError(f"data: {error}") from error
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    folders = [caches_of(root, where) / key.name for root in data.roots]
    if len(set(folders)) < len(folders):
        raise ConfigError(
            f"two of the roots {', '.join(data.roots)} have the same name; with latents = {where} "
            "their caches would be one: use latents=auto"
        )
    jobs: list[ShardJob] = []
    faults: list[Fault] = []
    num_shards = 0
    tally = Tally(0, data.max_bad_share)
    for root, folder in zip(data.roots, folders, strict=True):
        shards = find_shards(root, SPLIT)
        if rank == 0:
            _prepare(folder, key, [shard.name for shard in shards])
        num_shards += len(shards)
        for shard in shards:
            scan = scan_shard(shard)
            faults += scan.faults
            tally.num_clips += len(scan.samples) + len(scan.faults)
            job = ShardJob(
                source=shard, target=folder / shard.name, content=scan.content, clips=scan.samples
            )
            if not _is_done(job):
                jobs.append(job)
    tally.add(faults)
    own = jobs[rank::world_size]
    frames = sum(job.num_frames for job in own)
    if own:
        _check_room(folders[0], frames, frame_bytes(config.system, data.latent_dtype))
    logger.info("%s: %d of %d shards to encode, %d frames", key.name, len(own), num_shards, frames)
    with Progress("encoding", frames, unit="frames") as bar:
        for job in own:
            _encode_shard(job, config, codec, tally, bar)
    tally.log_summary()
    return folders


def frame_bytes(system: SystemConfig, dtype: str) -> int:
    """Bytes per frame in a cache, without garments."""
    channels, _, height, width = system.latent_shape
    return height * width * (len(TRACKS) * channels * np.dtype(dtype).itemsize + 1)


def _prepare(folder: Path, key: CacheKey, shards: list[str]) -> None:
    """Write the folder's description, and remove files of shards that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"{SPLIT}-*"):
        if path.name.partition(".")[0] not in {Path(name).stem for name in shards}:
            path.unlink()
    content = {"key": key.words, "shards": {SPLIT: shards}}
    _write_json(folder / "cache.json", content)


def _is_done(job: ShardJob) -> bool:
    if not job.target.is_file() or not note_path(job.target).is_file():
        return False
    note = read_note(job.target)
    return note["source"] == job.content and note["num_bytes"] == job.target.stat().st_size


def _encode_shard(
    job: ShardJob, config: TrainConfig, codec: Codec, tally: Tally, bar: Progress
) -> None:
    """Write one shard under a temporary name, clip by clip, and rename it when complete."""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    note_path(job.target).unlink(missing_ok=True)
    pending = job.target.with_name(f"{job.target.stem}.{job.content[:12]}{PART}")
    for other in job.target.parent.glob(f"{job.target.stem}.*{PART}"):
        if other != pending:
            other.unlink()
    done, end = _whole_samples(pending)
    clips = [clip for clip in job.clips if clip.key not in done]
    bar.advance(sum(c.num_frames for c in job.clips if c.key in done))
    with pending.open("r+b" if pending.exists() else "w+b") as file:
        file.truncate(end)
        file.seek(end)
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for encoded in encode_clips(clips, config, codec):
                if encoded.fault is not None:
                    tally.add([encoded.fault])
                for member, content in _members(encoded):
                    info = tarfile.TarInfo(f"{encoded.clip.key}.{member}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
                file.flush()
                bar.advance(encoded.clip.num_frames)
    put_in_place(pending, job.target)
    note = {"source": job.content, "num_bytes": job.target.stat().st_size}
    _write_json(note_path(job.target), note)
    logger.info("%s: %d clips, %s", job.target, len(job.clips), size_in_words(note["num_bytes"]))


def _whole_samples(pending: Path) -> tuple[set[str], int]:
    """Keys that an interrupted run completed, and the offset where the last one ends."""
    if not pending.is_file():
        return set(), 0
    found = [s for s in scan_shard(pending, LATENT_MEMBERS).samples if "json" in s.members]
    ends = [offset + size for sample in found for offset, size in sample.members.values()]
    end = max(ends, default=0)
    return {sample.key for sample in found}, -(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _members(encoded: Encoded) -> Iterator[tuple[str, bytes]]:
    """The json comes last: a sample that has it is complete."""
    record: dict[str, Any] = dict(encoded.clip.record)
    if encoded.fault is not None:
        record["bad"] = encoded.fault.reason
    else:
        for name in (*LATENT_MEMBERS, *PLACE_MEMBERS):
            values = getattr(encoded, name.removesuffix(".npy"), None)
            if values is None:
                continue  # places were not asked for
            buffer = io.BytesIO()
            np.save(buffer, values)
            yield name, buffer.getvalue()
    yield "json", json.dumps(record, sort_keys=True).encode()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_file(path, json.dumps(content, indent=1, sort_keys=True).encode())


def _check_room(folder: Path, frames: int, each: int) -> None:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free, needed = shutil.disk_usage(existing).free, frames * each
    words, room = size_in_words(needed), size_in_words(free)
    logger.info("about %s will be written, %s are free", words, room)
    if needed > free:
        raise DataError(
            f"{folder} needs {words} for {counted(frames, 'frame')}, {room} are free; make room, "
            "or set data.latents=FOLDER on another disk"
        )


if __name__ == "__main__":
    run_command(main)
