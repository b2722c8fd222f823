"""Small videos of six containers and small pictures, damaged at random, and all that reads them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import tryon_fixtures
from waiting import cpu_at_most

from configs.errors import UserError
from curation.pipeline import Curator
from curation.selection.probe import ProbeConfig
from curation.settings import CurateConfig
from curation.workers.executor import Limit
from inference.conditions.garment import prepare_garment
from inference.video.source import open_video
from inference.video.writer import write_result
from tests.curation import hostile

CONTAINERS = {
    "mp4": "libx264", "mov": "mpeg4", "mkv": "libx264", "webm": "libvpx", "avi": "mpeg4",
    "ts": "libx264",
}  # fmt: skip
PICTURES = ("png", "jpg", "webp")
SIDES = (96, 128)  # height, width
NUM_FRAMES = 16
TS_PACKET = 188
CPU_LIMIT_S = 10.0
"""Most CPU time of all readers of one file: other work on the machine does not count."""
HANG_S = 90.0
"""Longest time by the clock, for readers that wait for something."""


def make_video(path: Path, codec: str) -> Path:
    """Someone in a red shirt."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options={"g": "6"})
        stream.height, stream.width = SIDES
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for index in range(NUM_FRAMES):
            image = tryon_fixtures.draw(index, *SIDES)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_picture(path: Path) -> Path:
    """A product photo."""
    photo = np.full((80, 60, 3), 235, np.uint8)
    photo[15:65, 12:48] = (200, 80, 40)
    assert cv2.imwrite(str(path), photo)
    return path


def damage(data: bytes, rng: random.Random, suffix: str) -> bytes:
    """One of: bytes flipped, a piece cut out or off, a piece doubled, two boxes swapped."""
    start = rng.choice((0, 0, max(0, len(data) - 4000), rng.randrange(len(data))))
    stop = min(len(data), start + rng.choice((16, 500, 4000, len(data))))
    kind = rng.choice(("flip", "cut", "end", "double", "swap"))
    if kind == "flip":
        flipped = bytearray(data)
        for _ in range(rng.choice((1, 4, 40, 400))):
            flipped[rng.randrange(start, stop)] = rng.randrange(256)
        return bytes(flipped)
    if kind == "cut":
        return data[:start] + data[stop:]
    if kind == "end":
        return data[: rng.randrange(len(data))]
    if kind == "double":
        return data[:stop] + data[start:stop] + data[stop:]
    borders = sorted(rng.sample(_borders(data, suffix), 4))
    a, b, c, d = borders
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _borders(data: bytes, suffix: str) -> list[int]:
    """Where boxes, packets or anything like them begin."""
    if suffix in ("mp4", "mov"):
        found = _boxes(data, 0, len(data))
    elif suffix == "ts":
        found = list(range(0, len(data) + 1, TS_PACKET))
    else:
        found = list(range(0, len(data) + 1, max(1, len(data) // 40)))
    return found if len(found) > 4 else list(range(len(data)))


def _boxes(data: bytes, start: int, stop: int) -> list[int]:
    """Begin and end of every box, and of those inside."""
    found: list[int] = []
    while start + 8 <= stop:
        size = int.from_bytes(data[start : start + 4], "big")
        end = start + size
        if size < 8 or end > stop:
            break
        found += [start, end]
        if data[start + 4 : start + 8] in {b"moov", b"trak", b"mdia", b"minf", b"stbl"}:
            found += _boxes(data, start + 8, end)
        start = end
    return sorted(set(found))


@dataclass(frozen=True)
class Readers:
    """Everything that reads a file of a user's; a ``UserError`` is how it may refuse one."""

    curator: Curator
    folder: Path

    def __call__(self, path: Path, set_limit: Callable[..., None]) -> list[str]:
        """What each reader said; any other error is a fault, and the worker reports it."""
        set_limit(Limit(seconds=HANG_S))  # from now on: the imports are done
        with cpu_at_most(CPU_LIMIT_S, path):
            return self._read(path)

    def _read(self, path: Path) -> list[str]:
        if path.suffix[1:] in PICTURES:
            return [self._said(lambda: prepare_garment(path, 64, 48).picture.shape)]
        return [
            self._said(lambda: self._curate(path)),
            self._said(lambda: self._rewrite(path)),
            self._said(lambda: self._worn(path)),
        ]

    def _said(self, read: Callable[[], object]) -> str:
        try:
            return f"read: {read()}"
        except UserError as error:
            return f"refused: {error}"

    def _curate(self, path: Path) -> object:
        (job,) = [job for job in hostile.jobs_in(path.parent) if job.source.path == path]
        result = self.curator.curate(job, lambda _: None)
        return result.row.code or [clip.code or clip.status for clip in result.clips]

    def _rewrite(self, path: Path) -> int:
        source = open_video(path)
        write_result(self.folder / "out.mp4", source.frames(), source, {})
        return len(list(open_video(self.folder / "out.mp4").frames()))

    def _worn(self, path: Path) -> object:
        perception = tryon_fixtures.colour_perception()
        return prepare_garment(f"{path}@0.5", 64, 48, perception=lambda: perception).picture.shape


def build_readers(folder: Path) -> Readers:
    """Made once in a worker process."""
    config = CurateConfig(out=str(folder / "out"), probe=ProbeConfig(min_side=64))
    return Readers(Curator(config, hostile.colour_perception()), folder)
