"""Videos longer than the network's window: auto-regression (AR) and interpolated AR (IAR).

AR paints one window after the other; each starts from the end of the last::

    frames   0 1 2 3 4 5 6 7 8 9 ...
    window 1 * * * *
    window 2       k * * *             * painted, k known from before
    window 3             k * * *

IAR paints the start frames of all sub-videos first, together, then fills the sub-videos as a
batch; the last window of each is anchored on the next key frame as well::

    frames   0 1 2 3 4 5 6 7 8 9 ...
    round 1  *     *     *     *       key frames, jointly
    round 2  k * * k     k * * k
                   k * * k     ...     all sub-videos at once

Known frames are handed over as latents, never as decoded pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from inference.sampling import KnownFrames, sample_windows
from inference.solvers import SamplerConfig
from models.system import System
from models.viton_dit import Conditions

METHODS = ("iar", "ar")


@dataclass(frozen=True, kw_only=True)
class LongVideoConfig:
    """How a video is split into windows of the network."""

    method: str = "iar"
    window: int | None = None  # frames at once; None: as many as the system was built for
    overlap: int = 1  # frames a window takes over, known, from the one before it
    sub_video_length: int | None = None  # IAR: from key frame to key frame; None: window // 2
    batch_size: int = 4  # sub-videos filled at once: memory grows with it

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; one of {', '.join(METHODS)} is expected")
        if self.window is not None and self.window < self.overlap + 2:
            raise ValueError(
                f"window is {self.window} with overlap {self.overlap}; a window needs at least "
                f"overlap + 2 = {self.overlap + 2} frames"
            )
        for name in ("overlap", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is expected")
        if self.sub_video_length is not None and self.sub_video_length < 1:
            raise ValueError(
                f"sub_video_length is {self.sub_video_length}; at least 1 frame is expected"
            )


@dataclass(frozen=True, kw_only=True)
class Window:
    """One call of the sampler: which frames of the video it sees and which it paints."""

    frames: tuple[int, ...]  # ascending; those not in ``painted`` are known by then
    painted: tuple[int, ...]


Round = list[Window]
"""Windows that do not depend on each other."""


def plan_windows(num_frames: int, window: int, config: LongVideoConfig) -> list[Round]:
    """Order the work: every frame is painted exactly once, its known neighbours before it.

    Args:
        num_frames: length of the video, at least 1.
        window: most frames of one window, at least ``config.overlap + 2``.
        config: method, overlap, key frames.

    Raises:
        ValueError: a window too small for its overlap, or no frames.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; a video has at least one frame")
    if window < config.overlap + 2:
        raise ValueError(
            f"window is {window} with overlap {config.overlap}; a window needs at least "
            f"overlap + 2 = {config.overlap + 2} frames"
        )
    if num_frames <= window:
        everything = tuple(range(num_frames))
        return [[Window(frames=everything, painted=everything)]]
    stride = config.sub_video_length or max(2, window // 2)  # as far as stage 3 trains
    if config.method == "ar" or stride >= num_frames:
        return [[step] for step in _chain(list(range(num_frames)), window, config.overlap)]
    keys = list(range(0, num_frames, stride))
    rounds = [[step] for step in _chain(keys, window, config.overlap)]
    fills = [
        list(_fill(start, start + stride, num_frames, window, config.overlap)) for start in keys
    ]
    for index in range(max(len(fill) for fill in fills)):
        rounds.append([fill[index] for fill in fills if index < len(fill)])
    return rounds


def paint_video(
    system: System,
    control: Float[Tensor, "k t h w"],
    conditions: Conditions,
    sampler: SamplerConfig,
    config: LongVideoConfig,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "c t h w"]:
    """Paint the latents of a video of any length.

    Frames whose mask is empty are known from the start: they stay what they are.

    Args:
        system: the networks, in eval mode on their device.
        control: agnostic latents | DensePose latents | mask of all frames, on any device.
        conditions: one caption and one garment, projected, on the networks' device; what lies in
            ``control`` joins them window by window.
        sampler: how a window is sampled.
        config: how the video is split into windows.
        seed: names the noise; 0 or more.
        on_progress: told (network evaluations of frames done, of how many).

    Returns:
        Clean latents of all frames, float32, where ``control`` lies.
    """
    channels = system.codec.latent_channels
    known = ~control[-1].flatten(1).bool().any(dim=1)
    latents = torch.where(known[:, None, None], control[:channels], torch.zeros(()))
    window = config.window or system.config.num_frames
    rounds = _without_known(plan_windows(control.shape[1], window, config), known.tolist())
    total = count_evaluations(rounds) * sampler.num_steps
    done = 0
    for batch in (batch for step in rounds for batch in _batches(step, config.batch_size)):
        frames = [list(part.frames) for part in batch]
        size = len(batch) * len(frames[0])

        def on_step(steps: int, _: int, before: int = done, size: int = size) -> None:
            if on_progress is not None:
                on_progress(before + steps * size, total)

        given = KnownFrames(
            latents=torch.stack([latents[:, window] for window in frames]),
            known=torch.stack([known[window] for window in frames]),
        )
        painted = _paint(system, control, conditions, sampler, frames, given, seed, on_step)
        for row, part in zip(painted, batch, strict=True):
            for place, frame in enumerate(part.frames):
                if not known[frame]:
                    latents[:, frame] = row[:, place]
                    known[frame] = True
        done += size * sampler.num_steps
    return latents


def _paint(
    system: System,
    control: Tensor,
    conditions: Conditions,
    sampler: SamplerConfig,
    frames: list[list[int]],
    given: KnownFrames,
    seed: int,
    on_step: Callable[[int, int], None],
) -> Tensor:
    """One batch of windows of equal length, (b c t h w), where ``control`` lies."""
    device = conditions.caption.tokens.device
    known = KnownFrames(latents=given.latents.to(device), known=given.known.to(device))
    windows = torch.stack([control[:, window] for window in frames]).to(device)
    conditions = replace(conditions, control=swap_known(windows, known))
    latent_size = (control.shape[2], control.shape[3])
    painted = sample_windows(system, sampler, conditions, frames, latent_size, seed, known, on_step)
    return painted.to(control.device)


def swap_known(
    control: Float[Tensor, "b k t h w"], known: KnownFrames
) -> Float[Tensor, "b k t h w"]:
    """What training shows for known frames: the frame in the agnostic image's place, no mask."""
    channels = known.latents.shape[1]
    held = known.known[:, None, :, None, None]
    agnostic = torch.where(held, known.latents, control[:, :channels])
    mask = control[:, -1:].masked_fill(held, 0.0)
    return torch.cat([agnostic, control[:, channels:-1], mask], dim=1)


def count_evaluations(rounds: list[Round]) -> int:
    """Frames that pass through the network at each sampling step, known ones included."""
    return sum(len(window.frames) for step in rounds for window in step)


def _chain(frames: list[int], window: int, overlap: int) -> Iterator[Window]:
    """Windows over a row of frames, each starting with the last ``overlap`` of the one before."""
    yield Window(frames=tuple(frames[:window]), painted=tuple(frames[:window]))
    done = window
    while done < len(frames):
        end = min(done - overlap + window, len(frames))
        yield Window(frames=tuple(frames[done - overlap : end]), painted=tuple(frames[done:end]))
        done = end


def _fill(start: int, end: int, num_frames: int, window: int, overlap: int) -> Iterator[Window]:
    """Windows between key frame ``start`` and key frame ``end``; both are known.

    The last window ends with the next key frame and paints at least one frame before it. Behind
    the video's end there is no key frame, and the last window is open.
    """
    anchors = 1 if end < num_frames else 0
    end = min(end, num_frames)
    done = start + 1
    while done < end:
        first = max(start, done - overlap)
        room = window - (done - first)
        if end - done + anchors <= room:
            yield Window(frames=tuple(range(first, end + anchors)), painted=tuple(range(done, end)))
            return
        stop = min(done + room, end - anchors)
        yield Window(frames=tuple(range(first, stop)), painted=tuple(range(done, stop)))
        done = stop


def _without_known(rounds: list[Round], known: list[bool]) -> list[Round]:
    """Leave out windows that have nothing to paint."""
    left = [[part for part in step if not all(known[f] for f in part.painted)] for step in rounds]
    return [step for step in left if step]


def _batches(step: Round, batch_size: int) -> Iterator[Round]:
    """Windows of equal length together, at most ``batch_size`` of them."""
    for length in sorted({len(part.frames) for part in step}, reverse=True):
        equal = [part for part in step if len(part.frames) == length]
        for start in range(0, len(equal), batch_size):
            yield equal[start : start + batch_size]
