"""A user's video, read upright with its time stamps; an unreadable file is one sentence."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from configs.errors import DataError
from curation.video.decode import UnreadableVideoError
from curation.video.decode import open_video as open_container
from inference.errors import VideoTooLong, VideoUnreadable

BT709 = 1  # AVCOL_SPCBT709: the matrix of most HD video
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_LENGTH_TOLERANCE_S = 0.5  # containers round

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """Which videos are rejected; None sets no limit."""

    max_seconds: float | None = None
    max_unseen_share: float = 1.0  # of frames in which the person is not found, when painted


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceFrame:
    """One decoded picture."""

    image: np.ndarray  # (height, width, 3) uint8 RGB, upright
    time: Fraction  # presentation time in seconds


@dataclass(frozen=True, kw_only=True)
class SourceVideo:
    """What a video file states about itself."""

    path: Path
    height: int  # upright, px
    width: int
    rate: Fraction  # frames per second, as the container states or implies it
    pixel_aspect: Fraction  # width of a pixel over its height, upright
    rotation: int  # degrees counter-clockwise that turn a stored frame upright
    is_bt709: bool
    is_full_range: bool
    audio_codec: str | None
    duration_s: float | None  # as the container states it
    limits: VideoLimits = VideoLimits()

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are; None if the container does not state its duration."""
        return None if self.duration_s is None else max(1, round(self.duration_s * self.rate))

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.rate)

    def frames(self) -> Iterator[SourceFrame]:
        """Decode from the beginning, in order of presentation; each call starts again.

        Damage in the middle of the file ends the iteration with a warning; the frames before it
        are good.

        Raises:
            DataError: not a single frame can be decoded.
        """
        count = 0
        try:
            container, stream = open_container(self.path)
        except UnreadableVideoError as error:
            raise VideoUnreadable(f"video {self.path} cannot be read: {error.detail}") from error
        try:
            with container:
                for frame in container.decode(stream):
                    image = _upright(frame.to_ndarray(format="rgb24"), self.rotation)
                    if image.shape[:2] != (self.height, self.width):
                        raise VideoUnreadable(
                            f"video {self.path} changes its size at frame {count} from "
                            f"{self.height}x{self.width} to {image.shape[0]}x{image.shape[1]} "
                            "(height x width); cut the video there first"
                        )
                    time = Fraction(count) / self.rate
                    if frame.pts is not None and frame.time_base is not None:
                        time = frame.pts * frame.time_base
                    _check_length(self.path, float(time), self.limits)
                    yield SourceFrame(image=image, time=time)
                    count += 1
        except av.error.FFmpegError as error:
            if count:
                _logger.warning("%s is damaged after frame %d: %s", self.path, count - 1, error)
        if not count:
            raise VideoUnreadable(f"video {self.path} has no frame that can be decoded")

    def counted_frames(self, count: int) -> Iterator[SourceFrame]:
        """``frames``, checked against an earlier count.

        Raises:
            DataError: there are more or fewer frames; also as ``frames``.
        """
        found = 0
        for frame in self.frames():
            found += 1
            if found > count:
                break
            yield frame
        if found != count:
            raise DataError(
                f"video {self.path} had {count} frames in the first pass and has "
                f"{'more' if found > count else found} now; start again, and do not change the "
                "file meanwhile"
            )


def require_video(path: str | Path) -> None:
    """Reject a file that does not exist; it is not opened.

    Raises:
        VideoUnreadable: it does not exist.
    """
    if not os.path.isfile(path):
        raise VideoUnreadable(
            f"video {path} does not exist; give a video file (mp4, mov, mkv, webm)"
        )


def open_video(path: str | Path, limits: VideoLimits | None = None) -> SourceVideo:
    """Probe a file by decoding its first frame.

    Raises:
        VideoUnreadable: missing, not a video, or not decodable.
        VideoTooLong: it exceeds the limits.
    """
    path, limits = Path(path), limits or VideoLimits()
    require_video(path)
    try:
        container, stream = open_container(path)
    except UnreadableVideoError as error:
        if error.code == "no_video_stream":
            raise VideoUnreadable(f"{path} has no video track; give a video file") from error
        raise VideoUnreadable(
            f"{path} cannot be read as a video ({error.detail}); give an mp4, mov or mkv"
        ) from error
    with container:
        try:
            first = next(container.decode(stream), None)
        except av.error.FFmpegError:
            first = None
        if first is None:
            raise VideoUnreadable(f"video {path} has no frame that can be decoded")
        pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        duration = stream.duration * stream.time_base if stream.duration else None
        if duration is None and container.duration:
            duration = Fraction(container.duration, av.time_base)
        audio = container.streams.audio[0].codec_context.name if container.streams.audio else None
    rotation = round(first.rotation / 90) * 90 % 360
    height, width = first.height, first.width
    if rotation in (90, 270):
        height, width, pixel_aspect = width, height, 1 / pixel_aspect

    _check_length(path, float(duration or 0), limits)
    return SourceVideo(
        path=path,
        height=height,
        width=width,
        rate=Fraction(rate),
        pixel_aspect=pixel_aspect,
        rotation=rotation,
        is_bt709=int(first.colorspace) == BT709,
        is_full_range=int(first.color_range) == FULL_RANGE,
        audio_codec=audio,
        duration_s=None if duration is None else float(duration),
        limits=limits,
    )


def _check_length(path: Path, seconds: float, limits: VideoLimits) -> None:
    most = limits.max_seconds
    if most is not None and seconds > most + _LENGTH_TOLERANCE_S:
        raise VideoTooLong(
            f"video {path} is {seconds:.0f} s long or longer; at most {most:g} s are accepted",
            plain=f"This video is too long; at most {most:g} seconds are accepted.",
        )


def _upright(image: np.ndarray, rotation: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image, rotation // 90)) if rotation else image
