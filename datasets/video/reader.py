"""The one reader of videos: frames in order, whole, with times that rise, whatever the file is.

PyAV neither rotates nor applies the sample aspect; ``orientation.py`` does, and ``colours.py``
converts to RGB. Raw files are never accessed at random: a seek goes to the keyframe before and
reads on from there.
"""

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.logging as ffmpeg_logging
from av.error import ArgumentError, FFmpegError

from datasets.media_files import is_video_format, open_media, own_record, video_streams
from datasets.video.clock import DISCONTINUOUS_FORMATS, Clock, is_seekable
from datasets.video.colours import CONVERTED_MATRICES
from datasets.video.combs import MOST_FPS, MOST_LINES, hidden_order
from datasets.video.deinterlace import Deinterlacer, Timed
from datasets.video.parts import FilePart, Span, parts_of

ffmpeg_logging.set_level(
    ffmpeg_logging.PANIC
)  # broken files are reported as rejects, not as chatter
logger = logging.getLogger(__name__)

MAX_DECODE_ERRORS = 50
TIME_TOLERANCE_S = Fraction(1, 10_000)
FALLBACK_RATE = Fraction(25)  # of raw streams that state none, as FFmpeg assumes
MAX_RATE = 300  # a stated rate above this is a tick of the clock
CONTAINER_MARKS = (
    b"ftyp", b"\x1aE\xdf\xa3", b"RIFF", b"FLV", b"OggS", b"\x00\x00\x01\xba", b"GIF8",
)  # fmt: skip
"""First bytes of video files (mp4: after 4 bytes): distinguish a truncated video from others."""


