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

from datasets.clips import fit_garment
from datasets.places import body_cells, group_of
from datasets.sample import bytes_to_signed, signed_to_bytes
from models.codecs.vae import FACTOR
from models.conditions import Conditions
from models.system import System
from models.warping import clothed_cells, cut_cloth, spread_places, warp_picture, widen_cloth

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
        places, slopes = clothed_cells(*cells, body, cloth)
        # the outermost pixels of cloth are mixed with the picture's ground
        cloth = torch.cat([widen_cloth(cloth)[:, :3], cloth[:, 3:]], dim=1)
        warped = warp_picture(cloth, *spread_places(places, slopes), FACTOR * self.scale)
        share = self._share(warped[0, :, 3].cpu().numpy(), masks, iuv)
        shown = rearrange(signed_to_bytes(warped[0, :, :3]), "t c h w -> t h w c").cpu().numpy()
        large = np.stack([_enlarged(frame, share.shape[1:3]) for frame in painted])
        return np.rint(large + share * (shown.astype(np.float32) - large)).astype(np.uint8)

    def _share(
        self,
        cloth: Float[np.ndarray, "t h3 w3"],
        masks: UInt8[np.ndarray, "t h w"],
        iuv: UInt8[np.ndarray, "t h w 3"],
    ) -> Float[np.ndarray, "t h3 w3 1"]:
        """How much of each pixel is the garment's: inside the body and the mask, what is cloth."""
        inside = (masks > 127) & (group_of(iuv[..., 0]) > 0)
        near = [_enlarged(row.astype(np.float32), cloth.shape[1:]) for row in inside]
        return (np.clip(near, 0, 1) * cloth)[..., None]


def _enlarged(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
