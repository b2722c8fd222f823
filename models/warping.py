"""The garment's picture warped onto the body: a coarse result, which the networks refine.

Not part of VITON-DiT; coarse to fine is how try-on by warping works since VITON (Han et al. 2018,
arXiv 1711.08447). Where the cloth lies comes from ``places.py``; edges, sleeves, skin, folds and
light are left to the networks.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from models.places import ARMS, FIRST_LEG, LOWER_ARMS, TORSO, shift_cells

_CORNER = 8  # px
_FAR = 0.35
"""Of a colour from the picture's ground, summed over the channels: cloth."""
_INSIDE = 0.95
"""Share of garment in a field of the outline from which all of it is cloth, of any colour."""


_WIDER, _MIXED = 0.06, 0.01
"""Shares of the picture's height: by which cloth is continued, and on its edge that are mixed."""
_GRAY = 0.1
"""Of a value from gray, at most: masked."""
_HEM_BELOW, _HEM_CELLS = 0.7, 3
"""Of the picture's height: a torso that reaches lower has the hem in sight. Rows of cells."""
_LEAST_ROWS = 8  # of cloth, to tell anything
_SPREAD = 1.33
"""Shoulders with sleeves over the narrowest of the torso: tops without reach 1.28, tees 1.39."""
_AS_WIDE = 0.8
"""Of the height, at half of it: more with sleeves that lie beside the torso, less without any."""
_FULL = 0.99
"""Of a cell: cloth everywhere."""
_NEIGHBOURS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
"""Rows down and columns to the right."""
_FAR_AWAY = 1e-4
"""Weight of a cell of the same part that does not touch a pixel: used if no other does."""
_ALIKE = 0.06
"""Of the picture's sides: cells whose slopes lead to places further apart are not mixed."""


def cut_cloth(
    picture: Float[Tensor, "g 3 h w"], outline: Float[Tensor, "g 16 12"] | None
) -> Float[Tensor, "g 4 h w"]:
    """The picture with 0 for its ground, and 1 where it shows cloth.

    Args:
        picture: garments on a plain ground, in [-1, 1]; the ground's colour is in the corner.
        outline: share of garment in each field; None: only the colour tells what is cloth.
    """
    ground = picture[:, :, :_CORNER, :_CORNER].mean(dim=(2, 3), keepdim=True)
    cloth = (picture - ground).abs().sum(dim=1, keepdim=True) > _FAR
    if outline is not None:
        size = (picture.shape[2], picture.shape[3])
        cloth |= F.interpolate(outline[:, None].float(), size, mode="bilinear") > _INSIDE
    shown = cloth.to(picture.dtype)
    return torch.cat([picture * shown, shown], dim=1)


