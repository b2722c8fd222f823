"""The garment's picture at full detail in painted frames, where its cloth is certain.

A small model paints small frames: lettering and fine stripes are lost in them, and enlarging brings
nothing back. The warped garment has them. Not part of VITON-DiT; a result composed of warped and
painted pixels is usual in try-on by warping (CP-VTON, Wang et al. 2018, arXiv 1807.07688).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from datasets.clips import fit_garment
from datasets.masks import nearest_part
from datasets.places import CELL, body_cells, group_of
from datasets.sample import bytes_to_signed, signed_to_bytes
from inference.sampling.cloth_edges import (
    cloth_on_plain,
    fill_sides,
    mirror_beyond,
    over_shoulders,
    raise_shoulders,
    smooth_parts,
)
from inference.sampling.collar import inside_of_collar, is_collar, raise_neckline
from inference.sampling.limbs import widen_limbs
from inference.sampling.shading import cloth_light
from inference.sampling.skin import FACE, HANDS, find_skin, paint_skin
from inference.video.framing import CropWindow
from models.cloth import (
    clothed_cells,
    cut_cloth,
    fill_ground,
    has_long_sleeves,
    has_sleeves,
    hem_on_legs,
    sleeves_on_hands,
    torso_sides,
)
from models.conditions import Conditions
from models.places import ARMS, FIRST_LEG, LOWER_ARMS, THIGHS, TORSO, steady_places
from models.system import System
from models.warping import warp_by_part

MOST = 4
"""Times the system's size, at most: places are not exact enough for more."""
_SOFT = 0.4
"""Pixels of a painted frame: how softly cloth ends at the body's edge."""


_GAP = 0.06
"""Of the picture's height: gaps in cloth up to this are filled with the colours beside them."""
_WIDER = 0.09
"""Of the picture's height: twice the width of cloth that is added at its edges, on the body."""
_NECKLINE = 0.05
"""Of the picture's height: by how much a neckline is raised."""
_MIXED = 0.01
"""Of the picture's height: cloth's edge, whose pixels are mixed with the picture's ground."""
_SMOOTH = 0.012
"""Of the picture's height: the spread that smoothes cloth's outline."""
_CLOTH = 0.5
"""Share of a pixel that makes it cloth."""
_BARE_NECK = 0.5
"""Of what is masked of a neck, from above: bare whatever the picture shows."""
_ARMPIT, _LEAST_SLEEVES, _OTHER_COLOUR = 0.4, 0.1, 0.3
"""Of the garment's height, from above: below it sleeves and torso are apart. Of the cloth. In
[-1, 1], the largest difference between channels of sleeves and torso that are in one colour."""
_STEADY_S = 0.1
"""Spread in s of the average of places over time."""


