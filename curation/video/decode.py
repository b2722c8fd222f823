"""Raw videos as curation reads them: the header, and frames of a file or a folder of pictures.

Files are read by ``datasets/video/reader.py``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation

from curation.video.frame_folders import decode_frames, frames_in, frames_rate, read_frame
from datasets.media_files import own_record
from datasets.video.colours import scaled_rgb
from datasets.video.orientation import Orientation
from datasets.video.reader import (
    MAX_DECODE_ERRORS,
    ReadNotes,
    UnreadableVideoError,
    has_alpha,
    open_video,
    read_frames,
    stated_duration,
)
from datasets.video.upright import aspect_of


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file declares about itself; nothing is decoded, and little of it is trusted."""

    container: str
    codec: str
    pixel_format: str | None
    height: int  # as coded, before rotation and sample aspect
    width: int
    sample_aspect: float  # width of a pixel over its height
    average_fps: float | None
    duration_s: float | None
    transfer: int | None
    num_bytes: int
    has_alpha: bool = False  # transparency, which is ignored
    is_synthetic: bool = False  # a result of our try-on, as its metadata states


def read_header(path: Path) -> Header:
    """Open a file without decoding it.

    Raises:
        UnreadableVideoError: empty_file, not_a_video, no_video_stream, truncated.
    """
    if path.is_dir():
        return _frames_header(path)
    container, stream = open_video(path)
    with container:
        codec = stream.codec_context
        duration = stated_duration(container, stream, path)
        rate = stream.average_rate or stream.guessed_rate
        return Header(
            container=container.format.name,
            codec=codec.name,
            pixel_format=codec.pix_fmt,
            height=codec.height,
            width=codec.width,
            sample_aspect=float(aspect_of(stream)),
            average_fps=float(rate) if rate else None,
            duration_s=None if duration is None else float(duration),
            transfer=int(codec.color_trc),
            num_bytes=path.stat().st_size,
            has_alpha=has_alpha(stream),
            is_synthetic=bool(own_record(container)),
        )


def _frames_header(folder: Path) -> Header:
    """The header of a folder of numbered pictures."""
    paths = frames_in(folder)
    first = next((image for path in paths if (image := read_frame(path)) is not None), None)
    if first is None:
        raise UnreadableVideoError("not_a_video", "none of its pictures can be read")
    rate = frames_rate(folder)
    return Header(
        container="pictures",
        codec=paths[0].suffix[1:].lower(),
        pixel_format="rgb24",
        height=first.shape[0],
        width=first.shape[1],
        sample_aspect=1.0,
        average_fps=rate,
        duration_s=len(paths) / rate,
        transfer=None,
        num_bytes=sum(path.stat().st_size for path in paths),
    )


def decode(
    path: Path, notes: ReadNotes, start_s: float | None = None
) -> Iterator[tuple[float, Any]]:
    """Frames of a file or a folder in order as (time in seconds, PyAV frame), from ``start_s`` on.

    Errors are counted in ``notes``; decoding continues after them until there are
    MAX_DECODE_ERRORS. For a file see ``read_frames``.
    """
    if path.is_dir():
        yield from _read_folder(path, notes, start_s)
        return
    for time, frame in read_frames(path, notes, start_s):
        yield float(time), frame


def _read_folder(
    folder: Path, notes: ReadNotes, start_s: float | None
) -> Iterator[tuple[float, Any]]:
    for time_s, frame in decode_frames(folder, start_s):
        if frame is None:
            notes.num_errors += 1
            notes.times_s.append(time_s)
            if notes.num_errors >= MAX_DECODE_ERRORS:
                return
            continue
        yield time_s, frame


def to_rgb(frame: Any, height: int, width: int, orientation: Orientation) -> np.ndarray:
    """One frame, upright, scaled to (height, width, 3) uint8 RGB by swscale."""
    if orientation.quarter_turns % 2:
        height, width = width, height
    interpolation = Interpolation.AREA if height < frame.height else Interpolation.BICUBIC
    return orientation.apply(scaled_rgb(frame, height, width, interpolation))


def decode_jpeg(data: bytes) -> np.ndarray:
    """JPEG bytes as (height, width, 3) uint8 RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "only what encode_jpeg wrote is read here"
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
