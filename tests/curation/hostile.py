"""Files as they come in the wild, made on the spot, and models that know the figure drawn in them.

The figure has a red head, a green top and blue legs on a gray ground that tells left from right.
``ColourModels`` plays detector, DensePose and parser by those colours alone, and sees a person only
where the head is above the legs, so a clip that is turned, squashed or washed out is not kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from curation.perception.protocols import BackendInfo, DensePose, Perception, Person
from curation.pipeline import Curator, SourceJob, SourceResult
from curation.settings import CurateConfig
from curation.video.sources import Source, find_sources, sha256_of
from datasets.labels import DensePosePart, ParseLabel
from inference.video.provenance import file_metadata
from inference.video.source import open_video
from inference.video.writer import write_result
from tests import perception_fixtures

HEIGHT, WIDTH, FPS = 256, 192, 10.0
NUM_FRAMES = 13
HEAD, TOP, LEGS = (210, 40, 40), (40, 170, 60), (50, 60, 200)
MIN_COLOUR = 60
"""Largest less smallest channel of the figure; the ground is gray."""
TIME_BASE = Fraction(1, 90_000)


def ground(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A gray picture with structure at several scales, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width), np.float32)
    tones = ((40, 200), (100, 255), (10, 120))[seed % 3]
    for cells in (4, 13, 40):
        coarse = rng.uniform(*tones, (cells, cells)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST) / 3
    return cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_GRAY2RGB)


@cache
def figure(height: int) -> tuple[np.ndarray, np.ndarray]:
    """The figure cut to its box: colours (height, width, 3) and mask (height, width)."""
    person = perception_fixtures.standing_person()
    assert person.mask is not None
    left, top, right, bottom = person.box.astype(int)
    mask = person.mask[top:bottom, left:right]
    rows = np.arange(bottom - top)[:, None] + top
    colours = np.where(rows < 74, 0, np.where(rows < 190, 1, 2))
    image = np.array([HEAD, TOP, LEGS], np.uint8)[np.broadcast_to(colours, mask.shape)]
    size = (round(height * mask.shape[1] / mask.shape[0]), height)
    return cv2.resize(image, size), cv2.resize(mask, size)


def draw(image: np.ndarray, x: int, height: int, top: int) -> np.ndarray:
    """The figure in a picture, its left side at ``x``."""
    colours, mask = figure(height)
    out = image.copy()
    part = out[top : top + height, x : x + mask.shape[1]]
    part[mask > 127] = colours[mask > 127]
    return out


def dance(
    count: int = NUM_FRAMES,
    *,
    seed: int = 0,
    height: int = HEIGHT,
    width: int = WIDTH,
    slow: int = 1,
) -> list[np.ndarray]:
    """RGB frames of one figure that moves to and fro; a ``seed`` is a room and a way."""
    room, tall = ground(seed, height, width), round(0.8 * height)
    wide = figure(tall)[1].shape[1]
    path = np.sin(np.arange(count) / slow * (0.5 + 0.13 * seed) + seed) * 0.45 + 0.5
    return [
        draw(room, round((width - wide) * float(share)), tall, round(0.1 * height))
        for share in path
    ]


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    fps: float = FPS,
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    aspect: Fraction | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    colour: tuple[int, int, int] | None = None,
) -> Path:
    """Encode RGB frames, uint8, or uint16 for ``colour`` (primaries, transfer, matrix).

    The container is told by the name's ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        context = stream.codec_context
        context.thread_count, context.time_base = 1, TIME_BASE
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if colour is not None:
            context.color_primaries, context.color_trc, context.colorspace = colour
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(frames):
            kind = "rgb48le" if image.dtype == np.uint16 else "rgb24"
            frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=kind)
            if colour is not None:
                frame.color_primaries, frame.color_trc = colour[:2]
                frame = frame.reformat(format=pixel_format, dst_colorspace="bt2020")
                frame.color_primaries, frame.color_trc, frame.colorspace = colour
            time_s = index / fps if times_s is None else times_s[index]
            frame.pts, frame.time_base = round(time_s * 90_000), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_two_sizes(path: Path, parts: Sequence[Sequence[np.ndarray]]) -> Path:
    """Parts of different sizes one after the other in one MPEG-TS stream."""
    start = 0
    with av.open(str(path), "w", format="mpegts") as container:
        stream: Any = None
        for part in parts:
            codec: Any = av.CodecContext.create("libx264", "w")
            codec.height, codec.width = part[0].shape[:2]
            codec.pix_fmt, codec.time_base, codec.thread_count = "yuv420p", TIME_BASE, 1
            codec.framerate = Fraction(FPS)
            codec.options = {"bf": "0", "preset": "veryfast"}
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(FPS))
                stream.height, stream.width = part[0].shape[:2]
                stream.pix_fmt = "yuv420p"
            for index, image in enumerate([*part, None]):
                frame: Any = None
                if image is not None:
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                    frame.pts, frame.time_base = round((start + index) / FPS * 90_000), TIME_BASE
                for packet in codec.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
            start += len(part)
    return path


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a, b, c, d of the display matrix into an mp4's track header, whatever stood there."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: after times, id, duration, layer and volume
    values = np.zeros(9, dtype=">i4")
    values[[0, 1, 3, 4]] = np.array(matrix) * 65_536
    values[8] = 1 << 30
    data[at : at + 36] = values.tobytes()
    path.write_bytes(data)
    return path


