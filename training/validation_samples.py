"""Validation's samples: held-out windows painted from noise that never changes."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.loading.datamodule import NumberedBatch
from datasets.sample import signed_to_bytes
from inference.sampling.solvers import SamplerConfig
from inference.sampling.windows import sample_windows
from models.system import System
from models.viton_dit import Conditions
from training.distributed.sharding import is_network_sharded


@dataclass(frozen=True, kw_only=True)
class SampledWindow:
    """One window as pictures."""

    key: str
    source: UInt8[np.ndarray, "t h w 3"]
    agnostic: UInt8[np.ndarray, "t h w 3"]
    garment: UInt8[np.ndarray, "h w 3"]
    result: UInt8[np.ndarray, "t h w 3"]

    @classmethod
    def of(cls, batch: NumberedBatch, video: Float[Tensor, "1 t 3 h w"]) -> "SampledWindow":
        """The first row of a batch, and what was sampled for it."""
        return cls(
            key=batch.keys[0],
            source=to_pixels(batch.video[0]),
            agnostic=to_pixels(batch.agnostic[0]),
            garment=to_pixels(batch.garment)[0],
            result=to_pixels(video[0]),
        )

    def film(self) -> UInt8[np.ndarray, "t h w 3"]:
        """Garment, source, agnostic and result side by side, frame by frame."""
        still = np.repeat(self.garment[None], len(self.source), axis=0)
        return np.concatenate([still, self.source, self.agnostic, self.result], axis=2)

    def strip(self, num_frames: int = 4) -> UInt8[np.ndarray, "h w 3"]:
        """Rows source, agnostic and result of some frames; the garment stands on the left."""
        count = min(num_frames, len(self.source))
        shown = np.linspace(0, len(self.source) - 1, count).round().astype(int)
        rows = [np.concatenate(list(track[shown]), axis=1)
                for track in (self.source, self.agnostic, self.result)]  # fmt: skip
        blank = np.full_like(self.garment, 255)
        left = np.concatenate([self.garment, blank, blank], axis=0)
        return np.concatenate([left, np.concatenate(rows, axis=0)], axis=1)


def sample_window(
    system: System, conditions: Conditions, batch: NumberedBatch, sampler: SamplerConfig, seed: int
) -> Float[Tensor, "b t 3 h w"]:
    """Paint held-out windows.

    Args:
        system: network, codec and diffusion.
        conditions: of the batch's rows.
        batch: the first row's number in the data set names the noise.
        sampler: solver and steps.
        seed: of the run.
    """
    _, _, height, width = system.config.latent_shape
    if not is_network_sharded(system.network):  # a sharded block is gathered in its forward alone
        conditions = system.network.project(conditions)
    latents = sample_windows(
        system,
        sampler,
        conditions,
        frames=[list(range(batch.video.shape[1]))] * len(batch.keys),
        latent_size=(height, width),
        seed=seed + int(batch.numbers[0]),
    )
    return system.codec.decode(latents)


def to_pixels(video: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """[-1, 1] -> bytes."""
    scaled = signed_to_bytes(video.detach().cpu())
    return np.ascontiguousarray(rearrange(scaled, "t c h w -> t h w c").numpy())
