"""The garment extractor: a spatial transformer over the clean latent of one garment image.

For block i of the denoiser it returns the hidden state at the input of its own block i's spatial
attention (VITON-DiT, arXiv 2405.18326, Figure 2). The last tap is thus the output of block N - 2:
N taps, N - 1 blocks built. An N-th block would never get a gradient. Where the source leaves it
open: the extractor runs at timestep 0, and its taps are normalised (LayerNorm without affine).
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.blocks import STBlock, normalise
from models.conditions import GarmentFeatures
from models.embeddings import PatchEmbedding
from models.places import PlaceEstimator
from models.stdit import STDiTConfig, initialise_linears, zero_new_branches


class GarmentExtractor(nn.Module):
    """N - 1 blocks of spatial attention -> caption attention -> feed forward, and N taps.

    It has its own patch embedding; embedded timestep (0) and caption come from the trunk.

    Args:
        config: the trunk's sizes.
        finds_places: True adds the estimator of places (``models/places.py``).
    """

    def __init__(self, config: STDiTConfig, *, finds_places: bool = False) -> None:
        super().__init__()
        self.config = config
        self.places = PlaceEstimator() if finds_places else None
        self.x_embedder = PatchEmbedding(config.in_channels, config.dim, config.patch_size)
        self.blocks = nn.ModuleList(
            STBlock(config.dim, config.num_heads, config.mlp_ratio, temporal=False)
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
        outline: Float[Tensor, "b 16 12"] | None = None,
    ) -> GarmentFeatures:
        """Clean garment latents -> one set of normalised hidden states per denoiser block.

        Args:
            garment_latents: the garment encoded by the codec, without noise.
            positions: of the garment's token grid, which may differ from the video's.
            caption: the true caption, embedded; never the null caption.
            modulation: six vectors from timestep 0.
            caption_mask: True where a caption token exists.
            outline: share of garment in each field of the picture; needed to estimate places.
        """
        tokens = self.x_embedder(garment_latents[:, :, None])
        tokens = tokens + positions.to(tokens.dtype)
        taps = [normalise(tokens[:, 0])]
        for block in self.blocks:
            tokens = block(tokens, caption, modulation, caption_mask)
            taps.append(normalise(tokens[:, 0]))
        _, height, width = self.config.patch_size
        grid = garment_latents.shape[2] // height, garment_latents.shape[3] // width
        return GarmentFeatures(hidden=taps, grid=grid, outline=outline, latents=garment_latents)
