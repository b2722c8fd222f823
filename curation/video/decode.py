"""Raw videos, read once and in order with PyAV: header, upright frames, times as PTS.

PyAV neither rotates nor applies the sample aspect; ``Orientation`` and ``upright_size`` do. Raw
files are never accessed at random: a seek goes to the keyframe before and reads on from there.
"""

import logging
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.logging as ffmpeg_logging
import cv2
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from curation.video.frame_folders import decode_frames, frames_in, frames_rate, read_frame
from curation.video.tone_mapping import HLG, PQ, tone_map
from datasets.media_files import is_video_format, open_media, own_record

ffmpeg_logging.set_level(
    ffmpeg_logging.PANIC
)  # broken files are reported as rejects, not as chatter
logger = logging.getLogger(__name__)

HDR_TRANSFERS = {PQ: "PQ", HLG: "HLG"}
"""AVColorTransferCharacteristic of HDR10 and HLG."""
MAX_DECODE_ERRORS = 50
TIME_TOLERANCE_S = 1e-4
CONTAINER_MARKS = (b"ftyp", b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"\x00\x00\x01\xba")
"""First bytes of video files (mp4: after 4 bytes): distinguish a truncated video from others."""


UNREADABLE = {
    "empty_file": "the file has 0 bytes",
    "not_a_video": "the file cannot be read as a video",
    "no_video_stream": "it has no video stream",
    "truncated": "its index or all of its frames are missing",
    "no_frames": "no frame could be decoded",
    "corrupt_frames": "some frames could not be decoded",
}
"""Codes of ``UnreadableVideoError`` and their meanings."""


