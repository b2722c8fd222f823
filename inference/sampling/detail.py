"""The garment's picture at full detail in painted frames, where its cloth is certain.

A small model paints small frames: lettering and fine stripes are lost in them, and enlarging brings
nothing back. The warped garment has them. Not part of VITON-DiT; a result composed of warped and
painted pixels is usual in try-on by warping (CP-VTON, Wang et al. 2018, arXiv 1807.07688).
"""

from dataclasses import replace

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from datasets.clips import fit_garment
from datasets.places import body_cells
from datasets.sample import bytes_to_signed, signed_to_bytes
from models.codecs.vae import FACTOR
from models.conditions import Conditions
from models.system import System
from models.warping import certain_cells, cut_cloth, warp_picture

MOST = 4
"""Times the system's size, at most: places are not exact enough for more."""


class ClothDetail:
    """Enlarges painted frames, with the garment's own pixels where cloth is certain.

    Args:
        system: the networks; without ``warped_garment`` frames stay as they are.
        conditions: caption and garment.
        garment: its picture, best as large as the frames are to be.
        height: in the source, of what a frame shows.
    """

    def __init__(
        self,
        system: System,
        conditions: Conditions,
        garment: UInt8[np.ndarray, "h2 w2 3"],
        height: int,
    ) -> None:
        self.system, self.conditions = system, conditions
        config = system.config
        self.scale = max(1, min(MOST, -(-height // config.height)))
        size = self.scale * config.height, self.scale * config.width
        self.garment = fit_garment(garment, *size)

    @torch.no_grad()
    def __call__(
        self,
        painted: UInt8[np.ndarray, "t h w 3"],
        masks: UInt8[np.ndarray, "t h w"],
        iuv: UInt8[np.ndarray, "t h w 3"],
    ) -> UInt8[np.ndarray, "t h3 w3 3"]:
        """Frames ``scale`` times as large.

        Args:
            painted: of the system's size.
            masks: of the same size; above 127: painted. Elsewhere nothing is added.
            iuv: DensePose, of the same size.
        """
        if not self.system.config.network.warped_garment or self.conditions.garment is None:
            return painted
        device = self.conditions.caption.tokens.device
        body = rearrange(body_cells(torch.from_numpy(iuv).to(device)), "t k y x -> 1 k t y x")
        cells = self.system.network.cell_places(replace(self.conditions, body=body))
        if cells is None:
            return painted
        picture = bytes_to_signed(torch.from_numpy(self.garment)).to(device)
        outline = self.conditions.garment.outline
        cloth = cut_cloth(rearrange(picture, "h w c -> 1 c h w"), outline)
        cell = FACTOR * self.scale
        warped = warp_picture(cloth, *cells, cell)
        share = self._share(warped[:, :, 3:], masks)
        shown = rearrange(signed_to_bytes(warped[0, :, :3]), "t c h w -> t h w c").cpu().numpy()
        large = np.stack([_enlarged(frame, share.shape[1:3]) for frame in painted])
        return np.rint(large + share * (shown.astype(np.float32) - large)).astype(np.uint8)

    def _share(
        self, cloth: Float[Tensor, "1 t 1 h w"], masks: UInt8[np.ndarray, "t h w"]
    ) -> Float[np.ndarray, "t h w 1"]:
        """How much of each pixel is the garment's.

        None at the edge of a cell without certainty, all of it half a cell inside.
        """
        size = cloth.shape[3:]
        certain = certain_cells(cloth, FACTOR * self.scale)[0, 0]
        near = F.interpolate(certain[:, None], size, mode="bilinear")
        share = ((2 * near - 1).clamp(min=0) * cloth[0]).cpu().numpy()
        within = [_enlarged((mask > 127).astype(np.float32), (size[0], size[1])) for mask in masks]
        return (share[:, 0] * np.clip(within, 0, 1))[..., None]


def _enlarged(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
