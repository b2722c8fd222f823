"""The garment's picture warped onto the body: a coarse result, which the networks refine.

Not part of VITON-DiT; coarse to fine is how try-on by warping works since VITON (Han et al. 2018,
arXiv 1711.08447). Where the cloth lies comes from ``places.py``; edges, sleeves, skin, folds and
light are left to the networks.
"""

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from models.places import shift_cells

_GRAY = 0.1
"""Of a value from gray, at most: masked."""
_FULL = 0.99
"""Of a cell: cloth everywhere."""
_NEIGHBOURS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Rows down and columns to the right."""
_FAR_AWAY = 1e-4
"""Weight of a cell of the same part that does not touch a pixel: used if no other does."""
_ALIKE = 0.06
"""Of the picture's sides: cells whose slopes lead to places further apart are not mixed."""


def spread_places(
    places: Float[Tensor, "b t y x 3"], slopes: Float[Tensor, "b t y x 2 2"]
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"]]:
    """Places continued by one cell beyond those that are known, along a neighbour's slopes."""
    known = places[..., 2]
    for down, right in _NEIGHBOURS:
        near, steep = (shift_cells(values, down, right) for values in (places, slopes))
        moved = near[..., :2] - right * steep[..., 0, :] - down * steep[..., 1, :]
        taken = (places[..., 2] == 0) & (shift_cells(known, down, right) > 0)
        there = torch.cat([moved, torch.ones_like(near[..., 2:])], dim=-1)
        places = torch.where(taken[..., None], there, places)
        slopes = torch.where(taken[..., None, None], steep, slopes)
    return places, slopes


def fill_masked(
    agnostic: Float[Tensor, "b t 3 h w"],
    mask: Float[Tensor, "b 1 t y x"],
    cloth: Float[Tensor, "b t 4 h w"],
    cell: int,
) -> Float[Tensor, "b t 3 h w"]:
    """The agnostic frames with cloth where they are masked.

    Args:
        agnostic: gray (0) where masked.
        mask: 1 for cells with at least one masked pixel. In those, gray pixels count as masked.
        cloth: the picture times its share of each pixel, and that share.
        cell: pixels of a cell's sides.
    """
    cells = rearrange(mask, "b c t y x -> b t c y x")
    wide = cells.repeat_interleave(cell, dim=3).repeat_interleave(cell, dim=4)
    masked = wide * (agnostic.abs().amax(dim=2, keepdim=True) < _GRAY)
    return agnostic * (1 - masked * cloth[:, :, 3:]) + masked * cloth[:, :, :3]


def mean_of_cells(frames: Float[Tensor, "b t c h w"], cell: int) -> Float[Tensor, "b c t y x"]:
    """The mean of each cell of frames, on the latent grid."""
    pooled = F.avg_pool2d(rearrange(frames, "b t c h w -> (b t) c h w"), cell)
    return rearrange(pooled, "(b t) c y x -> b c t y x", b=frames.shape[0])


def certain_cells(shown: Float[Tensor, "b t 1 h w"], cell: int) -> Float[Tensor, "b 1 t y x"]:
    """1 for cells that the cloth fills.

    Args:
        shown: 1 where there is cloth: ``cut_cloth``'s, warped to places that are known.
        cell: pixels of a cell's sides.
    """
    return (mean_of_cells(shown, cell) > _FULL).to(shown.dtype)


def warp_picture(
    picture: Float[Tensor, "g c h2 w2"],
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    cell: int,
    samples: int = 1,
) -> Float[Tensor, "b t c h w"]:
    """Frames filled with the picture around their cells' places.

    Between the middles of cells, places are what both cells' slopes say, mixed, so that a pattern
    runs on from cell to cell; cells that contradict each other, as torso and arm do, stay apart.
    Sampling is bilinear.

    Args:
        picture: garments; each of g serves b / g consecutive rows.
        places: x, y in [0, 1] of the picture, and 1 where they are known.
        slopes: from ``places.slopes_of``.
        cell: pixels of a cell's sides.
        samples: of the picture along each side of a pixel, averaged: as many as the picture is
            larger than the frame.

    Returns:
        Frames of ``cell`` times as many pixels as cells; 0 where no place is known.
    """
    points = _points_between(places, slopes, cell * samples)
    frames = _sampled(picture, points)
    shrunk = F.avg_pool2d(rearrange(frames, "b t c h w -> (b t) c h w"), samples)
    known = places[..., 2].repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
    return rearrange(shrunk, "(b t) c h w -> b t c h w", t=places.shape[1]) * known[:, :, None]


def warp_by_part(
    picture: Float[Tensor, "g c h2 w2"],
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    group: Float[Tensor, "b t y x"],
    pixels: UInt8[Tensor, "b t h w"],
) -> Float[Tensor, "b t c h w"]:
    """``warp_picture`` for frames whose every pixel has a part of the body.

    A pixel's place follows from cells of its own part, so that a sleeve ends where the arm does.

    Args:
        picture: garments; each of g serves b / g consecutive rows.
        places: x, y in [0, 1] of the picture, and 1 where they are known.
        slopes: from ``places.slopes_of``.
        group: of each cell; numbers of ``places.NUM_GROUPS``.
        pixels: the group of each pixel; 0: none, and nothing is shown.

    Returns:
        Frames; 0 where no cell of the part is near.
    """
    fine = pixels.shape[2] // places.shape[2]
    own = rearrange(pixels, "b t (y p) (x q) -> b t y x p q 1", p=fine, q=fine).to(places.dtype)
    total = torch.zeros(*own.shape[:-1], 2, device=places.device)
    weights = torch.zeros(*own.shape, device=places.device)
    for down, right in ((0, 0), *_NEIGHBOURS):
        points, weight = _from_neighbour(places, slopes, fine, down, right)
        part = shift_cells(group * places[..., 2], down, right)[..., None, None, None]
        weight = (weight + _FAR_AWAY) * (part == own) * (own > 0)
        total += weight * points
        weights += weight
    known = rearrange(weights[..., 0] > 0, "b t y x p q -> b t 1 (y p) (x q)")
    return _sampled(picture, total / weights.clamp(min=1e-12)) * known


def _sampled(
    picture: Float[Tensor, "g c h2 w2"], points: Float[Tensor, "b t y x p q 2"]
) -> Float[Tensor, "b t c h w"]:
    where = rearrange(
        points * 2 - 1, "(g r) t y x p q c -> g (r t y p) (x q) c", g=picture.shape[0]
    )
    found = F.grid_sample(
        picture.float(), where, mode="bilinear", padding_mode="border", align_corners=False
    )
    height = points.shape[2] * points.shape[4]
    return rearrange(found, "g c (r t h) w -> (g r) t c h w", t=points.shape[1], h=height)


def _points_between(
    places: Float[Tensor, "b t y x 3"], slopes: Float[Tensor, "b t y x 2 2"], fine: int
) -> Float[Tensor, "b t y x p q 2"]:
    """The place of each of ``fine`` x ``fine`` points of each cell."""
    own, known = places[..., :2], places[..., 2]
    total = torch.zeros(*known.shape, fine, fine, 2, device=places.device)
    weights = torch.zeros(*known.shape, fine, fine, 1, device=places.device)
    for down, right in ((0, 0), *_NEIGHBOURS):
        points, weight = _from_neighbour(places, slopes, fine, down, right)
        near, steep = (shift_cells(values, down, right) for values in (places, slopes))
        here = near[..., :2] - right * steep[..., 0, :] - down * steep[..., 1, :]
        alike = (-(here - own).square().sum(dim=-1) / _ALIKE**2).exp() * near[..., 2] * known
        if (down, right) == (0, 0):
            alike = torch.ones_like(known)
        weight = alike[..., None, None, None] * weight
        total += weight * points
        weights += weight
    return total / weights


def _from_neighbour(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    fine: int,
    down: int,
    right: int,
) -> tuple[Float[Tensor, "b t y x p q 2"], Float[Tensor, "p q 1"]]:
    """The places of each cell's points by a neighbour's place and slopes, and their weight."""
    offsets = (torch.arange(fine, device=places.device) + 0.5) / fine - 0.5
    near, steep = (shift_cells(values, down, right) for values in (places, slopes))
    across = (offsets - right)[:, None] * steep[..., None, None, 0, :]
    along = (offsets - down)[:, None, None] * steep[..., None, None, 1, :]
    high = (1 - (offsets - down).abs()).clamp(min=0)[:, None, None]
    wide = (1 - (offsets - right).abs()).clamp(min=0)[:, None]
    return near[..., None, None, :2] + across + along, high * wide
