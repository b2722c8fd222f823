"""The garment extractor: a spatial transformer over the clean latent of one garment image.

What it hands on for block i of the denoiser is the hidden state at the input of its own block i's
spatial attention (VITON-DiT, arXiv 2405.18326, Figure 2). The last tap is thus the output of block
N - 2: N taps, N - 1 blocks built. An N-th block would never get a gradient. What the source leaves
open: the extractor runs at timestep 0, and its taps are normalised (LayerNorm without affine).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention import Attended, KeysValues
from models.blocks import STBlock, normalise
from models.embeddings import PatchEmbedding
from models.stdit import STDiTConfig, initialise_linears, zero_new_branches


@dataclass(frozen=True, kw_only=True)
class GarmentFeatures:
    """What the networks know of a garment; made once per garment, never per step.

    ``hidden[i]`` is for block i, normalised. ``VitonDiT.project`` fills in the keys and values, so
    that a sampler's steps need not project them again.
    """

    hidden: list[Float[Tensor, "b s d"]]
    denoiser_keys_values: list[KeysValues] | None = None
    control_keys_values: list[KeysValues] | None = None

    def for_denoiser(self) -> Sequence[Attended]:
        """What each block of the trunk looks at."""
        return self.denoiser_keys_values or self.hidden

    def for_control(self) -> Sequence[Attended]:
        """What each block of the ControlNet looks at (the rest of the taps are not its)."""
        return self.control_keys_values or self.hidden

    @property
    def batch_size(self) -> int:
        """Number of garments. One garment serves a batch of any size."""
        return self.hidden[0].shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> "GarmentFeatures":
        """The same with ``function`` applied to every tensor; axis 0 of each is the batch."""

        def map_pairs(pairs: list[KeysValues] | None) -> list[KeysValues] | None:
            return None if pairs is None else [(function(k), function(v)) for k, v in pairs]

        return replace(
            self,
            hidden=[function(hidden) for hidden in self.hidden],
            denoiser_keys_values=map_pairs(self.denoiser_keys_values),
            control_keys_values=map_pairs(self.control_keys_values),
        )

    def rows(self, index: Tensor) -> "GarmentFeatures":
        """Some garments of the batch, in the order of ``index``."""
        return self.map(lambda tensor: tensor[index])

    def detach(self) -> "GarmentFeatures":
        """The same without a history of gradients."""
        return self.map(torch.Tensor.detach)


class GarmentExtractor(nn.Module):
    """N - 1 blocks of spatial attention -> caption attention -> feed forward, and N taps.

    It owns its patch embedding; embedded timestep (0) and caption come from the trunk.
    """

    def __init__(self, config: STDiTConfig) -> None:
        super().__init__()
        self.x_embedder = PatchEmbedding(config.in_channels, config.dim, config.patch_size)
        self.blocks = nn.ModuleList(
            STBlock(config.dim, config.num_heads, config.mlp_ratio, temporal=False, fusion=False)
            for _ in range(config.depth - 1)
        )
        initialise_linears(self)
        for block in self.blocks:
            assert isinstance(block, STBlock)
            zero_new_branches(block)

    def forward(
        self,
        garment_latents: Float[Tensor, "b c h w"],
        positions: Float[Tensor, "s d"],
        caption: Float[Tensor, "#b l d"],
        modulation: Float[Tensor, "b 1 6 d"],
        caption_mask: Bool[Tensor, "#b l"] | None = None,
    ) -> GarmentFeatures:
        """Clean garment latents -> one set of normalised hidden states per denoiser block.

        Args:
            garment_latents: the garment through the codec, not noised.
            positions: of the garment's token grid, which need not be the video's.
            caption: the true caption, embedded; never the null one.
            modulation: six vectors from timestep 0.
            caption_mask: True where a caption token exists.
        """
        tokens = self.x_embedder(garment_latents[:, :, None])
        tokens = tokens + positions.to(tokens.dtype)
        taps = [normalise(tokens[:, 0])]
        for block in self.blocks:
            tokens = block(tokens, caption, modulation, caption_mask)
            taps.append(normalise(tokens[:, 0]))
        return GarmentFeatures(hidden=taps)
