"""The garment's picture at full detail in painted frames, where its cloth is certain.

A small model paints small frames: lettering and fine stripes are lost in them, and enlarging brings
nothing back. The warped garment has them. Not part of VITON-DiT; a result composed of warped and
painted pixels is usual in try-on by warping (CP-VTON, Wang et al. 2018, arXiv 1807.07688).
"""

from collections.abc import Iterable
from dataclasses import replace

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
from datasets.sample import signed_to_bytes
from inference.sampling.backdrop import fill_backdrop
from inference.sampling.cloth_edges import (
    over_shoulders,
    smooth_parts,
)
from inference.sampling.limbs import widen_limbs
from inference.sampling.pictured_cloth import PicturedCloth
from inference.sampling.shading import cloth_light, depth_inside
from inference.sampling.skin import FACE, HANDS, SKIN, find_skin, paint_skin, tone_of_arms
from inference.sampling.slim_arms import certain_arms, head_size, slim_arms
from inference.video.framing import CropWindow
from models.cloth import (
    clothed_cells,
    fill_ground,
    hem_on_legs,
    hem_reach,
    sleeves_on_hands,
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
_OUTLINE = 0.03
"""Of the picture's height: twice the width by which DensePose may miss the old garment's edge."""
_SMOOTH = 0.012
"""Of the picture's height: the spread that smoothes cloth's outline."""
_CLOTH = 0.5
"""Share of a pixel that makes it cloth."""
_HIPS = 0.75
"""Of the head's size: a hem may be so far from the torso's end, which DensePose draws narrow."""
_BARE_NECK = 0.5
"""Of what is masked of a neck, from above: bare whatever the picture shows."""
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
        outline = None if conditions.garment is None else conditions.garment.outline
        self.cloth = PicturedCloth(fit_garment(garment, *self.size), outline)
        self._legs_show_torso = False
        self._reach = 0.0  # px below the torso's end, at most, at which a hem lies
        # of the whole video, so that it does not flicker: of arms, and of the neck
        self._skin: tuple[np.ndarray, np.ndarray] | None = None
        self._head: float | None = None
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
        parts: list[np.ndarray] = []
        for labels in iuv:
            parts.append(labels[..., 0])
            tensor = torch.from_numpy(labels).to(device)
            bodies.append(body_cells(tensor))
            arms.append(_arms_of_hands(tensor[..., 0]))
        self._head = head_size(parts)
        body = rearrange(torch.cat(bodies), "t k y x -> 1 k t y x")
        cells = self.system.network.cell_places(replace(self.conditions, body=body))
        if cells is None:
            return None
        group = body[:, 0]
        wide = widen_limbs(*cells, group, self.size)
        steady = steady_places(*wide, group, _STEADY_S * fps)
        worn = clothed_cells(*steady, body, self.cloth.picture)
        found = hem_on_legs(*worn, group, self.cloth.picture)
        self._reach = float(hem_reach(*worn, group, self.cloth.picture)) * CELL * self.scale
        self._legs_show_torso = bool((found[2] != group).any())
        return sleeves_on_hands(*found, torch.cat(arms)[None], self.cloth.picture)

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
        ground: Bool[np.ndarray, "t h3 w3"] | None = None,
        bare: Bool[np.ndarray, "t h3 w3"] | None = None,
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
            ground: what it shows of the background, certainly; None: unknown.
            bare: what it shows of bare arms, which stay where no cloth lies; None: unknown.
        """
        if self._cells is None:
            return painted, None
        places, slopes, group = (values[:, rows] for values in self._cells)
        inside = masks > 127
        labels = np.stack([smooth_parts(row) for row in iuv[..., 0]])
        seen = labels
        if ground is not None:  # the old garment's outline, which DensePose sees coarsely
            rows_of = zip(labels, inside & ~ground, strict=True)
            labels = np.stack([self._to_outline(*row) for row in rows_of])
        kept = np.zeros_like(inside)
        if bare is not None and not self.cloth.is_long:
            kept = inside & np.stack([certain_arms(*row) for row in zip(labels, bare, strict=True)])
        head = None if self._head is None else self._head * float(np.sqrt(labels[0].size))
        covered = self.cloth.has_sleeves, self.cloth.is_long
        rows_of = zip(labels, inside, kept, strict=True)
        labels = np.stack([slim_arms(*row, head, covered) for row in rows_of])
        pixels = group_of(labels)
        neck = np.isin(labels, FACE) & inside  # the picture's neckline tells what of it is bare
        pixels[neck] = TORSO
        # what is masked of a hand is the end of the old sleeve, or what lies beside the hand
        if self.cloth.is_long:
            for hand, arm in zip(HANDS, LOWER_ARMS, strict=True):
                pixels[(labels == hand) & inside] = arm
        else:
            hands = np.isin(labels, HANDS) & inside
            pixels = np.stack([_grown(*rows_of) for rows_of in zip(pixels, hands, strict=True)])
        if not self.cloth.has_sleeves:
            pixels = np.stack([over_shoulders(row) for row in pixels])
        if hem is not None:  # between the legs
            rows_of = zip(pixels, hem, strict=True)
            pixels = np.stack([_grown(groups, below & (groups == 0)) for groups, below in rows_of])
        parts = torch.from_numpy(pixels)[None].to(places.device)
        if self._legs_show_torso:
            parts = torch.where((parts >= THIGHS[0]) & (parts <= THIGHS[1]), TORSO, parts)
        warped = warp_by_part(self.cloth.pictures, places, slopes, group, parts)
        known = warped[:, :, 12:]
        own = parts[:, :, None]
        warped = torch.where(
            own == TORSO, warped[:, :, 4:8],
            torch.where(own >= FIRST_LEG, warped[:, :, 8:12], warped[:, :, :4]),
        )  # fmt: skip
        cloth = np.stack([self._outlined(frame) for frame in warped[0, :, 3].cpu().numpy()])
        # gaps that are closed may be a forearm in front of the torso
        free = np.isin(pixels, [] if self.cloth.is_long else LOWER_ARMS)
        cloth &= ~free
        worn = inside & ~free & np.stack([_dilated(frame, self._disc(_WIDER)) for frame in cloth])
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
        if self.cloth.has_collar:
            worn |= neck
        else:
            worn &= (cloth & np.stack([_lower_part(row) for row in neck])) | ~neck
        if hem is not None:
            worn |= hem & near
        if self._legs_show_torso and head is not None:
            below = np.stack([depth_inside(row != TORSO) for row in group_of(labels)])
            on_legs = pixels >= FIRST_LEG if hem is None else hem | (pixels >= FIRST_LEG)
            worn &= (below <= max(self._reach, _HIPS * head)) | ~on_legs
        share = self._share(worn & (pixels > 0))
        colours = torch.cat([warped[0, :, :3] * known[0], known[0]], dim=1)
        filled = signed_to_bytes(fill_ground(colours)[:, :3])
        light = np.stack([cloth_light(row) for row in pixels])
        shown = light * rearrange(filled, "t c h w -> t h w c").cpu().numpy()
        shown = shown.clip(max=255)
        large = np.stack([_enlarged(frame, share.shape[1:3]) for frame in painted])
        if self._skin is None:
            shown_by = large if source is None else source
            arm = tone_of_arms(shown_by, kept)
            hand, face = (find_skin(shown_by, labels, inside, where) for where in (SKIN, FACE))
            if (tone := hand if arm is None else arm) is not None:
                self._skin = tone, tone if face is None else face
        if source is not None:
            large = fill_backdrop(large, source, inside, seen, labels, ground)
        if self._skin is not None:
            rows_of = zip(large, labels, share[..., 0] > _CLOTH, inside, strict=True)
            large = np.stack([paint_skin(*values, *self._skin) for values in rows_of])
        if source is not None and kept.any():
            large = large + self._share(kept) * (source.astype(np.float32) - large)
        frames = np.rint(large + share * (shown - large)).astype(np.uint8)
        return frames, None if hem is None else hem & (share[..., 0] > _CLOTH)

    def _to_outline(
        self, parts: UInt8[np.ndarray, "h w"], old: Bool[np.ndarray, "h w"]
    ) -> UInt8[np.ndarray, "h w"]:
        """DensePose's parts, grown a little over what shows more of the old garment."""
        clothed = group_of(parts) > 0
        beside = old & (parts == 0) & _dilated(clothed, self._disc(_OUTLINE))
        if not beside.any():
            return parts
        return np.where(
            beside, nearest_part(parts, beside, np.unique(parts[clothed]).tolist()), parts
        )

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
        return (2 * soft - 0.5).clip(0, 1)[..., None]


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
