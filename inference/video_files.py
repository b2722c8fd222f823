"""A user's video read upright with its time stamps, and a result written in the same shape.

The result has as many frames, the size, the frame rate and (where MP4 can carry it) the sound of
the source; a comment in its metadata says that it is synthetic.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from configs.errors import DataError

_COPIED_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_BT709 = 1  # AVCOL_SPC_BT709: the matrix of most HD video
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_ENCODER_OPTIONS = {"preset": "medium", "crf": "16"}
_ROUNDING = Fraction(101, 100_000)  # s: what Matroska's clock of 1/1000 s can be off

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceFrame:
    """One decoded picture."""

    image: np.ndarray  # (height, width, 3) uint8 RGB, upright
    time: Fraction  # presentation time in seconds


@dataclass(frozen=True, kw_only=True)
class SourceVideo:
    """What a video file says about itself."""

    path: Path
    height: int  # upright, px
    width: int
    rate: Fraction  # frames a second, as the container states or implies it
    pixel_aspect: Fraction  # width of a pixel over its height, upright
    rotation: int  # degrees counter-clockwise that turn a stored frame upright
    is_bt709: bool
    is_full_range: bool
    audio_codec: str | None

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(self.rate)

    def frames(self) -> Iterator[SourceFrame]:
        """Decode from the beginning, in order of presentation; each call starts anew.

        A break in the middle of the file ends the iteration with a warning: what came before
        it is good.

        Raises:
            DataError: not a single frame can be decoded.
        """
        count = 0
        try:
            with av.open(str(self.path)) as container:
                for frame in container.decode(video=0):
                    image = _upright(frame.to_ndarray(format="rgb24"), self.rotation)
                    if image.shape[:2] != (self.height, self.width):
                        raise DataError(
                            f"video {self.path} changes its size at frame {count} from "
                            f"{self.height}x{self.width} to {image.shape[0]}x{image.shape[1]} "
                            "(height x width); cut it there first"
                        )
                    time = Fraction(count) / self.rate
                    if frame.pts is not None and frame.time_base is not None:
                        time = frame.pts * frame.time_base
                    yield SourceFrame(image=image, time=time)
                    count += 1
        except av.error.FFmpegError as error:
            if count:
                _logger.warning("%s is damaged after frame %d: %s", self.path, count - 1, error)
        if not count:
            raise DataError(f"video {self.path} holds no frame that can be decoded")


def open_video(path: str | Path) -> SourceVideo:
    """Probe a file by decoding its first frame.

    Raises:
        DataError: missing, not a video, or not decodable.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"video {path} does not exist; give a video file (mp4, mov, mkv, webm)")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} has no picture track; give a video file")
            stream = container.streams.video[0]
            first = next(container.decode(stream), None)
            pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            audio = (
                container.streams.audio[0].codec_context.name if container.streams.audio else None
            )
    except av.error.FFmpegError as error:
        raise DataError(f"{path} is no video that can be read; give an mp4, mov or mkv") from error
    if first is None:
        raise DataError(f"video {path} holds no frame that can be decoded")
    rotation = round(first.rotation / 90) * 90 % 360
    height, width = first.height, first.width
    if rotation in (90, 270):
        height, width, pixel_aspect = width, height, 1 / pixel_aspect
    return SourceVideo(
        path=path,
        height=height,
        width=width,
        rate=Fraction(rate),
        pixel_aspect=pixel_aspect,
        rotation=rotation,
        is_bt709=int(first.colorspace) == _BT709,
        is_full_range=int(first.color_range) == _FULL_RANGE,
        audio_codec=audio,
    )


def write_result(
    path: str | Path, frames: Iterable[SourceFrame], source: SourceVideo, comment: str
) -> None:
    """Write frames as H.264 in MP4 with the source's clock, colours and sound.

    The file appears under its name only when it is complete.

    Args:
        path: the file to write.
        frames: in order, of the source's size.
        source: gives rate, colour and sound.
        comment: provenance, stored as the file's ``comment``.

    Raises:
        DataError: the place cannot be written, or ``path`` is the source itself.
    """
    path = Path(path)
    if path.exists() and path.samefile(source.path):
        raise DataError(f"out={path} is the source video itself; name another file")
    partial = path.with_name(f".{path.stem}.part.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(
            str(partial), "w", format="mp4", options={"movflags": "+faststart"}
        ) as container:
            container.metadata["comment"] = comment
            _mux(container, frames, source)
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"out={path} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _mux(container: Any, frames: Iterable[SourceFrame], source: SourceVideo) -> None:
    stream = container.add_stream("libx264", rate=source.rate, options=_ENCODER_OPTIONS)
    stream.height, stream.width = source.height, source.width
    is_even = source.height % 2 == 0 and source.width % 2 == 0
    stream.pix_fmt = "yuv420p" if is_even else "yuv444p"
    context = stream.codec_context
    context.sample_aspect_ratio = source.pixel_aspect
    context.colorspace = _BT709 if source.is_bt709 else 2
    context.color_range = _FULL_RANGE if source.is_full_range else 1
    clock = Fraction(1, 90_000)
    context.time_base = clock
    sound = _Sound(container, source)
    first: Fraction | None = None
    for index, shown in enumerate(frames):
        first = shown.time if first is None else first
        time = _steady(shown.time - first, index, source.rate)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown.image), format="rgb24")
        frame = frame.reformat(
            format=stream.pix_fmt,
            dst_colorspace=_BT709 if source.is_bt709 else None,
            dst_color_range=_FULL_RANGE if source.is_full_range else 1,
        )
        frame.pts, frame.time_base = round(time / clock), clock
        container.mux(stream.encode(frame))
        sound.mux_until(shown.time, first)
    container.mux(stream.encode(None))
    if first is not None:
        sound.mux_until(None, first)


def _steady(time: Fraction, index: int, rate: Fraction) -> Fraction:
    """The exact time of a constant rate where the stored one is only rounded (1/1000 s in MKV)."""
    exact = index / rate
    return exact if abs(time - exact) <= _ROUNDING else time


class _Sound:
    """Copies the source's first audio track beside the pictures, packet by packet."""

    def __init__(self, container: Any, source: SourceVideo) -> None:
        self._packets: Iterator[Any] = iter(())
        self._pending: Any = None
        self._container = container
        if source.audio_codec is None:
            return
        if source.audio_codec not in _COPIED_AUDIO:
            _logger.warning("the sound (%s) does not fit MP4 and is left out", source.audio_codec)
            return
        self._input = av.open(str(source.path))
        self._in_stream = self._input.streams.audio[0]
        self._out_stream = container.add_stream_from_template(self._in_stream)
        self._packets = (p for p in self._input.demux(self._in_stream) if p.dts is not None)
        self._pending = next(self._packets, None)
        # encoders put a packet of priming before time 0: it belongs to the sound
        self._priming = 0 if self._pending is None else min(0, self._pending.pts)

    def mux_until(self, time: Fraction | None, first: Fraction) -> None:
        """Write packets that start before ``time`` (None: all); the pictures begin at ``first``."""
        while self._pending is not None:
            packet = self._pending
            if time is not None and packet.dts * packet.time_base > time:
                return
            shift = round(first / packet.time_base)
            if packet.pts >= shift + self._priming:  # sound before the first picture is cut off
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._out_stream
                self._container.mux(packet)
            self._pending = next(self._packets, None)
        if time is None and hasattr(self, "_input"):
            self._input.close()


def _upright(image: np.ndarray, rotation: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image, rotation // 90)) if rotation else image
