"""Videos as people bring them: any matrix, range, depth, orientation, pixel aspect or clock."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, RATE = 96, 128, 25
ONE = 1 << 16
DISPLAY_MATRICES = {
    "upright": (ONE, 0, 0, ONE),
    "90": (0, ONE, -ONE, 0),
    "180": (-ONE, 0, 0, -ONE),
    "270": (0, -ONE, ONE, 0),
    "hflip": (-ONE, 0, 0, ONE),
    "vflip": (ONE, 0, 0, -ONE),
    "transpose": (0, ONE, ONE, 0),
    "transverse": (0, -ONE, -ONE, 0),
}
"""a, b, c, d of a track header: a point (x, y) is shown at (a x + c y, b x + d y)."""


def shown(image: np.ndarray, turn: str) -> np.ndarray:
    """A stored picture as a viewer sees it, from the definition of the matrix."""
    a, b, c, d = (value // ONE for value in DISPLAY_MATRICES[turn])
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    result = np.empty((y.max() + 1, x.max() + 1, 3), image.dtype)
    result[y, x] = image
    return result


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Flat coloured patches in an order that no mirror image or turn keeps, and a moving one."""
    colours = np.random.default_rng(5).integers(30, 225, (4, 4, 3)).astype(np.uint8)
    image = colours.repeat(height // 4, 0).repeat(width // 4, 1)
    image[8:24, 4 * index : 4 * index + 16] = (200, 60, 30)
    return np.ascontiguousarray(image)


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a file is made; colour numbers are those of ISO/IEC 23091-2."""

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    is_full_range: bool = False
    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    turn: str = "upright"
    pixel_aspect: Fraction = Fraction(1)
    is_interlaced: bool = False
    is_marked: bool = True  # its coder says so
    num_frames: int = 12
    start: int = 0  # ticks of 1/90000 s
    size: tuple[int, int] = (HEIGHT, WIDTH)
    container: str | None = None  # FFmpeg's name; by the file's suffix


def make_video(path: Path, made: Made) -> Path:
    """Write a video of ``picture`` with these properties."""
    options = {"crf": "4"} if made.codec.startswith("libx26") else {}
    if made.is_interlaced and made.is_marked:
        options |= {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    height, width = made.size
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=made.container) as container:
        stream = container.add_stream(made.codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, made.pixel_format
        context = stream.codec_context
        if made.codec not in {"mpeg2video", "mpeg4"}:  # they count frames
            context.time_base = Fraction(1, 90_000)
        context.sample_aspect_ratio = made.pixel_aspect
        context.colorspace, context.color_primaries = made.matrix, made.primaries
        context.color_trc = made.transfer
        context.color_range = 2 if made.is_full_range else 1
        for index in range(made.num_frames):
            image = picture(index, height, width)
            if made.is_interlaced:  # all of it moves, also between the two fields of a frame
                image = np.roll(image, 8 * index, axis=1)
                image[1::2] = np.roll(image, 4, axis=1)[1::2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=made.pixel_format,
                dst_colorspace={0: None, 2: 5, 6: 5}.get(made.matrix, made.matrix),
                dst_color_range=2 if made.is_full_range else 1,
                interpolation="BICUBIC",
            )
            frame.pts, frame.time_base = made.start + index * 3600, Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if made.turn != "upright":
        set_display_matrix(path, made.turn)
    return path


def set_display_matrix(path: Path, turn: str) -> None:
    """Write a matrix into an MP4's track header, as cameras do."""
    a, b, c, d = DISPLAY_MATRICES[turn]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))
