"""Writes a result in the shape of its source: frames, size, time stamps, colours and sound.

The file appears under its name only when it is complete; the same frames give the same bytes.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
from av.codec.context import Flags

from configs.errors import DataError
from datasets.media_files import create_media
from datasets.storage import sweep, writing
from datasets.video.colours import FULL_RANGE, LIMITED_RANGE, to_frame
from inference.video.sound import Sound
from inference.video.source import SourceFrame, SourceVideo

# x264's mbtree with AVX-512 reads memory that nobody wrote where rows of macroblocks are short: the
# bytes of one video differed from run to run (docs/notes/files.md)
_ENCODER_OPTIONS = {"preset": "medium", "crf": "16", "x264-params": "mbtree=0"}
_ENCODER_THREADS = 2  # the encoder's result depends on it: the same bytes on every machine
_ROUNDING = Fraction(101, 100_000)  # s: largest error of Matroska's clock of 1/1000 s


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
    context.sample_aspect_ratio = Fraction(1)
    tags = source.colours.of_result()
    context.colorspace, context.color_primaries = tags.matrix, tags.primaries
    context.color_trc = tags.transfer
    context.color_range = FULL_RANGE if tags.is_full_range else LIMITED_RANGE
    clock = Fraction(1, 90_000)
    context.time_base = clock
    context.flags |= Flags.frame_duration
    context.thread_count = _ENCODER_THREADS
    sound = Sound(container, source)
    first: Fraction | None = None
    for index, shown in enumerate(frames):
        first = shown.time if first is None else first
        time = _steady(shown.time - first, index, source.rate)
        frame = to_frame(shown.image, stream.pix_fmt, tags)
        frame.pts, frame.time_base = round(time / clock), clock
        frame.duration = round(max(shown.held, 1 / source.rate) / clock)  # that of the last is kept
        container.mux(stream.encode(frame))
        sound.mux_until(shown.time, first)
    container.mux(stream.encode(None))
    if first is not None:
        sound.mux_until(None, first)


def _steady(time: Fraction, index: int, rate: Fraction) -> Fraction:
    """The exact time at a constant rate if the stored time is a rounded one (1/1000 s in MKV)."""
    exact = index / rate
    return exact if abs(time - exact) <= _ROUNDING else time
