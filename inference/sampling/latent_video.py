"""Paints a video of any length, window by window, with latents on disk or in memory.

Only what a window needs is read, and only what it painted is written. A journal counts the finished
batches: a stopped job resumes after them with the same windows in the same batches, so the result
is identical to the bit.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from datasets.storage import disk_errors_named, write_file
from inference.sampling.long_video import LongVideoConfig, Round, count_evaluations, plan_windows
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import KnownFrames, sample_windows
from models.conditions import Conditions
from models.system import System

_COPIED = 64  # frames copied at once


@runtime_checkable
class Latents(Protocol):
    """The latents of a video's frames, by frame number; on the CPU, float32."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, frames, height, width."""
        ...

    def read(self, frames: Sequence[int]) -> Tensor:
        """Latents (c, n, h, w) of n frames."""
        ...

    def write(self, frames: Sequence[int], latents: Tensor) -> None:
        """Replace n frames by (c, n, h, w)."""
        ...


class MemoryLatents:
    """A tensor (c, t, h, w)."""

    def __init__(self, latents: Float[Tensor, "c t h w"]) -> None:
        self.latents = latents

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, frames, height, width."""
        channels, frames, height, width = self.latents.shape
        return channels, frames, height, width

    def read(self, frames: Sequence[int]) -> Tensor:
        """(c, n, h, w)."""
        return self.latents[:, list(frames)]

    def write(self, frames: Sequence[int], latents: Tensor) -> None:
        """Replace n frames."""
        self.latents[:, list(frames)] = latents


class FileLatents:
    """A file of float32, one frame after the other, read and written frame by frame.

    Args:
        path: created at its full size if absent.
        shape: channels, frames, height, width.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path, self.shape = path, shape
        self._record = 4 * shape[0] * shape[2] * shape[3]
        with disk_errors_named(path):
            self._file = path.open("r+b" if path.is_file() else "w+b", buffering=0)
            self._file.truncate(self._record * shape[1])

    def read(self, frames: Sequence[int]) -> Tensor:
        """(c, n, h, w)."""
        channels, _, height, width = self.shape
        values = np.empty((len(frames), channels, height, width), np.float32)
        for row, frame in enumerate(frames):
            data = os.pread(self._file.fileno(), self._record, frame * self._record)
            values[row] = np.frombuffer(data, np.float32).reshape(channels, height, width)
        return torch.from_numpy(values).transpose(0, 1)

    def write(self, frames: Sequence[int], latents: Tensor) -> None:
        """Replace n frames.

        Raises:
            DiskFull: there is no room for them.
        """
        values = latents.detach().float().transpose(0, 1).contiguous().numpy()
        for row, frame in enumerate(frames):
            self._write_all(values[row].tobytes(), frame * self._record)

    def _write_all(self, data: bytes, place: int) -> None:
        """A nearly full disk takes a part of a record and reports no error until the next call."""
        rest = memoryview(data)
        with disk_errors_named(self.path):
            while rest:
                written = os.pwrite(self._file.fileno(), rest, place)
                rest, place = rest[written:], place + written

    def sync(self) -> None:
        """Flush the file to disk; DiskFull: there is no room."""
        with disk_errors_named(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, so that it can be deleted."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # it could be opened
            self._file.close()


class Journal:
    """How many batches of a job are painted, in a file next to its latents."""

    def __init__(self, path: Path, latents: FileLatents) -> None:
        self._path, self._latents = path, latents

    @property
    def done(self) -> int:
        """Batches that need not be painted again."""
        return int(self._path.read_text()) if self._path.is_file() else 0

    def record(self, done: int) -> None:
        """Store the number of finished batches, after flushing their latents."""
        self._latents.sync()
        write_file(self._path, str(done).encode())


def paint_video(
    system: System,
    control: Float[Tensor, "k t h w"],
    conditions: Conditions,
    sampler: SamplerConfig,
    config: LongVideoConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "c t h w"]:
    """``paint_latents`` for a video that fits into memory; returns its clean latents."""
    shape = (system.codec.latent_channels, *control.shape[1:])
    latents = MemoryLatents(torch.zeros(shape))
    kept = unmasked_frames(control)
    paint_latents(
        system, MemoryLatents(control.cpu()), latents, kept, conditions, sampler, config, seed,
        on_progress,
    )  # fmt: skip
    return latents.latents


def paint_latents(
    system: System,
    control: Latents,
    latents: Latents,
    kept: Sequence[bool],
    conditions: Conditions,
    sampler: SamplerConfig,
    config: LongVideoConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
    journal: Journal | None = None,
) -> None:
    """Paint the latents of a video of any length.

    Args:
        system: the networks, in eval mode on their device.
        control: of all frames; ``System.unpack_control`` takes it apart.
        latents: output.
        kept: for each frame, whether its mask is empty: then it is known and kept unchanged.
        conditions: one caption and one garment, projected, on the networks' device; ``control`` is
            added to them window by window.
        sampler: how a window is sampled.
        config: how the video is split into windows.
        seed: selects the noise; 0 or more.
        on_progress: called with (network evaluations of frames done, their total).
        journal: of a job that can be resumed; None starts from the beginning.
    """
    _copy_kept(control, latents, kept)
    known = np.array(kept, bool)
    window = config.window or system.config.num_frames
    rounds = _without_known(plan_windows(len(known), window, config), known)
    batches = [batch for step in rounds for batch in _batches(step, config.batch_size)]
    total = count_evaluations(rounds) * sampler.num_steps
    done, finished = 0, journal.done if journal is not None else 0
    for number, batch in enumerate(batches):
        frames = [list(part.frames) for part in batch]
        size = len(batch) * len(frames[0])

        def on_step(steps: int, _: int, before: int = done, size: int = size) -> None:
            if on_progress is not None:
                on_progress(before + steps * size, total)

        painting = [~known[row] for row in frames]
        if number >= finished:
            painted = _paint(
                system, control, latents, known, conditions, sampler, frames, seed, config, on_step
            )
            for row, numbers, new in zip(painted, frames, painting, strict=True):
                places = np.flatnonzero(new).tolist()
                latents.write([numbers[place] for place in places], row[:, places])
            if journal is not None:
                journal.record(number + 1)
        for part in batch:
            known[list(part.painted)] = True
        done += size * sampler.num_steps
        if number < finished:
            on_step(0, 0, done)


def _paint(
    system: System,
    control: Latents,
    latents: Latents,
    known: np.ndarray,
    conditions: Conditions,
    sampler: SamplerConfig,
    frames: list[list[int]],
    seed: int,
    config: LongVideoConfig,
    on_step: Callable[[int, int], None],
) -> Tensor:
    """One batch of windows of equal length, (b c t h w) on the CPU."""
    device = conditions.caption.tokens.device
    given = KnownFrames(
        latents=torch.stack([latents.read(row) for row in frames]).to(device),
        known=torch.from_numpy(np.stack([known[row] for row in frames])).to(device),
    )
    windows = torch.stack([control.read(row) for row in frames]).to(device)
    shown, body = system.unpack_control(swap_known(windows, given))
    conditions = system.add_warped_garment(replace(conditions, control=shown, body=body))
    size = (control.shape[2], control.shape[3])
    return sample_windows(
        system, sampler, conditions, frames, size, seed, given, on_step, config.noise_sharing
    ).cpu()


def swap_known(
    control: Float[Tensor, "b k t h w"], known: KnownFrames
) -> Float[Tensor, "b k t h w"]:
    """What training shows for known frames: the frame in place of the agnostic image, no mask."""
    channels = known.latents.shape[1]
    held = known.known[:, None, :, None, None]
    agnostic = torch.where(held, known.latents, control[:, :channels])
    mask = control[:, -1:].masked_fill(held, 0.0)
    return torch.cat([agnostic, control[:, channels:-1], mask], dim=1)


def unmasked_frames(control: Float[Tensor, "k t h w"]) -> list[bool]:
    """For each frame, whether its mask (the last channel) is empty."""
    return (~control[-1].flatten(1).bool().any(dim=1)).tolist()


def _copy_kept(control: Latents, latents: Latents, kept: Sequence[bool]) -> None:
    """Copy the latents of frames that are kept unchanged."""
    frames = np.flatnonzero(np.array(kept, bool)).tolist()
    for start in range(0, len(frames), _COPIED):
        part = frames[start : start + _COPIED]
        latents.write(part, control.read(part)[: latents.shape[0]])


def _without_known(rounds: list[Round], known: np.ndarray) -> list[Round]:
    """The rounds without windows that have nothing to paint."""
    left = [[part for part in step if not known[list(part.painted)].all()] for step in rounds]
    return [step for step in left if step]


def _batches(step: Round, batch_size: int) -> Iterator[Round]:
    """Batches of windows of equal length, at most ``batch_size`` in each."""
    for length in sorted({len(part.frames) for part in step}, reverse=True):
        equal = [part for part in step if len(part.frames) == length]
        for start in range(0, len(equal), batch_size):
            yield equal[start : start + batch_size]