class UnreadableVideoError(Exception):
    """A file without readable video frames; ``code`` is the reason in a short, stable word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.detail)


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
    is_synthetic: bool = False  # a result of our try-on, as its metadata states


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How a coded frame becomes upright: a mirror image first (rarely), then quarter turns."""

    quarter_turns: int = 0  # clockwise
    is_mirrored: bool = False

    @property
    def degrees(self) -> int:
        """Degrees clockwise: 0, 90, 180 or 270."""
        return 90 * self.quarter_turns

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn (height, width, 3) upright; the result is contiguous."""
        if self.is_mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarter_turns))


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
        duration_s = None
        if stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / av.time_base
        rate = stream.average_rate or stream.guessed_rate
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Header(
            container=container.format.name,
            codec=codec.name,
            pixel_format=codec.pix_fmt,
            height=codec.height,
            width=codec.width,
            sample_aspect=float(aspect) if aspect > 0 else 1.0,
            average_fps=float(rate) if rate else None,
            duration_s=duration_s,
            transfer=int(codec.color_trc),
            num_bytes=path.stat().st_size,
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


def open_video(path: Path) -> tuple[Any, Any]:
    """A PyAV container and its first real video stream, set to decode on one thread.

    Raises:
        UnreadableVideoError: empty_file, not_a_video, no_video_stream, truncated.
    """
    if path.stat().st_size == 0:
        raise UnreadableVideoError("empty_file", "0 bytes")
    try:
        container = open_media(path)
    except FFmpegError as error:
        with path.open("rb") as file:
            start = file.read(64)
        if any(start.startswith(mark) or start[4:].startswith(mark) for mark in CONTAINER_MARKS):
            raise UnreadableVideoError(
                "truncated", f"its index is missing ({error.strerror})"
            ) from None
        raise UnreadableVideoError("not_a_video", error.strerror or str(error)) from None
    if not is_video_format(container.format.name):
        container.close()
        raise UnreadableVideoError("not_a_video", f"its format is {container.format.name}")
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    for stream in pictures:
        if stream.codec_context is not None:
            stream.thread_type = "NONE"
            return container, stream
    if pictures:
        container.close()
        raise UnreadableVideoError("not_a_video", "its codec is unknown to FFmpeg")
    kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
    container.close()
    if "audio" not in kinds:
        raise UnreadableVideoError(
            "not_a_video", f"its content is {container.format.name.partition(',')[0]}"
        )
    raise UnreadableVideoError("no_video_stream", f"it holds {', '.join(kinds)} only")


@dataclass(kw_only=True)
class DecodeFaults:
    """Errors while reading a file; filled by ``decode``."""

    num_errors: int = 0
    times_s: list[float] = field(default_factory=list)  # of the last good frame before each fault


def decode(
    path: Path, faults: DecodeFaults, start_s: float | None = None
) -> Iterator[tuple[float, Any]]:
    """Frames in order of time as (PTS in seconds, PyAV frame), from ``start_s`` on.

    Frames without a PTS, before zero, or not later than the one before are dropped. Errors are
    counted in ``faults``; decoding continues after them until there are MAX_DECODE_ERRORS.
    """
    if path.is_dir():
        yield from _read_folder(path, faults, start_s)
        return
    frames = _read(path, faults, start_s)
    first = next(frames, None)
    if start_s is not None and (first is None or first[0] > start_s + TIME_TOLERANCE_S):
        logger.info("%s: its index is wrong; reading from the start", path.name)
        frames.close()
        frames = _read(path, faults, None)
        first = next(frames, None)
    if first is None:
        return
    for time_s, frame in chain([first], frames):
        if start_s is None or time_s >= start_s - TIME_TOLERANCE_S:
            yield time_s, frame


def _read_folder(
    folder: Path, faults: DecodeFaults, start_s: float | None
) -> Iterator[tuple[float, Any]]:
    for time_s, frame in decode_frames(folder, start_s):
        if frame is None:
            faults.num_errors += 1
            faults.times_s.append(time_s)
            if faults.num_errors >= MAX_DECODE_ERRORS:
                return
            continue
        yield time_s, frame


def _read(
    path: Path, faults: DecodeFaults, seek_s: float | None
) -> Generator[tuple[float, Any], None, None]:
    container, stream = open_video(path)
    last_s = -1.0
    with container:
        if seek_s is not None and seek_s > 0:
            container.seek(int(seek_s / stream.time_base), stream=stream, backward=True)
        packets = container.demux(stream)
        is_over = False
        while not is_over:
            try:
                packet = next(packets, None)
                is_over = packet is None
                frames = [] if packet is None else packet.decode()
            except FFmpegError:
                faults.num_errors += 1
                faults.times_s.append(max(last_s, 0.0))
                # an error ends the iterator, not the file, and leaves frames in the decoder
                packets = container.demux(stream)
                is_over = faults.num_errors >= MAX_DECODE_ERRORS
                frames = _remaining(stream) if is_over else []
            for frame in frames:
                time_s = frame.time
                if time_s is None or time_s < 0 or time_s <= last_s:
                    continue
                if frame.is_corrupt:
                    faults.num_errors += 1
                    faults.times_s.append(time_s)
                last_s = time_s
                yield time_s, frame


def _remaining(stream: Any) -> list[Any]:
    """Frames that a decoder still holds back for reordering."""
    try:
        return stream.codec_context.decode(None)
    except FFmpegError:
        return []


def orientation_of(frame: Any) -> Orientation:
    """A frame's display matrix as a mirror image and quarter turns.

    The matrix sends (x, y) to (a x + c y, b x + d y), y downwards, in 16.16 fixed point
    (libavutil/display.h). Other angles are rounded to the nearest quarter turn.
    """
    for entry in frame.side_data:
        if str(entry.type).rsplit(".", maxsplit=1)[-1] == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(entry), dtype=np.int32)
            a, b, c, d = (float(values[i]) for i in (0, 1, 3, 4))
            is_mirrored = a * d - b * c < 0
            # a mirror image sends x to -x before the turn
            angle = np.degrees(np.arctan2(-b, -a) if is_mirrored else np.arctan2(b, a))
            return Orientation(
                quarter_turns=round(float(angle) / 90.0) % 4, is_mirrored=is_mirrored
            )
    return Orientation()


def square_size(frame: Any, sample_aspect: float) -> tuple[int, int]:
    """(height, width) of a coded frame with square pixels, not yet turned."""
    width = round(frame.width * sample_aspect)
    return frame.height, max(width, 1)


def upright_size(frame: Any, sample_aspect: float, orientation: Orientation) -> tuple[int, int]:
    """(height, width) of a frame as a viewer sees it."""
    height, width = square_size(frame, sample_aspect)
    return (width, height) if orientation.quarter_turns % 2 else (height, width)


def to_rgb(frame: Any, height: int, width: int, orientation: Orientation) -> np.ndarray:
    """One frame, upright, scaled to (height, width, 3) uint8 RGB by swscale."""
    if orientation.quarter_turns % 2:
        height, width = width, height
    interpolation = "AREA" if height < frame.height else "BICUBIC"
    return orientation.apply(scaled_rgb(frame, height, width, interpolation))


def scaled_rgb(frame: Any, height: int, width: int, interpolation: str) -> np.ndarray:
    """One frame as coded, scaled to (height, width, 3) uint8 RGB; HDR is tone-mapped."""
    kind = "rgb48le" if frame.color_trc in HDR_TRANSFERS else "rgb24"
    scaled = frame.reformat(width=width, height=height, format=kind, interpolation=interpolation)
    image = scaled.to_ndarray()
    return image if kind == "rgb24" else tone_map(image, frame.color_trc)


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """JPEG of an RGB image (height, width, 3) uint8."""
    is_written, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert is_written, "OpenCV writes JPEG"
    return data.tobytes()


def decode_jpeg(data: bytes) -> np.ndarray:
    """JPEG bytes as (height, width, 3) uint8 RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, "only what encode_jpeg wrote is read here"
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
