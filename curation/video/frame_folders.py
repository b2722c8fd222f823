"""A folder of numbered pictures counts as one video: the layout of the TikTok data set.

It must hold at least MIN_FRAMES pictures whose names are one stem and a number (``0001.png``,
``frame-12.jpg``), and no second such sequence. ``fps`` in the sidecar next to the folder
(``images.json`` next to ``images/``) is its frame rate; the default is FPS.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from configs.errors import DataError
from curation.video.sidecars import read_object
from datasets.storage import listed

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MIN_FRAMES = 8
FPS = 30.0
_NUMBERED = re.compile(r"(.*?)(\d+)")


def numbered(paths: Iterable[Path]) -> list[Path]:
    """The pictures among a folder's files in numerical order; empty: not a video."""
    found: dict[int, Path] = {}
    stems: set[str] = set()
    for path in paths:
        if path.suffix.lower() not in PICTURES:
            continue
        match = _NUMBERED.fullmatch(path.stem)
        if match is None or int(match[2]) in found:
            return []
        found[int(match[2])] = path
        stems.add(match[1])
    if len(found) < MIN_FRAMES or len(stems) > 1:
        return []
    return [found[number] for number in sorted(found)]


def frames_in(folder: Path) -> list[Path]:
    """The frames of a folder, in order."""
    return numbered(listed(folder))


def frames_rate(folder: Path) -> float:
    """Frames per second: ``fps`` of the sidecar next to the folder, or FPS.

    Raises:
        DataError: the sidecar cannot be read, or its ``fps`` is not a number in 0..240.
    """
    sidecar = folder.with_name(f"{folder.name}.json")
    if not sidecar.is_file():
        return FPS
    rate = read_object(sidecar).get("fps", FPS)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 240:
        raise DataError(f"sidecar {sidecar}: fps is {rate!r}; must be a number in 0..240")
    return float(rate)


def frames_sha256(folder: Path) -> str:
    """Hash of rate, names and bytes of its frames."""
    digest = hashlib.sha256(f"{frames_rate(folder):.6f}".encode())
    for path in frames_in(folder):
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
        digest.update(data)
    return digest.hexdigest()


def frames_stamp(folder: Path) -> tuple[int, int]:
    """(bytes, newest modification time in ns), to detect a changed folder without reading it."""
    stats = [path.stat() for path in frames_in(folder)]
    rate_ns = round(frames_rate(folder) * 1000)  # another rate is another video
    return (
        sum(status.st_size for status in stats),
        max((status.st_mtime_ns for status in stats), default=0) + rate_ns,
    )


def read_frame(path: Path) -> np.ndarray | None:
    """One picture as (height, width, 3) uint8 RGB; None if it is broken."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if image is None else np.ascontiguousarray(image[..., ::-1])


def decode_frames(folder: Path, start_s: float | None) -> Iterator[tuple[float, Any | None]]:
    """(time in seconds, PyAV frame) of every picture; None instead of a broken one."""
    rate = frames_rate(folder)
    for index, path in enumerate(frames_in(folder)):
        time_s = index / rate
        if start_s is not None and time_s < start_s - 0.5 / rate:
            continue
        image = read_frame(path)
        if image is None or min(image.shape[:2]) < 16:
            yield time_s, None
            continue
        yield time_s, av.VideoFrame.from_ndarray(image, format="rgb24")