def widen_cloth(cloth: Float[Tensor, "g 4 h w"]) -> Float[Tensor, "g 4 h w"]:
    """The picture with its cloth continued by a little, in the colours near its edge.

    Places are a few pixels off: at the edge of the body, and more on sleeves. The outermost pixels
    are replaced too, since they are mixed with the ground.

    Args:
        cloth: from ``cut_cloth``.
    """
    height = cloth.shape[2]
    size = 2 * max(1, round(_MIXED * height)) + 1
    inner = 1 - F.max_pool2d(1 - cloth[:, 3:], size, stride=1, padding=size // 2)
    cloth = cloth * inner
    size = 2 * max(1, round(_WIDER / 2 * height)) + 1
    for _ in range(2):
        wide = F.avg_pool2d(cloth, (size, 1), stride=1, padding=(size // 2, 0))
        wide = F.avg_pool2d(wide, (1, size), stride=1, padding=(0, size // 2))
        share = wide[:, 3:]
        shown = torch.cat([wide[:, :3] / share.clamp(min=1e-6), torch.ones_like(share)], dim=1)
        cloth = torch.where(cloth[:, 3:] > 0, cloth, shown * (share > 0))
    return cloth


def has_sleeves(cloth: Float[Tensor, "g 1 h w"]) -> Bool[Tensor, " g"]:
    """Whether garments for the upper body have sleeves, by their outlines.

    Sleeves spread out above a narrower torso, or lie beside it and make the whole as wide as it is
    high. Places on arms are estimated for every garment, so a top without sleeves would get some.

    Args:
        cloth: 1 where the picture shows cloth.
    """
    found: list[bool] = []
    for widths in (cloth[:, 0] > 0.5).sum(dim=2).float():
        rows = widths[widths > 0]
        if len(rows) < _LEAST_ROWS:
            found.append(True)
            continue
        part = {share: int(share * len(rows)) for share in (0.1, 0.35, 0.5, 0.75)}
        shoulders = rows[part[0.1] : part[0.5]].max()
        torso = rows[part[0.35] : part[0.75]].min()
        beside = rows[part[0.5]] / len(rows)
        found.append(bool(shoulders > _SPREAD * torso) or bool(beside > _AS_WIDE))
    return torch.tensor(found, device=cloth.device)


def torso_sides(cloth: Float[Tensor, "g 1 h w"]) -> Float[Tensor, "g 2"]:
    """Where the torso of garments for the upper body begins and ends, x in [0, 1].

    From the rows of its lower half, where short sleeves have ended and long ones hang beside it.
    """
    sides: list[list[float]] = []
    width = cloth.shape[3]
    for shown in cloth[:, 0] > 0.5:
        rows = shown[shown.any(dim=1)]
        rows = rows[int(0.55 * len(rows)) : int(0.9 * len(rows))]
        columns = torch.arange(width, device=cloth.device)
        middle = int(columns[shown.any(dim=0)].float().mean()) if len(rows) else 0
        ground = torch.where(rows, -1, columns)
        left = ground.masked_fill(columns >= middle, -1).amax(dim=1) + 1
        right = torch.where(rows | (columns <= middle), width, columns).amin(dim=1)
        inside = rows[:, middle]
        if not inside.any():
            sides.append([0.0, 1.0])
            continue
        sides.append([float(left[inside].median()), float(right[inside].median())])
        sides[-1] = [side / width for side in sides[-1]]
    return torch.tensor(sides, device=cloth.device)


def clothed_cells(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    body: Float[Tensor, "b 4 t y x"],
    cloth: Float[Tensor, "g 4 h w"],
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"]]:
    """Places and slopes of cells; unknown on arms that the garment leaves bare.

    Those are arms in a garment without sleeves, and lower arms whose place is not on a sleeve:
    places are estimated for every garment, so those of arms may lie on its torso.

    Args:
        places: x, y, known.
        slopes: returned unchanged.
        body: of ``places.BODY_CHANNELS``.
        cloth: from ``cut_cloth``; each of g garments serves b / g consecutive rows.
    """
    group, times = body[:, 0], len(places) // len(cloth)
    bare = ~has_sleeves(cloth[:, 3:]).repeat_interleave(times)[:, None, None, None]
    bare = bare & (group >= ARMS[0]) & (group <= ARMS[1])
    sides = torso_sides(cloth[:, 3:]).repeat_interleave(times, dim=0)[..., None, None, None]
    on_torso = (places[..., 0] > sides[:, 0]) & (places[..., 0] < sides[:, 1])
    bare = bare | (on_torso & (group >= LOWER_ARMS[0]) & (group <= LOWER_ARMS[1]))
    return torch.cat([places[..., :2], places[..., 2:] * ~bare[..., None]], dim=-1), slopes


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


def hem_on_legs(
    places: Float[Tensor, "b t y x 3"],
    slopes: Float[Tensor, "b t y x 2 2"],
    group: Float[Tensor, "b t y x"],
) -> tuple[Float[Tensor, "b t y x 3"], Float[Tensor, "b t y x 2 2"], Float[Tensor, "b t y x"]]:
    """Leg cells that continue the torso's, where a garment's hem is near the end of the torso.

    Legs' own places come from few long tops, and a pattern would break at the hips.

    Args:
        places: x, y, known.
        slopes: from ``places.slopes_of``.
        group: of each cell.

    Returns:
        The same with leg cells that count as torso, for at most ``_HEM_CELLS`` rows, or know
        nothing; in frames of longer garments unchanged.
    """
    torso = (group == TORSO) & (places[..., 2] > 0)
    lowest = torch.where(torso, places[..., 1], 0).amax(dim=(2, 3), keepdim=True)
    legs = (group >= FIRST_LEG) & (lowest > _HEM_BELOW)
    alone = torch.cat([places[..., :2], torso[..., None].to(places.dtype)], dim=-1)
    spread, steep = alone, slopes
    for _ in range(_HEM_CELLS):
        spread, steep = spread_places(spread, steep)
    return (
        torch.where(legs[..., None], spread, places),
        torch.where(legs[..., None, None], steep, slopes),
        torch.where(legs & (spread[..., 2] > 0), float(TORSO), group),
    )


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
