"""Everything needed to run a checkpoint: networks, codec, captions and diffusion in one config.

Ours: VITON-DiT (arXiv 2405.18326) names the parts; one ``SystemConfig`` combines them.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.cloth import clothed_cells, cut_cloth, widen_cloth
from models.codecs.vae import FACTOR, Codec, CodecConfig, build_codec, mask_to_latents
from models.conditions import Conditions
from models.diffusion import DiffusionConfig, GaussianDiffusion
from models.places import BODY_CHANNELS
from models.text import CaptionConfig, Captions, build_captions
from models.viton_dit import VitonDiT, VitonDiTConfig
from models.warping import (
    certain_cells,
    fill_masked,
    mean_of_cells,
    spread_places,
    warp_picture,
)

DRAWINGS = ("parts", "iuv")


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """A model for videos of one size; stored in every checkpoint.

    Attributes:
        network: the three networks.
        codec: pixels <-> latents.
        caption: the constant prompt.
        diffusion: the noise schedule.
        height: of the video in pixels.
        width: of the video in pixels.
        num_frames: frames per window.
        fps: frames per second of the training videos.
        densepose: how DensePose is drawn: "parts", the picture that others publish; or "iuv", with
            the coordinates on each part, which fusion "places" needs.
        garment_scale: the garment's picture is this many times as large as a frame.
    """

    network: VitonDiTConfig = field(default_factory=VitonDiTConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    height: int = 512
    width: int = 384
    num_frames: int = 16
    fps: float = 8.0
    densepose: str = "parts"
    garment_scale: int = 1

    def __post_init__(self) -> None:
        trunk = self.network.trunk
        for name, patch in (("height", trunk.patch_size[1]), ("width", trunk.patch_size[2])):
            value, unit = getattr(self, name), FACTOR * patch
            if value <= 0 or value % unit:
                raise ValueError(f"{name} must be a positive multiple of {unit}, not {value}")
        if self.densepose not in DRAWINGS:
            raise ValueError(f"densepose must be one of {DRAWINGS}, not {self.densepose!r}")
        if self.garment_scale < 1:
            raise ValueError(f"garment_scale must be at least 1, not {self.garment_scale}")
        if self.num_frames < 1 or self.fps <= 0:
            raise ValueError(
                f"num_frames and fps must be positive, not {self.num_frames} and {self.fps}"
            )
        if trunk.in_channels != self.codec.latent_channels:
            raise ValueError(
                f"network.trunk.in_channels ({trunk.in_channels}) must equal"
                f" codec.latent_channels ({self.codec.latent_channels})"
            )
        out_channels = trunk.in_channels * (2 if self.diffusion.learned_range else 1)
        if trunk.out_channels != out_channels:
            raise ValueError(
                f"network.trunk.out_channels must be {out_channels} (in_channels"
                f" {trunk.in_channels}, diffusion.learned_range {self.diffusion.learned_range}),"
                f" not {trunk.out_channels}"
            )

    @property
    def control_channels(self) -> int:
        """Channels of ``System.pack_control``."""
        return 2 * self.codec.latent_channels + 1 + BODY_CHANNELS * self.network.finds_places

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels, frames, height, width of one window."""
        height, width = self.height // FACTOR, self.width // FACTOR
        return self.codec.latent_channels, self.num_frames, height, width


