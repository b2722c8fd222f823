"""The one place where a video file is opened with PyAV, by a path taken as it stands.

FFmpeg reads ``10:30.mp4`` as a URL of a protocol called 10, and a playlist may name files and hosts
elsewhere: with ``file:`` in front and only that protocol allowed, a path is a path.
"""

import json
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # rendered data must not need PyAV
    from av.container import InputContainer, OutputContainer

NO_VIDEO_FORMATS = (
    "tty", "image2", "concat", "hls", "dash", "lavfi", "ffmetadata", "srt", "webvtt",
)  # fmt: skip
"""Formats that FFmpeg opens although the file is a text, a picture or a list of other files."""
_LOCAL = {"protocol_whitelist": "file"}


@runtime_checkable
class Readable(Protocol):
    """What FFmpeg reads instead of a file."""

    def read(self, count: int, /) -> bytes:
        """The next bytes, at most ``count``."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; returns it."""
        ...

    def tell(self) -> int:
        """The place of the next byte."""
        ...


def open_media(
    source: str | Path | BytesIO | Readable, options: Mapping[str, str] | None = None
) -> "InputContainer":
    """Open a file, or bytes in memory, for reading.

    Args:
        source: a path, absolute or relative, with any characters; or bytes, or part of a file.
        options: of FFmpeg's demuxer.

    Raises:
        av.error.FFmpegError: it cannot be opened or is of no known format.
    """
    import av

    wanted = dict(options or {})
    if isinstance(source, str | Path):
        source, wanted = _as_url(source), {**_LOCAL, **wanted}
    # old tools write titles in other encodings than UTF-8: no reason to refuse the pictures
    return av.open(source, "r", options=wanted, metadata_errors="replace")


def video_streams(container: "InputContainer") -> list[Any]:
    """The video tracks, without cover pictures: the main one comes first.

    It is the largest of those that the file calls default; players show it, too. Unknown codecs
    come last.
    """
    from av.stream import Disposition

    found = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return sorted(
        found,
        key=lambda s: (
            s.codec_context is None,
            not s.disposition & Disposition.default,
            -s.width * s.height if s.codec_context else 0,
        ),
    )


def create_media(
    path: str | Path, container_format: str, options: Mapping[str, str] | None = None
) -> "OutputContainer":
    """Open a file for writing.

    Args:
        path: taken as it stands.
        container_format: FFmpeg's name of a muxer, such as mp4.
        options: of the muxer.

    Raises:
        av.error.FFmpegError, OSError: it cannot be written.
    """
    import av

    return av.open(_as_url(path), "w", format=container_format, options=dict(options or {}))


def own_record(container: "InputContainer") -> dict[str, Any]:
    """What a result of try-on states about itself in its ``description``; empty for other files."""
    try:
        record = json.loads(container.metadata.get("description", "{}"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and record.get("synthetic") is True else {}


def is_video_format(name: str) -> bool:
    """Whether a container format, as FFmpeg names it, holds video rather than text or a picture."""
    names = name.split(",")
    return not any(part in NO_VIDEO_FORMATS or part.endswith("_pipe") for part in names)


def _as_url(path: str | Path) -> str:
    return f"file:{os.fspath(path)}"
