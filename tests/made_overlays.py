"""Captions, watermarks, stickers, bars and buttons as apps burn them into a video, for tests.

``Overlay`` draws on frames of any size; all lengths are shares of the frame's shorter side, as apps
scale them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
WORDS = (
    "wait for it", "this move", "5 6 7 8", "you got this", "new dance", "tag a friend",
    "so good", "part two", "follow me", "never again",
)  # fmt: skip
KINDS = (
    "caption", "caption_box", "caption_words", "caption_words_box", "watermark", "watermark_large",
    "watermark_moving", "sticker", "progress", "buttons",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """One overlay: its kind, and where its middle is, in shares of width and height."""

    kind: str
    x: float = 0.5
    y: float = 0.75
    size: float = 0.075  # height of its letters or parts, of the shorter side
    alpha: float = 1.0

    def layer(self, height: int, width: int, time_s: float, share: float) -> np.ndarray:
        """Its pixels (height, width, 4) uint8 RGBA at a moment; ``share`` of the video is over."""
        image = Image.new("RGBA", (width, height))
        unit = self.size * min(height, width)
        x, y = self.x * width, self.y * height
        pen = ImageDraw.Draw(image)
        if self.kind == "caption":
            _text(pen, x, y, "dance challenge\nday 12", unit, outline=0.12)
        elif self.kind == "caption_box":
            _text(pen, x, y, "POV: you learn it\nin one day", unit, box=(0, 0, 0, 255))
        elif self.kind == "caption_words":
            _text(pen, x, y, WORDS[int(time_s) % len(WORDS)], unit, outline=0.12)
        elif self.kind == "caption_words_box":
            words = WORDS[int(time_s) % len(WORDS)]
            _text(pen, x, y, words, unit, box=(255, 255, 255, 255), colour=(15, 15, 20, 255))
        elif self.kind == "watermark":
            _text(pen, x, y, "@dancer_42", unit)
        elif self.kind == "watermark_large":
            _text(pen, x, y, "SAMPLE", 2 * unit)
        elif self.kind == "watermark_moving":
            x = x if int(time_s / 1.5) % 2 == 0 else width - x
            y = y if int(time_s / 1.5) % 2 == 0 else height - y
            _text(pen, x, y, "♪ clips\n@dancer_42", unit)
        elif self.kind == "sticker":
            _face(pen, x, y, unit)
        elif self.kind == "progress":
            _progress(pen, x, y, 0.42 * width, unit, share)
        elif self.kind == "buttons":
            _buttons(pen, x, y, unit)
        else:
            raise AssertionError(self.kind)
        return np.asarray(image)

    def draw(self, frame: np.ndarray, time_s: float, share: float) -> np.ndarray:
        """A copy of a frame (height, width, 3) uint8 RGB with the overlay on it."""
        layer = self.layer(frame.shape[0], frame.shape[1], time_s, share)
        cover = layer[..., 3:].astype(np.float32) * (self.alpha / 255)
        mixed = frame + cover * (layer[..., :3] - frame.astype(np.float32))
        return np.rint(mixed).astype(np.uint8)

    def covers(self, height: int, width: int, time_s: float, share: float) -> np.ndarray:
        """(height, width) bool: pixels that it covers at a moment."""
        return self.layer(height, width, time_s, share)[..., 3] > 127


def draw_on(frames: np.ndarray, overlay: Overlay, fps: float) -> Iterator[np.ndarray]:
    """Every frame of (t, height, width, 3) uint8 RGB with the overlay on it."""
    for index, frame in enumerate(frames):
        yield overlay.draw(frame, index / fps, index / len(frames))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), max(size, 6))


def _text(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    words: str,
    unit: float,
    *,
    colour: tuple[int, ...] = (255, 255, 255, 255),
    box: tuple[int, ...] | None = None,
    outline: float = 0.0,
) -> None:
    font = _font(round(unit))
    stroke = round(outline * unit)
    options = {"font": font, "anchor": "mm", "align": "center", "stroke_width": stroke}
    if box is not None:
        left, top, right, bottom = pen.multiline_textbbox((x, y), words, **options)
        pad = 0.3 * unit
        around = (left - pad, top - pad, right + pad, bottom + pad)
        pen.rounded_rectangle(around, radius=pad, fill=box)
    pen.multiline_text((x, y), words, fill=colour, stroke_fill=(0, 0, 0, 255), **options)


def _face(pen: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
    radius = 1.3 * unit
    _disc(pen, x, y, radius, (255, 204, 51, 255))
    for side in (-1, 1):
        _disc(pen, x + side * 0.4 * radius, y - 0.25 * radius, 0.14 * radius, (80, 45, 10, 255))
    mouth = (x - 0.55 * radius, y - 0.4 * radius, x + 0.55 * radius, y + 0.65 * radius)
    pen.chord(mouth, 0, 180, fill=(80, 45, 10, 255))


def _progress(
    pen: ImageDraw.ImageDraw, x: float, y: float, half: float, unit: float, share: float
) -> None:
    thick = 0.14 * unit
    now = x - half + 2 * half * share
    pen.rectangle((x - half, y - thick, x + half, y + thick), fill=(255, 255, 255, 110))
    pen.rectangle((x - half, y - thick, now, y + thick), fill=(255, 255, 255, 255))
    _disc(pen, now, y, 0.28 * unit, (255, 255, 255, 255))


def _buttons(pen: ImageDraw.ImageDraw, x: float, y: float, unit: float) -> None:
    white = (255, 255, 255, 255)
    for index, count in enumerate(("1.2M", "8451", "share")):
        middle = y + (index - 1) * 2.6 * unit
        if index == 0:
            for side in (-1, 1):
                _disc(pen, x + side * 0.38 * unit, middle - 0.25 * unit, 0.45 * unit, white)
            pen.polygon(
                [(x - 0.8 * unit, middle), (x + 0.8 * unit, middle), (x, middle + 0.85 * unit)],
                fill=white,
            )
        elif index == 1:
            _disc(pen, x, middle, 0.8 * unit, white)
            for side in (-1, 0, 1):
                _disc(pen, x + side * 0.35 * unit, middle, 0.1 * unit, (40, 40, 40, 255))
        else:
            tip = x + 0.85 * unit
            pen.polygon([(x, middle - 0.8 * unit), (tip, middle), (x, middle + 0.8 * unit)],
                        fill=white)  # fmt: skip
            bar = (x - 0.8 * unit, middle - 0.3 * unit, x, middle + 0.3 * unit)
            pen.rectangle(bar, fill=white)
        _text(pen, x, middle + 1.3 * unit, count, 0.55 * unit)


def _disc(
    pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, ...]
) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