@dataclass(frozen=True, kw_only=True)
class System:
    """The built parts. Only ``network`` is ever trained."""

    config: SystemConfig
    network: VitonDiT
    codec: Codec
    captions: Captions
    diffusion: GaussianDiffusion

    @torch.no_grad()
    def encode_conditions(
        self,
        agnostic: Float[Tensor, "b t 3 h w"],
        mask: Float[Tensor, "b t 1 h w"],
        densepose: Float[Tensor, "b t 3 h w"],
        garment: Float[Tensor, "b 3 h2 w2"],
    ) -> tuple[Float[Tensor, "b k t y x"], Float[Tensor, "b c y2 x2"]]:
        """Pixels -> inputs of ``Conditions.control`` and ``VitonDiT.encode_garment``.

        Args:
            agnostic: the video, gray where the mask is 1; known frames are complete; in [-1, 1].
            mask: 1 = to be painted; all 0 in known frames.
            densepose: rendered, in [-1, 1].
            garment: on a plain background, in [-1, 1].

        Returns:
            agnostic latents | DensePose latents | mask, k = 2 c + 1 channels; and the garment's
            latents.
        """
        control = self.encode_control(agnostic, mask, densepose)
        return control, self.codec.encode_images(garment)

    def pack_control(
        self, control: Float[Tensor, "b k t y x"], body: Float[Tensor, "b 4 t y x"]
    ) -> Float[Tensor, "b k2 t y x"]:
        """One tensor for everything that a frame's conditions hold; the mask stays last."""
        return torch.cat([control[:, :-1], body, control[:, -1:]], dim=1)

    def unpack_control(
        self, packed: Float[Tensor, "b k2 t y x"]
    ) -> tuple[Float[Tensor, "b k t y x"], Float[Tensor, "b 4 t y x"] | None]:
        """Control input and body, of ``pack_control``; no body if the network reads no places."""
        if not self.config.network.finds_places:
            return packed, None
        first = 2 * self.config.codec.latent_channels
        control = torch.cat([packed[:, :first], packed[:, -1:]], dim=1)
        return control, packed[:, first:-1]

    @torch.no_grad()
    def add_warped_garment(self, conditions: Conditions) -> Conditions:
        """Conditions with the garment warped onto the body: ``control``, ``coarse``, ``certain``.

        Once per window, not per step. Unchanged without ``control``, and for a network that does
        not see the warped garment. The picture is decoded from its latents, so that cached latents
        give the same.
        """
        control, channels = conditions.control, self.config.codec.latent_channels
        if control is None or not self.config.network.warped_garment:
            return conditions
        agnostic, mask = control[:, :channels], control[:, -1:]
        cells, garment = self.network.cell_places(conditions), conditions.garment
        coarse, share, certain = agnostic, torch.zeros_like(mask), None
        if cells is not None and garment is not None and garment.latents is not None:
            assert conditions.body is not None  # without it there are no places
            picture = self.codec.decode(garment.latents[:, :, None])[:, 0]
            cloth, scale = cut_cloth(picture, garment.outline), self.config.garment_scale
            places, slopes = clothed_cells(*cells, conditions.body, cloth)
            exact = warp_picture(cloth[:, 3:], places, slopes, FACTOR, scale)
            certain = mask * certain_cells(exact, FACTOR)
            spread = spread_places(places, slopes)
            warped = warp_picture(widen_cloth(cloth), *spread, FACTOR, scale)
            frames = self.codec.decode(agnostic)
            filled = fill_masked(frames, mask, warped, FACTOR)
            # the difference of two encodings leaves everything outside the mask as it was
            added = mask * (self.codec.encode(filled) - self.codec.encode(frames))
            coarse = (coarse + added).to(control.dtype)
            share = mean_of_cells(warped[:, :, 3:], FACTOR).to(control.dtype)
        shown = torch.cat([control[:, :-1], coarse, share, mask], dim=1)
        return replace(conditions, control=shown, coarse=coarse, certain=certain)

    def keep_certain(
        self, latents: Float[Tensor, "b c t h w"], conditions: Conditions
    ) -> Float[Tensor, "b c t h w"]:
        """Painted latents with ``conditions.coarse`` where it is certain.

        A small network answers with a mean where it is not sure, and so pales patterns it was
        shown; the warped garment has them (docs/notes/places.md).
        """
        if conditions.coarse is None or conditions.certain is None:
            return latents
        return torch.lerp(latents, conditions.coarse.to(latents), conditions.certain.to(latents))

    def refine(
        self,
        prediction: Float[Tensor, "b k t h w"],
        conditions: Conditions,
        timesteps: Int[Tensor, " b"],
    ) -> Float[Tensor, "b k t h w"]:
        """The system's prediction from the network's, which only refines ``conditions.coarse``."""
        if conditions.coarse is None:
            return prediction
        return self.diffusion.refine(prediction, conditions.coarse, timesteps)

    @torch.no_grad()
    def encode_control(
        self,
        agnostic: Float[Tensor, "b t 3 h w"],
        mask: Float[Tensor, "b t 1 h w"],
        densepose: Float[Tensor, "b t 3 h w"],
    ) -> Float[Tensor, "b k t y x"]:
        """The first result of ``encode_conditions``, which does not depend on the garment."""
        parts = [self.codec.encode(agnostic), self.codec.encode(densepose), mask_to_latents(mask)]
        return torch.cat(parts, dim=1)


def build_system(config: SystemConfig) -> System:
    """Build every part, the network with newly initialised weights.

    Raises:
        ValueError: a codec or caption file is missing or does not match the config.
    """
    network = VitonDiT(config.network)
    return System(
        config=config,
        network=network,
        codec=build_codec(config.codec),
        captions=build_captions(config.caption, network.denoiser.y_embedder),
        diffusion=GaussianDiffusion(config.diffusion),
    )
