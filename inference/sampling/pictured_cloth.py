"""What a garment's picture shows of its cloth: colours that go on beyond it, and its cut."""

from functools import cached_property

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from datasets.sample import bytes_to_signed
from inference.sampling.cloth_edges import (
    cloth_on_plain,
    fill_sides,
    mirror_beyond,
    raise_shoulders,
)
from inference.sampling.collar import inside_of_collar, is_collar, raise_neckline
from models.cloth import (
    ABOVE_HEM,
    BESIDE_SLEEVE,
    cut_cloth,
    fill_ground,
    has_long_sleeves,
    has_sleeves,
    torso_sides,
)

_CLOTH = 0.5
"""Share of a pixel that makes it cloth."""
_NECKLINE = 0.05
"""Of the picture's height: by how much a neckline is raised."""
_MIXED = 0.01
"""Of the picture's height: cloth's edge, whose pixels are mixed with the picture's ground."""
_ARMPIT, _LEAST_SLEEVES, _OTHER_COLOUR = 0.4, 0.1, 0.3
"""Of the garment's height, from above: below it sleeves and torso are apart. Of the cloth. In
[-1, 1], the largest difference between channels of sleeves and torso that are in one colour."""


class PicturedCloth:
    """A garment's picture, without its ground and without what nobody sees when it is worn.

    Args:
        garment: RGB, on a plain ground, as large as frames are to be.
        outline: of ``GarmentFeatures``, whose device is used; None: colours alone tell what is
            cloth.
    """

    def __init__(
        self, garment: UInt8[np.ndarray, "h w 3"], outline: Float[Tensor, "1 16 12"] | None
    ) -> None:
        self.garment, self.outline = garment, outline
        self.device = torch.device("cpu") if outline is None else outline.device

    @cached_property
    def picture(self) -> Float[Tensor, "1 4 h w"]:
        """The garment without its ground, and where it is."""
        picture = bytes_to_signed(torch.from_numpy(self.garment)).to(self.device)
        cloth = cut_cloth(rearrange(picture, "h w c -> 1 c h w"), self.outline)
        exact = cloth_on_plain(self.garment)
        if exact is not None:
            known = torch.from_numpy(exact).to(cloth)[None, None]
            cloth = torch.cat([rearrange(picture, "h w c -> 1 c h w") * known, known], dim=1)
        left, right = (torso_sides(cloth[:, 3:])[0] * cloth.shape[3]).tolist()
        shown = cloth[0, 3].cpu().numpy() > _CLOTH
        inside = inside_of_collar(self.garment, shown, (left, right))
        cloth = (cloth * ~torch.from_numpy(inside).to(self.device))[0].cpu().numpy()
        whole = np.concatenate([self._continued(cloth), cloth[3:]])
        raised = raise_neckline(whole, inside, _NECKLINE * len(inside))
        return torch.from_numpy(raised).to(self.device)[None]

    def _continued(self, cloth: Float[np.ndarray, "4 h w"]) -> Float[np.ndarray, "3 h w"]:
        """Colours of the cloth, and of a pattern that runs on beyond its edge, everywhere."""
        # the outermost pixels of cloth are mixed with the picture's ground
        size = 2 * round(_MIXED * cloth.shape[1]) + 1
        inner = cv2.erode((cloth[3] > _CLOTH).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
        picture, known = mirror_beyond(np.moveaxis(cloth[:3], 0, -1), inner)
        both = np.concatenate([np.moveaxis(picture, -1, 0) * known, known[None]], axis=0)
        return fill_ground(torch.from_numpy(both.astype(np.float32))[None])[0, :3].numpy()

    @cached_property
    def _sides(self) -> tuple[float, float]:
        """Where its torso begins and ends, in pixels of its picture."""
        left, right = (torso_sides(self.picture[:, 3:])[0] * self.garment.shape[1]).tolist()
        return left, right

    @cached_property
    def has_collar(self) -> bool:
        """Whether it stands up around the neck."""
        return is_collar(self.picture[0, 3].cpu().numpy() > _CLOTH, self._sides)

    @cached_property
    def has_sleeves(self) -> bool:
        """Whether it has any."""
        return bool(has_sleeves(self.picture[:, 3:]))

    @cached_property
    def is_long(self) -> bool:
        """Whether its sleeves reach the wrists."""
        return bool(has_long_sleeves(self.picture[:, 3:]))

    @cached_property
    def pictures(self) -> Float[Tensor, "1 13 h w"]:
        """The garment as arms show it, as the torso does, as legs do, and 1."""
        cloth = raise_shoulders(self.picture)
        everywhere = torch.ones_like(cloth[:, 3:])
        sleeves = self._sleeves(cloth)
        shown = everywhere if self.is_long else self._above_sleeve_ends(cloth[:, 3:])
        arms = torch.cat([sleeves, shown], dim=1)
        return torch.cat([arms, fill_sides(cloth), cloth, everywhere], dim=1)

    def _above_sleeve_ends(self, shown: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
        """Cloth that arms may show, of short sleeves: below, places of arms lie on the torso."""
        cloth, (left, right) = shown[0, 0].cpu().numpy() > _CLOTH, self._sides
        rows = np.flatnonzero(cloth.any(axis=1))
        margin, columns = BESIDE_SLEEVE * (right - left), np.arange(cloth.shape[1]) + 0.5
        beside = cloth & ((columns < left - margin) | (columns > right + margin))
        beside[round(rows[0] + ABOVE_HEM * len(rows)) if len(rows) else 0 :] = False
        ends = np.flatnonzero(beside.any(axis=1))
        ended = shown.clone()
        if len(ends):
            ended[:, :, int(ends[-1]) + 1 :] = 0
        return ended

    def _sleeves(self, cloth: Float[Tensor, "1 4 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Colours of long sleeves; over the torso, where arms' places may lie, too.

        Sleeves in the torso's own colours stay as they are: a torso's pattern is less distorted.
        """
        shown = cloth[0, 3].cpu().numpy() > _CLOTH
        rows = np.flatnonzero(shown.any(axis=1))
        if not self.is_long or not len(rows):
            return cloth[:, :3]
        left, right = (round(side) for side in self._sides)
        torso = np.zeros_like(shown)
        torso[round(rows[0] + _ARMPIT * len(rows)) :, left:right] = True
        beside = shown & ~torso
        beside[: round(rows[0] + _ARMPIT * len(rows))] = False
        if beside.sum() < _LEAST_SLEEVES * shown.sum() or not (shown & torso).any():
            return cloth[:, :3]
        colours = cloth[0, :3].cpu().numpy()
        apart = colours[:, beside].mean(axis=1) - colours[:, shown & torso].mean(axis=1)
        if np.abs(apart).max() < _OTHER_COLOUR:
            return cloth[:, :3]
        known = (shown & ~torso)[None]
        continued = self._continued(np.concatenate([colours * known, known]))
        return torch.from_numpy(continued).to(cloth)[None]
