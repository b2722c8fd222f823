"""Samples of bytes -> a stacked batch -> the networks' ranges, on the device.

Workers return bytes, a quarter of the size of floats, and DensePose on its grids; both become
pictures in [-1, 1] on the device.
"""

from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Int16, UInt8
from torch import Tensor

from datasets.bad_samples import Fault
from datasets.loading.densepose_batch import draw_iuv, render_grids
from datasets.loading.swapping import swap_mask
from datasets.places import body_cells
from datasets.sample import NumberedBatch, SampleFormat, TryOnSample, bytes_to_signed

Batch = TypeVar("Batch", bound="Movable")


@dataclass(frozen=True, kw_only=True)
class Movable:
    """Base of all batches: moves its tensor fields between devices.

    ``faults`` are the samples that could not be read while the batch was built; ``is_images``: the
    frames of each row are single frames of one clip instead of a window.
    """

    keys: list[str]
    numbers: Int[Tensor, " b"]
    known: Bool[Tensor, "b t"]
    patterns: list[str]
    faults: list[Fault] = field(default_factory=list)
    is_images: bool = False

    def to(self: Batch, device: torch.device | str, non_blocking: bool = True) -> Batch:
        """The same batch on another device."""
        return replace(
            self, **{n: v.to(device, non_blocking=non_blocking) for n, v in self._tensors().items()}
        )

    def pin_memory(self: Batch) -> Batch:
        """The same batch in page-locked memory; called by the loader."""
        return replace(
            self, **{name: value.pin_memory() for name, value in self._tensors().items()}
        )

    def _tensors(self) -> dict[str, Tensor]:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True, kw_only=True)
class PackedBatch(Movable):
    """Stacked bytes. DensePose is still on its grids, with each pixel's row and column."""

    video: UInt8[Tensor, "b t h w 3"]
    mask: UInt8[Tensor, "b t h w"]
    garment: UInt8[Tensor, "b h2 w2 3"]
    outline: UInt8[Tensor, "b 16 12"]
    iuv: UInt8[Tensor, "b t g g 3"]
    rows: Int16[Tensor, "b t h"]
    columns: Int16[Tensor, "b t w"]
    places: Float[Tensor, "b t y x 3"] | None = None
    format: SampleFormat = field(default_factory=SampleFormat)

    def unpack(self) -> NumberedBatch:
        """Convert to the networks' ranges, render DensePose and zero known frames' masks."""
        flat = (self.iuv.flatten(0, 1), self.rows.flatten(0, 1), self.columns.flatten(0, 1))
        iuv, t = render_grids(*flat), self.iuv.shape[1]
        body = None
        if self.format.places:
            body = rearrange(body_cells(iuv), "(b t) k y x -> b k t y x", t=t)
        mask = rearrange((self.mask > 127).to(torch.float32), "b t h w -> b t 1 h w")
        return NumberedBatch(
            keys=self.keys,
            numbers=self.numbers,
            patterns=self.patterns,
            is_images=self.is_images,
            video=to_signed(self.video),
            mask=swap_mask(mask, self.known),
            densepose=rearrange(
                draw_iuv(iuv, self.format.drawing), "(b t) c h w -> b t c h w", t=t
            ),
            body=body,
            garment=to_signed(self.garment),
            outline=self.outline.to(torch.float32) / 255,
            places=self.places,
            known=self.known,
        )


def pack(
    samples: list[TryOnSample],
    faults: list[Fault] | None = None,
    format: SampleFormat | None = None,
) -> PackedBatch:
    """Stack samples of equal size."""
    places = [sample.places for sample in samples if sample.places is not None]
    return PackedBatch(
        keys=[sample.key for sample in samples],
        numbers=torch.tensor([sample.number for sample in samples]),
        known=_stack([sample.known for sample in samples]),
        patterns=[sample.pattern for sample in samples],
        faults=faults or [],
        is_images=samples[0].is_images,
        video=_stack([sample.video for sample in samples]),
        mask=_stack([sample.mask for sample in samples]),
        garment=_stack([sample.garment for sample in samples]),
        outline=_stack([sample.outline for sample in samples]),
        iuv=_stack([sample.densepose.iuv for sample in samples]),
        rows=_stack([sample.densepose.rows for sample in samples]),
        columns=_stack([sample.densepose.columns for sample in samples]),
        places=_stack(places) if len(places) == len(samples) else None,
        format=format or SampleFormat(),
    )


def _stack(rows: list[Tensor]) -> Tensor:
    """Stack; a batch of one is not copied."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(rows)


def to_signed(frames: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b 3 h w"]:
    """Bytes -> [-1, 1]."""
    return bytes_to_signed(frames).movedim(-1, -3).contiguous()