UNREADABLE = {
    "empty_file": "the file has 0 bytes",
    "not_a_video": "the file cannot be read as a video",
    "no_video_stream": "it has no video stream",
    "truncated": "its index or all of its frames are missing",
    "unknown_colours": "its colours are coded by a matrix that cannot be converted",
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


@dataclass(kw_only=True)
class ReadNotes:
    """What was met while reading a file; filled by ``read_frames``."""

    num_errors: int = 0
    times_s: list[float] = field(default_factory=list)  # of the last good frame before each error
    num_interlaced: int = 0  # frames, deinterlaced
    is_mark_missing: bool = False  # the file calls them progressive
    joins_s: list[float] = field(default_factory=list)  # where another recording begins
    lost: list[Fraction] = field(default_factory=list)  # s; of packets that gave an error
    held: Fraction = Fraction(0)  # s; how long the last frame is shown, as the file states it


def open_video(path: Path, span: Span | None = None) -> tuple[Any, Any]:
    """A PyAV container and its main video stream, set to decode on one thread.

    Args:
        path: the file.
        span: a part of it (``parts_of``); None: what FFmpeg takes for the whole.

    Raises:
        UnreadableVideoError: empty_file, not_a_video, no_video_stream, truncated.
    """
    if path.stat().st_size == 0:
        raise UnreadableVideoError("empty_file", "0 bytes")
    try:
        source = path if span is None else FilePart(path, span)
        container = open_media(source, {"format_whitelist": _video_formats()})
    except FFmpegError as error:
        with path.open("rb") as file:
            start = file.read(64)
        is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
        if not is_webp and any(
            start.startswith(mark) or start[4:].startswith(mark) for mark in CONTAINER_MARKS
        ):
            raise UnreadableVideoError(
                "truncated", f"its index is missing ({error.strerror})"
            ) from None
        is_known = isinstance(error, ArgumentError)  # a format, but none of these
        detail = "it is a picture, a text or a list of files" if is_known else error.strerror
        raise UnreadableVideoError("not_a_video", detail or str(error)) from None
    pictures = video_streams(container)
    if pictures and pictures[0].codec_context is not None:
        pictures[0].thread_type = "NONE"
        return container, pictures[0]
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


@cache
def _video_formats() -> str:
    """FFmpeg's names of all formats that hold video: a playlist is not even opened.

    FFmpeg would read the files that it names, be it /dev/zero.
    """
    return ",".join(sorted(name for name in av.formats_available if is_video_format(name)))


def rate_of(stream: Any) -> Fraction:
    """Frames per second as the container states or implies it; 25 if it does not."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= MAX_RATE:
            return Fraction(rate)
    return FALLBACK_RATE


def stated_duration(container: Any, stream: Any, path: Path) -> Fraction | None:
    """Seconds as the container states them; None if it does not, or its clock cannot be trusted."""
    if len(parts_of(path)) > 1:
        return None  # of the first recording alone
    if container.format.name in DISCONTINUOUS_FORMATS and not is_seekable(path):
        return None  # estimated from the first and the last time stamp
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def has_alpha(stream: Any) -> bool:
    """Whether a video stream holds transparency, which reading ignores."""
    if stream.metadata.get("alpha_mode") == "1":  # VP8 and VP9 in Matroska
        return True
    pixel_format = stream.codec_context.format
    if stream.codec_context.name == "gif":  # it uses transparency to store changes alone
        return False
    return pixel_format is not None and any(part.is_alpha for part in pixel_format.components)


def read_frames(path: Path, notes: ReadNotes, start_s: float | None = None) -> Iterator[Timed]:
    """Frames in order as (time in seconds, PyAV frame), from ``start_s`` on.

    Times are those of ``Clock``. Frames with a wrong time stamp are dropped, interlaced ones made
    whole. Errors are counted in ``notes``; reading continues after them until there are
    MAX_DECODE_ERRORS.

    Raises:
        UnreadableVideoError: as ``open_video``.
    """
    if start_s is None or start_s <= 0 or not is_seekable(path):
        frames = _read(path, notes, None)
        first = next(frames, None)
    else:
        frames = _read(path, notes, start_s)
        first = next(frames, None)
        if first is None or first[0] > start_s + TIME_TOLERANCE_S:
            logger.info("%s: its index is wrong; reading from the start", path.name)
            frames.close()
            frames = _read(path, notes, None)
            first = next(frames, None)
    if first is None:
        return
    for time, frame in chain([first], frames):
        if start_s is None or time >= start_s - TIME_TOLERANCE_S:
            yield time, frame


def packet_times(path: Path) -> Iterator[Fraction]:
    """A time in seconds for each coded frame, in coding order; nothing is decoded.

    For limits on length and number of frames that do not believe the header.

    Raises:
        UnreadableVideoError: as ``open_video``.
    """
    notes = ReadNotes()
    for container, stream, clock, _ in _recordings(path, notes):
        packets = container.demux(stream)
        while notes.num_errors < MAX_DECODE_ERRORS:
            try:
                packet = next(packets, None)
            except FFmpegError:
                notes.num_errors += 1
                packets = container.demux(stream)
                continue
            if packet is None:
                break
            if packet.size:
                stamp = packet.pts if packet.dts is None else packet.dts
                time = None if stamp is None else stamp * (packet.time_base or stream.time_base)
                clock.place(time)
                yield clock.now


def _recordings(path: Path, notes: ReadNotes) -> Iterator[tuple[Any, Any, Clock, Span | None]]:
    """The container and the stream of each recording in a file, the clock of all, and its part."""
    spans = parts_of(path) if path.stat().st_size else ()
    clock: Clock | None = None
    first_error: UnreadableVideoError | None = None
    for span in spans if len(spans) > 1 else (None,):
        try:
            container, stream = open_video(path, span)
        except UnreadableVideoError as error:
            first_error = first_error or error
            notes.num_errors += 1
            notes.times_s.append(float(clock.now) if clock else 0.0)
            continue
        with container:
            if clock is None:
                clock = Clock(rate_of(stream), container.format.name)
            else:
                clock.begin_recording(rate_of(stream))
            yield container, stream, clock, span
    if clock is None and first_error is not None:
        raise first_error


def _read(path: Path, notes: ReadNotes, seek_s: float | None) -> Generator[Timed, None, None]:
    """All frames, or those from the keyframe before ``seek_s`` on."""
    whole = Deinterlacer()
    for container, stream, clock, span in _recordings(path, notes):
        order = _order_of(path, stream, span)
        notes.is_mark_missing |= order is not None
        if seek_s is not None:
            try:
                container.seek(int(seek_s / stream.time_base), stream=stream, backward=True)
            except FFmpegError:  # raw streams cannot be sought in
                return
        for frame in _decode(container, stream, notes, clock):
            if frame.pts is None and frame.dts is None and seek_s is not None:
                return  # nobody knows where the seek went
            tick = frame.time_base or stream.time_base
            _check_colours(frame)
            time = clock.place(*(None if s is None else s * tick for s in (frame.pts, frame.dts)))
            if time is None:
                continue
            notes.held = (frame.duration or 0) * tick
            if frame.is_corrupt:
                notes.num_errors += 1
                notes.times_s.append(float(time))
            yield from whole.push(time, frame, order)
            notes.num_interlaced = whole.num_interlaced
            notes.joins_s = [float(join) for join in clock.joins]
    yield from whole.flush()


def _order_of(path: Path, stream: Any, span: Span | None) -> str | None:
    """Which lines come first in frames that are interlaced without a mark; None: they are not."""
    if stream.height > MOST_LINES or rate_of(stream) > MOST_FPS:
        return None
    status = path.stat()
    return _hidden_order(str(path), span, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _hidden_order(path: str, span: Span | None, num_bytes: int, changed_ns: int) -> str | None:
    """Found once: a clip has the same frames whenever it is read, whatever it is cut from."""
    container, _ = open_video(Path(path), span)
    with container:
        if own_record(container):
            return None
    return hidden_order(partial(open_video, Path(path), span))


def _check_colours(frame: Any) -> None:
    if not frame.format.is_rgb and int(frame.colorspace) not in CONVERTED_MATRICES:
        raise UnreadableVideoError(
            "unknown_colours",
            f"its colours are coded by matrix {int(frame.colorspace)} of ISO/IEC 23091-2 (8: "
            "YCgCo, 10: BT.2020 with constant luminance, 14: ICtCp), which is not converted here; "
            "export it as BT.709",
        )


def _decode(container: Any, stream: Any, notes: ReadNotes, clock: Clock) -> Iterator[Any]:
    """Decoded frames; an error ends the demuxer's iterator, not the file."""
    packets = container.demux(stream)
    is_over = False
    while not is_over:
        packet = None
        try:
            packet = next(packets, None)
            is_over = packet is None
            frames = [] if packet is None else packet.decode()
        except FFmpegError:
            notes.num_errors += 1
            notes.times_s.append(float(clock.now))
            if packet is not None and packet.pts is not None:
                notes.lost.append(packet.pts * packet.time_base + clock.offset)
            packets = container.demux(stream)
            is_over = notes.num_errors >= MAX_DECODE_ERRORS
            frames = _remaining(stream) if is_over else []
        yield from frames


def _remaining(stream: Any) -> list[Any]:
    """Frames that a decoder still holds back for reordering."""
    try:
        return stream.codec_context.decode(None)
    except FFmpegError:
        return []