def write_sound(path: Path, cover: np.ndarray | None = None) -> Path:
    """One second of silence, with a picture as its cover if given."""
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream(
            "libmp3lame" if path.suffix == ".mp3" else "aac", rate=44_100
        )
        if cover is not None:
            picture: Any = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width, picture.pix_fmt = *cover.shape[:2], "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        silence = np.zeros((1, 44_100), dtype=np.float32)
        frame: Any = av.AudioFrame.from_ndarray(silence, format="flt", layout="mono")
        frame.sample_rate = 44_100
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        if cover is not None:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            container.mux(picture.encode(None))
    return path


def mdat_start(data: bytes) -> int:
    """Where the pictures of an mp4 begin."""
    return data.index(b"mdat") + 4


@dataclass(frozen=True)
class ColourModels:
    """Detector, DensePose and parser that know the figure by its colours."""

    info = BackendInfo(name="colours", version="1", weights_sha256=None, is_approximate=True)

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        """Every coloured piece whose head is above its legs."""
        return [self._people(frame) for frame in frames]

    def estimate(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[DensePose | None]:
        """Head, trunk and legs by colour, U and V all zero."""
        found: list[DensePose | None] = []
        for frame, person in zip(frames, people, strict=True):
            if person is None:
                found.append(None)
                continue
            left, top, right, bottom = person.box.astype(int)
            crop = cv2.resize(frame[top:bottom, left:right], (112, 112))
            parts = (0, DensePosePart.HEAD_LEFT, DensePosePart.TORSO_FRONT,
                     DensePosePart.UPPER_LEG_LEFT_FRONT)  # fmt: skip
            iuv = np.zeros((112, 112, 3), np.uint8)
            iuv[..., 0] = np.array(parts, np.uint8)[colour_of(crop)]
            found.append(DensePose(iuv=iuv, box=person.box))
        return found

    def parse(
        self, frames: Sequence[np.ndarray], people: Sequence[Person | None]
    ) -> list[np.ndarray]:
        """Face, upper and lower garment by colour."""
        labels = (ParseLabel.BACKGROUND, ParseLabel.FACE, ParseLabel.UPPER, ParseLabel.LOWER)
        table = np.array(labels, np.uint8)
        return [table[colour_of(frame)] for frame in frames]

    def _people(self, frame: np.ndarray) -> list[Person]:
        colours = colour_of(frame)
        joined = cv2.morphologyEx(
            (colours > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
        )
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(joined)
        found: list[Person] = []
        for index in range(1, count):
            left, top, width, height, area = (int(value) for value in stats[index])
            if area < 0.005 * colours.size or height < 1.5 * width:
                continue
            mask = pieces == index
            seen = [np.flatnonzero(((colours == kind) & mask).any(axis=1)) for kind in (1, 2, 3)]
            if not all(len(rows) for rows in seen):
                continue
            if not np.median(seen[0]) < np.median(seen[1]) < np.median(seen[2]):
                continue
            box = np.array([left, top, left + width, top + height], np.float32)
            person_mask = 255 * mask.astype(np.uint8)
            found.append(Person(box=box, score=0.99, keypoints=keypoints_in(box), mask=person_mask))
        return sorted(found, key=lambda person: -float(np.count_nonzero(person.mask)))


def colour_of(frame: np.ndarray) -> np.ndarray:
    """0 ground, 1 head, 2 top, 3 legs of each pixel, (height, width)."""
    red, green, blue = cv2.split(frame)
    strongest = cv2.max(cv2.max(red, green), blue)
    is_coloured = strongest - cv2.min(cv2.min(red, green), blue) > MIN_COLOUR
    kind = np.where(red == strongest, 1, np.where(green == strongest, 2, 3))
    return (kind * is_coloured).astype(np.uint8)


def keypoints_in(box: np.ndarray) -> np.ndarray:
    """COCO keypoints (17, 3) of the drawn figure whose box this is."""
    person = perception_fixtures.standing_person()
    points = person.keypoints.copy()
    scale = (box[2:] - box[:2]) / (person.box[2:] - person.box[:2])
    points[:, :2] = (points[:, :2] - person.box[:2]) * scale + box[:2]
    return points


def colour_perception() -> Perception:
    """``ColourModels`` in all three roles."""
    models = ColourModels()
    return Perception(detector=models, densepose=models, parser=models)


def build_worker(config: CurateConfig) -> Callable[..., SourceResult]:
    """What a worker process does with a job."""
    return Curator(config, colour_perception()).curate


def job_of(source: Source) -> SourceJob:
    """A job for a source of which nothing was made before."""
    return SourceJob(
        source=source, sha256=source.sha256, name=source.name, fingerprint="", known={}
    )


def jobs_in(folder: Path) -> list[SourceJob]:
    """A job for every file below a folder."""
    return [job_of(source) for source in find_sources(folder, sha256_of)]


def write_gif(path: Path) -> None:
    """An animation under another name."""
    first, *others = (Image.fromarray(frame).quantize(256) for frame in dance())
    first.save(path, "GIF", save_all=True, append_images=others, duration=round(1000 / FPS))


def write_tryon_result(path: Path) -> None:
    """A video that says of itself that try-on made it."""
    raw = open_video(write(path.with_name("raw.mkv"), dance()))
    write_result(path, raw.frames(), raw, file_metadata({"model": "x"}))
    raw.path.unlink()
