"""Cuts videos into the clips that the video networks see, by a protocol's rule."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from training.metrics.protocols import Protocol

Video = UInt8[np.ndarray, "t h w 3"]
Clip = UInt8[np.ndarray, "clip_frames h w 3"]


class ClipSelector:
    """Cuts one method's videos, passed one by one in the benchmark's order, into clips."""

    def __init__(self, protocol: Protocol, waiting: Video | None = None) -> None:
        """Start at the first video, or after earlier RGB frames that do not fill a clip yet."""
        self.protocol = protocol
        self._waiting = None if waiting is None else self._ordered(waiting)

    def _ordered(self, frames: Video) -> Video:
        return frames if self.protocol.clip_colour_order == "rgb" else frames[..., ::-1]

    def push(self, video: Video) -> list[Clip]:
        """The clips completed by this video's frames.

        Args:
            video: RGB frames of the next video.

        Returns:
            Arrays (clip_frames, h, w, 3) in the protocol's colour order. Frames left over are
            dropped, or kept for the next video if the protocol's clips span videos.
        """
        size = self.protocol.clip_frames
        frames = self._ordered(video)
        if self._waiting is not None:
            frames = np.concatenate([self._waiting, frames])
        count = len(frames) // size
        if self.protocol.clip_selection == "across":
            self._waiting = frames[count * size :]
        if self.protocol.clip_selection == "first":
            count = min(count, 1)
        return [frames[index * size : (index + 1) * size] for index in range(count)]


def to_network_input(clips: list[Clip], protocol: Protocol) -> Float[Tensor, "b 3 t s s"]:
    """Clips resized to the networks' square (bilinear, aspect not kept) and scaled to [-1, 1]."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(clips)))
    num_clips = len(stacked)
    frames = rearrange(stacked, "b t h w c -> (b t) c h w").float() / 255
    side = protocol.clip_size
    if frames.shape[-2:] != (side, side):
        frames = F.interpolate(frames, (side, side), mode="bilinear", align_corners=False)
    return rearrange(frames * 2 - 1, "(b t) c h w -> b c t h w", b=num_clips)
