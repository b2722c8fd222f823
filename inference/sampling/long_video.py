"""Videos longer than the network's window: auto-regression (AR) and interpolated AR (IAR).

AR paints one window after the other; each starts with the end of the one before::

    frames   0 1 2 3 4 5 6 7 8 9 ...
    window 1 * * * *
    window 2       k * * *             * painted, k known from before
    window 3             k * * *

IAR first paints the start frames of all sub-videos (key frames) jointly, then fills the sub-videos
as a batch; the last window of each is also anchored on the next key frame::

    frames   0 1 2 3 4 5 6 7 8 9 ...
    round 1  *     *     *     *       key frames, jointly
    round 2  k * * k     k * * k
                   k * * k     ...     ``batch_size`` sub-videos at once, in order of time

Known frames are passed on as latents, never as decoded pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

METHODS = ("iar", "ar")


@dataclass(frozen=True, kw_only=True)
class LongVideoConfig:
    """How a video is split into windows of the network."""

    method: str = "iar"
    window: int | None = None  # frames at once; None: as many as the system was built for
    overlap: int = 1  # known frames that a window shares with the one before it
    sub_video_length: int | None = None  # IAR: from key frame to key frame; None: window // 2
    batch_size: int = 4  # sub-videos filled at once; memory grows with it
    noise_sharing: float = 0.0  # share of the noise's variance that all frames have in common

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
        if not 0 <= self.noise_sharing < 1:
            raise ValueError(f"noise_sharing is {self.noise_sharing}; 0 to less than 1 is expected")
        if self.sub_video_length is not None and self.sub_video_length < 1:
            raise ValueError(
                f"sub_video_length is {self.sub_video_length}; at least 1 frame is expected"
            )


@dataclass(frozen=True, kw_only=True)
class FrameWindow:
    """One call of the sampler: which frames of the video it sees and which it paints."""

    frames: tuple[int, ...]  # ascending; those not in ``painted`` are already known
    painted: tuple[int, ...]


Round = list[FrameWindow]
"""Windows that do not depend on each other."""


def plan_windows(num_frames: int, window: int, config: LongVideoConfig) -> list[Round]:
    """Order the work: every frame is painted exactly once, after the frames it builds on.

    After the key frames, the rounds go through the video from start to end.

    Args:
        num_frames: length of the video, at least 1.
        window: largest number of frames in one window, at least ``config.overlap + 2``.
        config: method, overlap, key frames.

    Raises:
        ValueError: the window is too small for its overlap, or there are no frames.
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
        return [[FrameWindow(frames=everything, painted=everything)]]
    stride = config.sub_video_length or max(2, window // 2)  # as far as stage 3 trains
    if config.method == "ar" or stride >= num_frames:
        return [[step] for step in _chain(list(range(num_frames)), window, config.overlap)]
    keys = list(range(0, num_frames, stride))
    rounds = [[step] for step in _chain(keys, window, config.overlap)]
    fills = [
        list(_fill(start, start + stride, num_frames, window, config.overlap)) for start in keys
    ]
    for first in range(0, len(fills), config.batch_size):
        batch = fills[first : first + config.batch_size]
        for index in range(max(len(fill) for fill in batch)):
            rounds.append([fill[index] for fill in batch if index < len(fill)])
    return rounds


def count_evaluations(rounds: list[Round]) -> int:
    """Frames that pass through the network at each sampling step, including known ones."""
    return sum(len(window.frames) for step in rounds for window in step)


def _chain(frames: list[int], window: int, overlap: int) -> Iterator[FrameWindow]:
    """Windows over a list of frames, each starting with the last ``overlap`` of the one before."""
    yield FrameWindow(frames=tuple(frames[:window]), painted=tuple(frames[:window]))
    done = window
    while done < len(frames):
        end = min(done - overlap + window, len(frames))
        yield FrameWindow(
            frames=tuple(frames[done - overlap : end]), painted=tuple(frames[done:end])
        )
        done = end


def _fill(
    start: int, end: int, num_frames: int, window: int, overlap: int
) -> Iterator[FrameWindow]:
    """Windows between key frame ``start`` and key frame ``end``; both are known.

    The last window ends with the next key frame and paints at least one frame before it. At the
    video's end there is no next key frame, and the last window has an open end.
    """
    anchors = 1 if end < num_frames else 0
    end = min(end, num_frames)
    done = start + 1
    while done < end:
        first = max(start, done - overlap)
        room = window - (done - first)
        if end - done + anchors <= room:
            yield FrameWindow(
                frames=tuple(range(first, end + anchors)), painted=tuple(range(done, end))
            )
            return
        stop = min(done + room, end - anchors)
        yield FrameWindow(frames=tuple(range(first, stop)), painted=tuple(range(done, stop)))
        done = stop
