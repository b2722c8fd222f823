"""The ID ControlNet: person, pose and mask -> residuals for the first blocks of the denoiser.

Source: VITON-DiT (arXiv 2405.18326), Figure 2; zero layers as in ControlNet and PixArt-delta. What
differs from these two: block i feeds the denoiser's block i (a transformer has no skip connections
to join), and the blocks attend to the garment as well.
"""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.attention import Attended
from models.blocks import STBlock
from models.embeddings import PatchEmbedding, temporal_positions
from models.places import Places
from models.stdit import STDiTConfig, initialise_linears, zero_new_branches


def control_channels(latent_channels: int, warped_garment: bool = False) -> int:
    """Channels of the control input.

    Agnostic latents | DensePose latents | mask; with a warped garment the coarse result's latents
    and the share of warped cloth come before the mask.
    """
    return 2 * latent_channels + 1 + (latent_channels + 1) * warped_garment


class ControlNet(nn.Module):
    """A copy of the denoiser's first blocks that also sees the conditions.

    ``input_projection`` and ``output_projections`` start at zero: the first, so that a copied
    block starts with its usual input; the second, so that the denoiser starts unchanged. At the
    first step only the output projections get gradients; everything else follows after that.
    """

    def __init__(
        self,
        config: STDiTConfig,
        depth: int,
        fusion: str = "attention",
        warped_garment: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        channels = control_channels(config.in_channels, warped_garment)
        self.condition_embedder = PatchEmbedding(channels, dim, config.patch_size)
        self.input_projection = nn.Linear(dim, dim)
        self.blocks = nn.ModuleList(
            STBlock(
                dim,
                config.num_heads,
                config.mlp_ratio,
                temporal=True,
                fusion=fusion,
                index=index,
            )
            for index in range(depth)
        )
        self.output_projections = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        initialise_linears(self)
        for block in self.blocks:
            assert isinstance(block, STBlock)
            zero_new_branches(block)
        for layer in (self.input_projection, *self.output_projections):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)

    def forward(
        self,
        tokens: Float[Tensor, "b f s d"],
        condition: Float[Tensor, "b k t h w"],
        caption: Sequence[Attended],
        modulation: Float[Tensor, "b #f 6 d"],
        caption_mask: Bool[Tensor, "#b l"] | None = None,
        garment: Sequence[Attended] | None = None,
        places: Places | None = None,
    ) -> list[Float[Tensor, "b f s d"]]:
        """One residual per first block of the denoiser.

        Args:
            tokens: the trunk's patch tokens of the noisy latents, positions added.
            condition: ``control_channels`` on the latent grid.
            caption: the true caption for each block, embedded; never the null caption.
            modulation: six vectors from the timestep.
            caption_mask: True where a caption token exists.
            garment: what each block's ``fusion`` attends to; None omits the garment.
            places: of each token in the garment's picture.
        """
        config = self.config
        x = tokens + self.input_projection(self.condition_embedder(condition))
        positions = temporal_positions(x.shape[1], config.dim, config.time_scale, x.device)
        residuals: list[Tensor] = []
        for index, (block, output) in enumerate(
            zip(self.blocks, self.output_projections, strict=True)
        ):
            x = block(
                x,
                caption[index],
                modulation,
                caption_mask,
                frame_positions=positions.to(x.dtype) if index == 0 else None,
                garment=None if garment is None else garment[index],
                places=places,
            )
            residuals.append(output(x))
        return residuals
