"""One training or evaluation sample, and a batch of them: the shapes that all packages share.

A sample is bytes; ``datasets.loading.collate`` stacks samples and converts them to a batch on the
device.

Letters: b batch, t frames, c channels, h height, w width. Height comes before width everywhere.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int16, UInt8
from torch import Tensor

AGNOSTIC_GRAY = 0.0
"""Value of an agnostic frame where the mask is 1, in the video's range of [-1, 1]."""


def bytes_to_signed(values: UInt8[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """0..255 -> [-1, 1], float32."""
    return values.to(torch.float32) / 127.5 - 1.0


def signed_to_bytes(values: Float[Tensor, "*s"]) -> UInt8[Tensor, "*s"]:
    """[-1, 1] -> 0..255, rounded to the nearest and clamped."""
    return ((values.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class SampleFormat:
    """How a network wants its conditions; stored with its system.

    Attributes:
        drawing: how DensePose is drawn: one of ``datasets.densepose.DRAWINGS``.
        garment_scale: the garment's picture is this many times as large as a frame.
        places: whether body coordinates and places are needed (``datasets/places.py``).
    """

    drawing: str = "parts"
    garment_scale: int = 1
    places: bool = False


@dataclass(frozen=True, kw_only=True)
class PoseLookup:
    """DensePose still to be rendered: its grids, and the row and column of each pixel in them.

    ``datasets.loading.densepose_batch.render_grids`` renders it. ``iuv`` has an extra row and
    column of background, which pixels outside the box refer to.
    """

    iuv: UInt8[Tensor, "*b t g g 3"]
    rows: Int16[Tensor, "*b t h"]
    columns: Int16[Tensor, "*b t w"]


@dataclass(frozen=True, kw_only=True)
class TryOnSample:
    """A window of one clip with its conditions, as bytes: a quarter of the size of floats."""

    key: str
    number: int  # in the run: seeds all its draws
    video: UInt8[Tensor, "t h w 3"]
    mask: UInt8[Tensor, "t h w"]  # above 127: to be painted, before any frame was swapped
    densepose: PoseLookup
    garment: UInt8[Tensor, "h2 w2 3"]  # on a plain background
    outline: UInt8[Tensor, "16 12"]  # share of garment in each field of its picture
    known: Bool[Tensor, " t"]  # frames whose condition is swapped for the true frame
    pattern: str  # the swapping pattern that made them known
    is_images: bool = False  # single frames instead of a window
    places: Float[Tensor, "t y x 3"] | None = None  # matched: datasets/places.py


@dataclass(frozen=True, kw_only=True)
class TryOnBatch:
    """Windows in the networks' ranges, on the device."""

    keys: list[str]
    video: Float[Tensor, "b t 3 h w"]  # in [-1, 1]
    mask: Float[Tensor, "b t 1 h w"]  # 1 = to be painted, 0 = kept; all 0 in known frames
    densepose: Float[Tensor, "b t 3 h w"]  # rendered, in [-1, 1]
    garment: Float[Tensor, "b 3 h2 w2"]  # on a plain background, in [-1, 1]
    outline: Float[Tensor, "b 16 12"]  # share of garment in each field of its picture, 0 to 1
    known: Bool[Tensor, "b t"]  # frames whose condition was swapped for the true frame
    body: Float[Tensor, "b 4 t y x"] | None = None  # body coordinates: datasets/places.py
    places: Float[Tensor, "b t y x 3"] | None = None  # matched: x, y, whether known

    @property
    def agnostic(self) -> Float[Tensor, "b t 3 h w"]:
        """The video where the mask is 0, gray where it is 1."""
        return compose_agnostic(self.video, self.mask)


@dataclass(frozen=True, kw_only=True)
class NumberedBatch(TryOnBatch):
    """A batch with its samples' numbers in the run, which seed noise and dropout."""

    numbers: Int[Tensor, " b"]
    patterns: list[str]  # of swapping
    is_images: bool = False  # single frames of each clip instead of a window


def compose_agnostic(
    video: Float[Tensor, "*b t 3 h w"], mask: Float[Tensor, "*b t 1 h w"]
) -> Float[Tensor, "*b t 3 h w"]:
    """Gray out what is to be painted: every agnostic frame that a network sees is made here."""
    return torch.where(mask > 0.5, torch.full_like(video, AGNOSTIC_GRAY), video)
