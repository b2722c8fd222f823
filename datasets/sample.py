"""One training or evaluation sample, and a batch of them: the shapes every room agrees on.

Letters: b batch, t frames, c channels, h height, w width. Height stands before width everywhere.
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

AGNOSTIC_GRAY = 0.0
"""What stands in an agnostic frame where the mask is 1, on the video's range of [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class TryOnSample:
    """A window of one clip with its conditions."""

    key: str
    video: Float[Tensor, "t 3 h w"]  # in [-1, 1]
    mask: Float[Tensor, "t 1 h w"]  # 1 = to be painted, 0 = kept
    densepose: Float[Tensor, "t 3 h w"]  # rendered, in [-1, 1]
    garment: Float[Tensor, "3 h w"]  # on a plain ground, in [-1, 1]
    known: Bool[Tensor, " t"]  # frames whose condition was swapped for the truth

    @property
    def agnostic(self) -> Float[Tensor, "t 3 h w"]:
        """The video where the mask is 0, gray where it is 1."""
        return compose_agnostic(self.video, self.mask)


@dataclass(frozen=True, kw_only=True)
class TryOnBatch:
    """Samples stacked along a leading batch axis; the same meanings as in TryOnSample."""

    keys: list[str]
    video: Float[Tensor, "b t 3 h w"]
    mask: Float[Tensor, "b t 1 h w"]
    densepose: Float[Tensor, "b t 3 h w"]
    garment: Float[Tensor, "b 3 h w"]
    known: Bool[Tensor, "b t"]

    @property
    def agnostic(self) -> Float[Tensor, "b t 3 h w"]:
        """The video where the mask is 0, gray where it is 1."""
        return compose_agnostic(self.video, self.mask)

    def to(self, device: torch.device | str) -> "TryOnBatch":
        """The same batch on another device."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in fields(self)
            if field.name != "keys"
        }
        return replace(self, **moved)


def compose_agnostic(
    video: Float[Tensor, "*b t 3 h w"], mask: Float[Tensor, "*b t 1 h w"]
) -> Float[Tensor, "*b t 3 h w"]:
    """Gray out what is to be painted. This is the only place that makes agnostic frames."""
    return torch.where(mask > 0.5, torch.full_like(video, AGNOSTIC_GRAY), video)


def collate(samples: list[TryOnSample]) -> TryOnBatch:
    """Stack samples of equal size into a batch."""
    return TryOnBatch(
        keys=[sample.key for sample in samples],
        video=torch.stack([sample.video for sample in samples]),
        mask=torch.stack([sample.mask for sample in samples]),
        densepose=torch.stack([sample.densepose for sample in samples]),
        garment=torch.stack([sample.garment for sample in samples]),
        known=torch.stack([sample.known for sample in samples]),
    )
