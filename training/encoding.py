"""Batches -> latents: the one place where training asks the codec."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datasets.sample import TryOnBatch
from models.system import System


@dataclass(frozen=True, kw_only=True)
class EncodedBatch:
    """What a training step works on; k = 2 c + 1: agnostic | DensePose | mask."""

    latents: Float[Tensor, "b c t y x"]
    control: Float[Tensor, "b k t y x"]
    garment: Float[Tensor, "b c y2 x2"]


@torch.no_grad()
def encode_batch(system: System, batch: TryOnBatch) -> EncodedBatch:
    """Encode the truth and the conditions of a batch; known frames' conditions are swapped."""
    control, garment = encode_conditions(system, batch)
    return EncodedBatch(latents=system.codec.encode(batch.video), control=control, garment=garment)


@torch.no_grad()
def encode_conditions(
    system: System, batch: TryOnBatch
) -> tuple[Float[Tensor, "b k t y x"], Float[Tensor, "b c y2 x2"]]:
    """The conditions alone: control input and the garment's latents."""
    return system.encode_conditions(batch.agnostic, batch.mask, batch.densepose, batch.garment)
