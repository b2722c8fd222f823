"""Conditions of the networks: caption, garment, control, and what each block attends to.

Source: VITON-DiT (arXiv 2405.18326), Figure 2. Open-Sora v1.0.0 embeds and projects the caption at
every step; here this is done once, since neither caption nor garment changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.attention import Attended, KeysValues


@dataclass(frozen=True, kw_only=True)
class CaptionFeatures:
    """A caption embedded by the trunk; computed once per video, never per step.

    ``VitonDiT.project`` fills in the keys and values of every block's caption attention, so that a
    sampler's steps need not project them again. Tokens and mask have as many rows as the batch, or
    one row for a batch of any size.

    Attributes:
        tokens: at the network's width.
        mask: True where a token exists; None if all do.
        denoiser_keys_values: one pair per block of the trunk.
        control_keys_values: one pair per block of the ControlNet.
    """

    tokens: Float[Tensor, "b l d"]
    mask: Bool[Tensor, "m l"] | None = None
    denoiser_keys_values: Sequence[KeysValues] | None = None
    control_keys_values: Sequence[KeysValues] | None = None

    def for_denoiser(self, num_blocks: int) -> Sequence[Attended]:
        """What each of the trunk's blocks attends to."""
        return self.denoiser_keys_values or [self.tokens] * num_blocks

    def for_control(self, num_blocks: int) -> Sequence[Attended]:
        """What each of the ControlNet's blocks attends to."""
        return self.control_keys_values or [self.tokens] * num_blocks


@dataclass(frozen=True, kw_only=True)
class GarmentFeatures:
    """A garment encoded by the extractor; computed once per garment, never per step.

    ``VitonDiT.project`` fills in the keys and values, so that a sampler's steps need not project
    them again. Each of g garments serves b / g consecutive rows of a batch.

    Attributes:
        hidden: for each block, normalised.
        grid: rows and columns of the tokens.
        outline: share of garment in each field of its picture; None: places are not estimated.
        latents: its picture, encoded by the codec.
        denoiser_keys_values: one pair per block of the trunk.
        control_keys_values: one pair per block of the ControlNet.
    """

    hidden: list[Float[Tensor, "g s d"]]
    grid: tuple[int, int]
    outline: Float[Tensor, "g 16 12"] | None = None
    latents: Float[Tensor, "g c h w"] | None = None
    denoiser_keys_values: list[KeysValues] | None = None
    control_keys_values: list[KeysValues] | None = None

    def for_denoiser(self) -> Sequence[Attended]:
        """What each block of the trunk attends to."""
        return self.denoiser_keys_values or self.hidden

    def for_control(self) -> Sequence[Attended]:
        """What each block of the ControlNet attends to; taps beyond its depth are ignored."""
        return self.control_keys_values or self.hidden

    @property
    def batch_size(self) -> int:
        """Number of garments."""
        return self.hidden[0].shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> "GarmentFeatures":
        """The same with ``function`` applied to every tensor; axis 0 of each is the batch."""

        def map_pairs(pairs: list[KeysValues] | None) -> list[KeysValues] | None:
            return None if pairs is None else [(function(k), function(v)) for k, v in pairs]

        return replace(
            self,
            hidden=[function(hidden) for hidden in self.hidden],
            outline=None if self.outline is None else function(self.outline),
            latents=None if self.latents is None else function(self.latents),
            denoiser_keys_values=map_pairs(self.denoiser_keys_values),
            control_keys_values=map_pairs(self.control_keys_values),
        )

    def rows(self, index: Tensor) -> "GarmentFeatures":
        """Some garments of the batch, in the order of ``index``."""
        return self.map(lambda tensor: tensor[index])

    def detach(self) -> "GarmentFeatures":
        """The same, detached from the autograd graph."""
        return self.map(torch.Tensor.detach)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """All inputs of the network except noisy latents and timesteps.

    Attributes:
        caption: from ``VitonDiT.encode_caption``.
        garment: from ``VitonDiT.encode_garment``; None skips the garment attention everywhere.
        control: ``control_channels`` on the latent grid, the mask last (1 = to be painted); None
            skips the ControlNet.
        coarse: of a network with ``warped_garment``: a first guess of the clean latents, which the
            network refines (``System.refine``).
        certain: 1 where ``coarse`` is cloth for sure and stays as it is (``System.keep_certain``).
        body: BODY_CHANNELS of ``models/places.py`` on the latent grid, for fusion "places".
        matched: x, y and whether they are known: true places in the garment's picture of each
            latent, which replace estimated ones. Only in training.
        known: True for given frames; only read if ``known_frames`` is "control+timestep".
        drop: True for rows in which the trunk sees the null caption and no garment; only in
            training, for the null side of guidance. The extractor and the ControlNet see the true
            ones in every row, so that one pass through them serves both sides.
    """

    caption: CaptionFeatures
    garment: GarmentFeatures | None = None
    control: Float[Tensor, "b k t h w"] | None = None
    coarse: Float[Tensor, "b c t h w"] | None = None
    certain: Float[Tensor, "b 1 t h w"] | None = None
    body: Float[Tensor, "b 4 t h w"] | None = None
    matched: Float[Tensor, "b t h w 3"] | None = None
    known: Bool[Tensor, "b t"] | None = None
    drop: Bool[Tensor, " b"] | None = None