class ClothDetail:
    """Enlarges a video's painted frames, with the garment's own pixels where cloth is certain.

    Args:
        system: the networks; without ``warped_garment`` frames stay as they are.
        conditions: caption and garment.
        garment: its picture, best as large as the frames are to be.
        height: in the source, of what a frame shows.
        iuv: DensePose of all frames, of the system's size, some frames at a time.
        fps: of the video.
    """

    def __init__(
        self,
        system: System,
        conditions: Conditions,
        garment: UInt8[np.ndarray, "h2 w2 3"],
        height: int,
        iuv: Iterable[UInt8[np.ndarray, "t h w 3"]],
        fps: float,
    ) -> None:
        self.system, self.conditions = system, conditions
        config = system.config
        self.scale = max(1, min(MOST, -(-height // config.height)))
        self.size = self.scale * config.height, self.scale * config.width
        self.garment = fit_garment(garment, *self.size)
        self._legs_show_torso = False
        # of the whole video, so that it does not flicker: of arms, and of the neck
        self._skin: tuple[np.ndarray, np.ndarray] | None = None
        self._cells: tuple[Tensor, Tensor, Tensor] | None = None
        if config.network.warped_garment and conditions.garment is not None:
            self._cells = self._find_cells(iuv, fps)

    @torch.no_grad()
    def _find_cells(
        self, iuv: Iterable[UInt8[np.ndarray, "t h w 3"]], fps: float
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Places, slopes and parts of all cells of all frames."""
        device = self.conditions.caption.tokens.device
        bodies: list[Tensor] = []
        arms: list[Tensor] = []
        for labels in iuv:
            tensor = torch.from_numpy(labels).to(device)
            bodies.append(body_cells(tensor))
            arms.append(_arms_of_hands(tensor[..., 0]))
        body = rearrange(torch.cat(bodies), "t k y x -> 1 k t y x")
        cells = self.system.network.cell_places(replace(self.conditions, body=body))
        if cells is None:
            return None
        group = body[:, 0]
        wide = widen_limbs(*cells, group, self.size)
        steady = steady_places(*wide, group, _STEADY_S * fps)
        worn = clothed_cells(*steady, body, self._cloth)
        found = hem_on_legs(*worn, group, self._cloth)
        self._legs_show_torso = bool((found[2] != group).any())
        return sleeves_on_hands(*found, torch.cat(arms)[None], self._cloth)

    def framing(self, inner: CropWindow) -> CropWindow:
        """``inner``, which gives the system's size, for masks and DensePose of the result's."""
        return replace(inner, out_height=self.size[0], out_width=self.size[1])

    def person(self, iuv: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"] | None:
        """Where somebody is, for ``painter.paste``; None for networks that paint backgrounds."""
        if not self.system.config.network.warped_garment:
            return None
        body = np.where(iuv[..., 0] > 0, np.uint8(1), np.uint8(0))
        return np.uint8(255) * smooth_parts(body)

    @torch.no_grad()
    def __call__(
        self,
        rows: slice,
        painted: UInt8[np.ndarray, "t h w 3"],
        masks: UInt8[np.ndarray, "t h3 w3"],
        iuv: UInt8[np.ndarray, "t h3 w3 3"],
        hem: Bool[np.ndarray, "t h3 w3"] | None = None,
        source: UInt8[np.ndarray, "t h3 w3 3"] | None = None,
    ) -> tuple[UInt8[np.ndarray, "t h4 w4 3"], Bool[np.ndarray, "t h4 w4"] | None]:
        """Frames ``scale`` times as large, and where cloth lies below the old garment's hem.

        Both are ``painted`` and None if no place is known.

        Args:
            rows: which of the video's frames they are.
            painted: of the system's size.
            masks: of the result's size (``framing``); above 127: painted. Elsewhere, but for
                ``hem``, nothing is added.
            iuv: DensePose, of the result's size.
            hem: where a longer garment lies over others, of the result's size; None: nowhere.
            source: the video's own frames, of the result's size: they show the colour of skin.
                None: the painted ones do, paler.
        """
        if self._cells is None:
            return painted, None
        places, slopes, group = (values[:, rows] for values in self._cells)
        inside = masks > 127
        labels = np.stack([smooth_parts(row) for row in iuv[..., 0]])
        pixels = group_of(labels)
        neck = np.isin(labels, FACE) & inside  # the picture's neckline tells what of it is bare
        pixels[neck] = TORSO
        # what is masked of a hand is the end of the old sleeve, or what lies beside the hand
        if self._is_long:
            for hand, arm in zip(HANDS, LOWER_ARMS, strict=True):
                pixels[(labels == hand) & inside] = arm
        else:
            hands = np.isin(labels, HANDS) & inside
            pixels = np.stack([_grown(*rows_of) for rows_of in zip(pixels, hands, strict=True)])
        if not self._has_sleeves:
            pixels = np.stack([over_shoulders(row) for row in pixels])
        if hem is not None:  # between the legs
            rows_of = zip(pixels, hem, strict=True)
            pixels = np.stack([_grown(groups, below & (groups == 0)) for groups, below in rows_of])
        parts = torch.from_numpy(pixels)[None].to(places.device)
        if self._legs_show_torso:
            parts = torch.where((parts >= THIGHS[0]) & (parts <= THIGHS[1]), TORSO, parts)
        warped = warp_by_part(self._pictures, places, slopes, group, parts)
        known = warped[:, :, 12:]
        own = parts[:, :, None]
        warped = torch.where(
            own == TORSO, warped[:, :, 4:8],
            torch.where(own >= FIRST_LEG, warped[:, :, 8:12], warped[:, :, :4]),
        )  # fmt: skip
        cloth = np.stack([self._outlined(frame) for frame in warped[0, :, 3].cpu().numpy()])
        # gaps that are closed may be a forearm in front of the torso
        bare = np.isin(pixels, [] if self._is_long else LOWER_ARMS)
        cloth &= ~bare
        worn = inside & ~bare & np.stack([_dilated(frame, self._disc(_WIDER)) for frame in cloth])
        is_arm = (pixels >= ARMS[0]) & (pixels <= ARMS[1])
        # closing and smoothing spread a torso's cloth onto arms, whose own is not there
        own_cloth = cloth & is_arm & (warped[0, :, 3].cpu().numpy() > _CLOTH)
        sleeves = np.stack([_dilated(row, self._disc(_WIDER)) for row in own_cloth])
        worn &= sleeves | ~is_arm  # a torso's cloth does not grow onto bare arms
        near = np.stack([_dilated(frame, self._disc(_WIDER / 3)) for frame in cloth])
        # a hem does not grow into what is masked between a thigh and a hand that hangs beside it
        hanging = np.isin(labels, HANDS) | np.isin(pixels, LOWER_ARMS)
        hanging = np.stack([_dilated(row, self._disc(_WIDER)) for row in hanging])
        worn &= near | (pixels < FIRST_LEG) | ~hanging
        if self._has_collar:
            worn |= neck
        else:
            worn &= (cloth & np.stack([_lower_part(row) for row in neck])) | ~neck
        if hem is not None:
            worn |= hem & near
        share = self._share(worn & (pixels > 0))
        colours = torch.cat([warped[0, :, :3] * known[0], known[0]], dim=1)
        filled = signed_to_bytes(fill_ground(colours)[:, :3])
        light = np.stack([cloth_light(row) for row in pixels])
        shown = light * rearrange(filled, "t c h w -> t h w c").cpu().numpy()
        shown = shown.clip(max=255)
        large = np.stack([_enlarged(frame, share.shape[1:3]) for frame in painted])
        if self._skin is None:
            seen = large if source is None else source, iuv[..., 0], inside
            if (tone := find_skin(*seen)) is not None:
                face = find_skin(*seen, FACE)
                self._skin = tone, tone if face is None else face
        if self._skin is not None:
            rows_of = zip(large, labels, share[..., 0] > _CLOTH, inside, strict=True)
            large = np.stack([paint_skin(*values, *self._skin) for values in rows_of])
        frames = np.rint(large + share * (shown - large)).astype(np.uint8)
        return frames, None if hem is None else hem & (share[..., 0] > _CLOTH)

    @cached_property
    def _cloth(self) -> Float[Tensor, "1 4 h w"]:
        """The garment without its ground, and where it is."""
        garment = self.conditions.garment
        assert garment is not None
        device = self.conditions.caption.tokens.device
        picture = bytes_to_signed(torch.from_numpy(self.garment)).to(device)
        cloth = cut_cloth(rearrange(picture, "h w c -> 1 c h w"), garment.outline)
        exact = cloth_on_plain(self.garment)
        if exact is not None:
            known = torch.from_numpy(exact).to(cloth)[None, None]
            cloth = torch.cat([rearrange(picture, "h w c -> 1 c h w") * known, known], dim=1)
        left, right = (torso_sides(cloth[:, 3:])[0] * cloth.shape[3]).tolist()
        shown = cloth[0, 3].cpu().numpy() > _CLOTH
        inside = inside_of_collar(self.garment, shown, (left, right))
        cloth = (cloth * ~torch.from_numpy(inside).to(device))[0].cpu().numpy()
        whole = np.concatenate([self._continued(cloth), cloth[3:]])
        raised = raise_neckline(whole, inside, _NECKLINE * len(inside))
        return torch.from_numpy(raised).to(device)[None]

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
        left, right = (torso_sides(self._cloth[:, 3:])[0] * self.size[1]).tolist()
        return left, right

    @cached_property
    def _has_collar(self) -> bool:
        """Whether it stands up around the neck."""
        return is_collar(self._cloth[0, 3].cpu().numpy() > _CLOTH, self._sides)

    @cached_property
    def _has_sleeves(self) -> bool:
        return bool(has_sleeves(self._cloth[:, 3:]))

    @cached_property
    def _is_long(self) -> bool:
        """Whether its sleeves reach the wrists."""
        return bool(has_long_sleeves(self._cloth[:, 3:]))

    @cached_property
    def _pictures(self) -> Float[Tensor, "1 13 h w"]:
        """The garment as arms show it, as the torso does, as legs do, and 1."""
        cloth = raise_shoulders(self._cloth)
        everywhere = torch.ones_like(cloth[:, 3:])
        sleeves = self._sleeves(cloth)
        arms = torch.cat([sleeves, everywhere if self._is_long else cloth[:, 3:]], dim=1)
        return torch.cat([arms, fill_sides(cloth), cloth, everywhere], dim=1)

    def _sleeves(self, cloth: Float[Tensor, "1 4 h w"]) -> Float[Tensor, "1 3 h w"]:
        """Colours of long sleeves; over the torso, where arms' places may lie, too.

        Sleeves in the torso's own colours stay as they are: a torso's pattern is less distorted.
        """
        shown = cloth[0, 3].cpu().numpy() > _CLOTH
        rows = np.flatnonzero(shown.any(axis=1))
        if not self._is_long or not len(rows):
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

    def _outlined(self, cloth: Float[np.ndarray, "h3 w3"]) -> Bool[np.ndarray, "h3 w3"]:
        """A frame's cloth without narrow gaps and with a smooth outline.

        No place is known in gaps, such as between torso and sleeve, and places are off by more at
        some cells than at others.
        """
        closed = cv2.morphologyEx(cloth, cv2.MORPH_CLOSE, self._disc(_GAP))
        return cv2.GaussianBlur(closed, (0, 0), _SMOOTH * self.size[0]) > _CLOTH

    def _disc(self, share: float) -> UInt8[np.ndarray, "n n"]:
        """As wide as a share of the picture's height."""
        size = 2 * round(share / 2 * self.size[0]) + 1
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))

    def _share(self, worn: Bool[np.ndarray, "t h3 w3"]) -> Float[np.ndarray, "t h3 w3 1"]:
        """How much of each pixel is the garment's."""
        width = _SOFT * self.scale
        soft = np.stack([cv2.GaussianBlur(row, (0, 0), width) for row in worn.astype(np.float32)])
        return (2 * soft - 1).clip(0)[..., None]


def _arms_of_hands(parts: UInt8[Tensor, "t h w"]) -> Float[Tensor, "t y x"]:
    """The lower arm's group of cells that a hand covers most of; 0: none."""
    left, right = (F.avg_pool2d((parts == hand).float()[:, None], CELL)[:, 0] for hand in HANDS)
    return LOWER_ARMS[0] * (left > 0.5).float() + LOWER_ARMS[1] * (right > 0.5).float()


def _grown(
    groups: UInt8[np.ndarray, "h w"], where: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Groups of a frame's pixels, with the nearest pixel's that has one where ``where``."""
    known = (groups > 0) & ~where
    if not where.any() or not known.any():
        return groups
    nearest = nearest_part(np.where(known, groups, 0), where, np.unique(groups[known]).tolist())
    return np.where(where, nearest, groups)


def _lower_part(neck: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The rows of a neck that a collar may cover, whatever the picture shows."""
    rows = np.flatnonzero(neck.any(axis=1))
    lower = np.zeros_like(neck)
    if len(rows):
        lower[round(float(rows[0] + _BARE_NECK * (rows[-1] - rows[0]))) :] = True
    return lower


def _dilated(
    region: Bool[np.ndarray, "h w"], disc: UInt8[np.ndarray, "n n"]
) -> Bool[np.ndarray, "h w"]:
    return cv2.dilate(region.astype(np.uint8), disc) > 0


def _enlarged(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
