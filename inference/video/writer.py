"""Writes a result in the shape of its source: frames, size, time stamps, colours and sound.

The file appears under its name only when it is complete; the same frames give the same bytes.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np

from configs.errors import DataError
from curation.video.decode import open_video as open_container
from datasets.media_files import create_media
from datasets.storage import sweep, writing
from inference.video.source import BT709, FULL_RANGE, SourceFrame, SourceVideo

_COPIED_AUDIO = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_ENCODER_OPTIONS = {"preset": "medium", "crf": "16"}
_ENCODER_THREADS = 2  # the encoder's result depends on it: the same bytes on every machine
_ROUNDING = Fraction(101, 100_000)  # s: largest error of Matroska's clock of 1/1000 s

_logger = logging.getLogger(__name__)


def write_result(
    path: str | Path,
    frames: Iterable[SourceFrame],
    source: SourceVideo,
    metadata: Mapping[str, str],
) -> None:
    """Write frames as H.264 in MP4 with the source's time stamps, colours and sound.

    The file appears under its name only when it is complete. ``metadata``: its ``comment`` and so
    on.

    Raises:
        DataError: ``path`` cannot be written, or is the source itself.
    """
    path = Path(path)
    if path.exists() and path.samefile(source.path):
        raise DataError(f"out={path} is the source video itself; name another file")
    options = {"movflags": "+faststart"}
    try:
        sweep(path.parent)
        with (
            writing(path) as aside,
            create_media(aside, "mp4", options) as container,
        ):
            container.metadata.update(metadata)
            _mux(container, frames, source)
    except (OSError, av.error.FFmpegError) as error:  # such as a clock that goes back
        raise DataError(f"out={path} cannot be written: {error.strerror}") from error


def _mux(container: Any, frames: Iterable[SourceFrame], source: SourceVideo) -> None:
    stream = container.add_stream("libx264", rate=source.rate, options=_ENCODER_OPTIONS)
    stream.height, stream.width = source.height, source.width
    is_even = source.height % 2 == 0 and source.width % 2 == 0
    stream.pix_fmt = "yuv420p" if is_even else "yuv444p"
    context = stream.codec_context
    context.sample_aspect_ratio = source.pixel_aspect
    context.colorspace = BT709 if source.is_bt709 else 2
    context.color_range = FULL_RANGE if source.is_full_range else 1
    clock = Fraction(1, 90_000)
    context.time_base = clock
    context.thread_count = _ENCODER_THREADS
    sound = _Sound(container, source)
    first: Fraction | None = None
    for index, shown in enumerate(frames):
        first = shown.time if first is None else first
        time = _steady(shown.time - first, index, source.rate)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown.image), format="rgb24")
        frame = frame.reformat(
            format=stream.pix_fmt,
            dst_colorspace=BT709 if source.is_bt709 else None,
            dst_color_range=FULL_RANGE if source.is_full_range else 1,
        )
        frame.pts, frame.time_base = round(time / clock), clock
        container.mux(stream.encode(frame))
        sound.mux_until(shown.time, first)
    container.mux(stream.encode(None))
    if first is not None:
        sound.mux_until(None, first)


def _steady(time: Fraction, index: int, rate: Fraction) -> Fraction:
    """The exact time at a constant rate if the stored time is a rounded one (1/1000 s in MKV)."""
    exact = index / rate
    return exact if abs(time - exact) <= _ROUNDING else time


class _Sound:
    """Copies the source's first audio track, packet by packet, along with the pictures."""

    def __init__(self, container: Any, source: SourceVideo) -> None:
        self._packets: Iterator[Any] = iter(())
        self._pending: Any = None
        self._container = container
        if source.audio_codec is None:
            return
        if source.audio_codec not in _COPIED_AUDIO:
            _logger.warning("the audio codec %s does not fit MP4; the result is silent",
                            source.audio_codec)  # fmt: skip
            return
        self._input, _ = open_container(source.path)
        self._in_stream = self._input.streams.audio[0]
        self._out_stream = container.add_stream_from_template(self._in_stream)
        self._packets = (p for p in self._input.demux(self._in_stream) if p.dts is not None)
        self._pending = next(self._packets, None)
        # encoders put a packet of priming before time 0; it is part of the sound
        self._priming = 0 if self._pending is None else min(0, self._pending.pts)

    def mux_until(self, time: Fraction | None, first: Fraction) -> None:
        """Write packets that start before ``time`` (None: all); the pictures begin at ``first``."""
        while self._pending is not None:
            packet = self._pending
            if time is not None and packet.dts * packet.time_base > time:
                return
            shift = round(first / packet.time_base)
            if packet.pts >= shift + self._priming:  # sound before the first picture is dropped
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._out_stream
                self._container.mux(packet)
            self._pending = next(self._packets, None)
        if time is None and hasattr(self, "_input"):
            self._input.close()
