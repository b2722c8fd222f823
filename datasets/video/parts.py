"""Recordings that were joined by appending files, where FFmpeg stops after the first.

MPEG-TS, MPEG-PS, AVI, GIF and raw streams go on (``clock.py``). Of MP4, MOV, Matroska, FLV, WMV and
MXF FFmpeg reads the first file (Matroska: two), and what follows is lost without a word: their
headers are searched for, and each part is read like a file of its own.
"""

import mmap
import os
import re
from functools import lru_cache
from pathlib import Path

_HEADERS = {
    b"\x1aE\xdf\xa3": re.compile(rb"\x1aE\xdf\xa3.{1,40}?B\x82.{1,2}(?:matroska|webm)", re.DOTALL),
    b"FLV\x01": re.compile(rb"FLV\x01[\x00\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00"),
    b"0&\xb2u": re.compile(re.escape(bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C"))),
    b"\x06\x0e+4": re.compile(re.escape(bytes.fromhex("060E2B34020501010D0102010102"))),
}
"""First bytes of a file, and what begins each part of it: Matroska, FLV, ASF (WMV), MXF."""

Span = tuple[int, int]
"""First byte of a part, and the one behind its last."""


class FilePart:
    """A part of a file, read by FFmpeg as if it was the whole."""

    def __init__(self, path: Path, span: Span) -> None:
        self._start, self._size = span[0], span[1] - span[0]
        self._place = 0
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self._file)

    def read(self, count: int) -> bytes:
        """The next bytes, at most ``count``."""
        count = max(0, min(count, self._size - self._place))
        data = os.pread(self._file, count, self._start + self._place)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; returns it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place


def parts_of(path: Path) -> tuple[Span, ...]:
    """The recordings in a file, in order; one for an ordinary file, and for one that is empty."""
    status = path.stat()
    return _parts_of(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _parts_of(path: str, num_bytes: int, changed_ns: int) -> tuple[Span, ...]:
    with open(path, "rb") as file:
        start = file.read(8)
        if start[4:8] == b"ftyp":
            starts = _movie_starts(file.fileno(), num_bytes)
        elif header := _HEADERS.get(start[:4]):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                starts = [found.start() for found in header.finditer(data)]
        else:
            starts = []
    starts = sorted({0, *starts})  # a first header may be damaged
    return tuple(zip(starts, [*starts[1:], num_bytes], strict=True))


def _movie_starts(file: int, num_bytes: int) -> list[int]:
    """Places of ``ftyp`` boxes that follow a finished movie, and the first; boxes are walked."""
    starts, place, boxes = [0], 0, set[bytes]()
    while place + 8 <= num_bytes:
        head = os.pread(file, 16, place)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind == b"ftyp" and {b"moov", b"mdat"} <= boxes:
            starts.append(place)
            boxes = set()
        boxes.add(kind)
        if size < 8:  # 0: to the end of the file; others: damaged
            break
        place += size
    return starts
