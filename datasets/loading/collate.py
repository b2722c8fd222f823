"""Samples of bytes -> a stacked batch -> the networks' ranges, on the device.

Workers return bytes, a quarter of the size of floats, and DensePose on its grids; both become
pictures in [-1, 1] on the device.
"""

from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from datasets.bad_samples import Fault
from datasets.loading.densepose_batch import render_grids
from datasets.loading.swapping import swap_mask
from datasets.sample import NumberedBatch, PoseLookup, TryOnSample, bytes_to_signed, signed_to_bytes

Batch = TypeVar("Batch", bound="Movable")


@dataclass(frozen=True, kw_only=True)
class Movable:
    """Base of all batches: moves its tensor fields between devices.

    ``faults`` are the samples that could not be read while the batch was built.
    """

    keys: list[str]
    numbers: Int[Tensor, " b"]
    known: Bool[Tensor, "b t"]
    patterns: list[str]
    faults: list[Fault] = field(default_factory=list)

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
    """Stacked bytes. DensePose is either rendered, or parts with each pixel's row and column."""

    video: UInt8[Tensor, "b t h w 3"]
    mask: UInt8[Tensor, "b t h w"]
    garment: UInt8[Tensor, "b h w 3"]
    densepose: UInt8[Tensor, "b t h w 3"] | None = None
    parts: UInt8[Tensor, "b t g g"] | None = None
    rows: Tensor | None = None  # (b t h) int16
    columns: Tensor | None = None  # (b t w) int16

    def unpack(self) -> NumberedBatch:
        """Convert to the networks' ranges, render DensePose and zero known frames' masks."""
        mask = rearrange((self.mask > 127).to(torch.float32), "b t h w -> b t 1 h w")
        return NumberedBatch(
            keys=self.keys,
            numbers=self.numbers,
            patterns=self.patterns,
            video=to_signed(self.video),
            mask=swap_mask(mask, self.known),
            densepose=self._rendered(),
            garment=to_signed(self.garment),
            known=self.known,
        )

    def _rendered(self) -> Float[Tensor, "b t 3 h w"]:
        if self.densepose is not None:
            return to_signed(self.densepose)
        assert self.parts is not None
        assert self.rows is not None
        assert self.columns is not None
        flat = (rearrange(self.parts, "b t g1 g2 -> (b t) g1 g2"), self.rows.flatten(0, 1),
                self.columns.flatten(0, 1))  # fmt: skip
        return rearrange(render_grids(*flat), "(b t) c h w -> b t c h w", t=self.parts.shape[1])


def pack(samples: list[TryOnSample], faults: list[Fault] | None = None) -> PackedBatch:
    """Stack samples of equal size; if one has rendered DensePose, all are rendered."""
    poses = [sample.densepose for sample in samples]
    lookups = [pose for pose in poses if isinstance(pose, PoseLookup)]
    if len(lookups) == len(poses):
        densepose: dict[str, Tensor] = {
            name: _stack([getattr(pose, name) for pose in lookups])
            for name in ("parts", "rows", "columns")
        }
    else:
        pictures = [picture_of(pose) if isinstance(pose, PoseLookup) else pose for pose in poses]
        densepose = {"densepose": _stack(pictures)}
    return PackedBatch(
        keys=[sample.key for sample in samples],
        numbers=torch.tensor([sample.number for sample in samples]),
        known=_stack([sample.known for sample in samples]),
        patterns=[sample.pattern for sample in samples],
        faults=faults or [],
        video=_stack([sample.video for sample in samples]),
        mask=_stack([sample.mask for sample in samples]),
        garment=_stack([sample.garment for sample in samples]),
        **densepose,
    )


def picture_of(pose: PoseLookup) -> UInt8[Tensor, "t h w 3"]:
    """Rendered DensePose as bytes."""
    signed = render_grids(pose.parts, pose.rows, pose.columns)
    return rearrange(signed_to_bytes(signed), "t c h w -> t h w c")


def _stack(rows: list[Tensor]) -> Tensor:
    """Stack; a batch of one is not copied."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(rows)


def to_signed(frames: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b 3 h w"]:
    """Bytes -> [-1, 1]."""
    return bytes_to_signed(frames).movedim(-1, -3).contiguous()
