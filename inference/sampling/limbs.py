"""Places on arms, as finely scaled across a limb as its garment is on the torso.

A limb is a cell or two wide, and how far around it a cell lies is what DensePose knows least. A
regression to such noise returns too little: an arm showed half of its sleeve's width, a forearm a
sixth of it, as streaks (docs/notes/places.md). Cloth has one scale, so the torso tells it.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from models.places import ARMS, TORSO

_LEAST_CELLS = 4  # of a part, to know its direction
_LEAST_TORSO = 12  # cells, to know its scale in a frame
_FAR = 2.0
"""Times the video's scale, up or down: a frame's is not taken."""
_LINALG: Any = torch.linalg  # has no types


def widen_limbs(
    places: Float[Tensor, "b t h w 3"],
    slopes: Float[Tensor, "b t h w 2 2"],
    group: Float[Tensor, "b t h w"],
    shape: tuple[int, int],
) -> tuple[Float[Tensor, "b t h w 3"], Float[Tensor, "b t h w 2 2"]]:
    """Places and slopes on arms: along a limb as given, across it in the torso's scale.

    Args:
        places: x, y, known; of a whole video.
        slopes: from ``places.slopes_of``.
        group: of each cell.
        shape: height and width of the garment's picture, in any unit.

    Returns:
        The same where a part has too few cells, or no frame shows enough of a torso.
    """
    picture = places.new_tensor([shape[1], shape[0]])
    points, steep = places[..., :2] * picture, slopes * picture
    known = places[..., 2] > 0
    maps, counts = _affine(points, known & (group == TORSO))[1:]
    scale = cast(Tensor, _LINALG.det(maps)).abs().sqrt()
    seen = (counts >= _LEAST_TORSO) & (scale > 0)
    if not seen.any():
        return places, slopes
    usual = scale[seen].median()
    near = seen & (scale < _FAR * usual) & (scale > usual / _FAR)
    scale = torch.where(near, scale, usual)[..., None, None, None]
    for arm in range(ARMS[0], ARMS[1] + 1):
        own = known & (group == arm)
        means, maps, counts = _affine(points, own)
        u, _, vh = cast(tuple[Tensor, ...], _LINALG.svd(maps))
        # rows of a map: the step of the place for one cell right, and one down
        ahead, along = u[..., :, 0], vh[..., 0, :]
        side, across = (torch.stack([-d[..., 1], d[..., 0]], dim=-1) for d in (ahead, along))
        ahead, along, side, across = (d[:, :, None, None] for d in (ahead, along, side, across))
        beyond = ((points - means[1]) * along).sum(dim=-1, keepdim=True)
        aside = ((_cells(points) - means[0]) * side).sum(dim=-1, keepdim=True)
        moved = means[1] + beyond * along + scale * aside * across
        kept = (steep * along[..., None, :]).sum(dim=-1, keepdim=True) * along[..., None, :]
        turned = kept + scale[..., None] * side[..., :, None] * across[..., None, :]
        taken = own & (counts >= _LEAST_CELLS)[..., None, None]
        moved = torch.cat([moved / picture, places[..., 2:]], dim=-1)
        places = torch.where(taken[..., None], moved, places)
        slopes = torch.where(taken[..., None, None], turned / picture, slopes)
    return places, slopes


def _cells(points: Float[Tensor, "b t h w 2"]) -> Float[Tensor, "h w 2"]:
    """Column and row of each cell."""
    rows, columns = (torch.arange(size, device=points.device) for size in points.shape[2:4])
    grid = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([grid[1], grid[0]], dim=-1).to(points.dtype)


def _affine(
    points: Float[Tensor, "b t h w 2"], own: Tensor
) -> tuple[tuple[Tensor, Tensor], Float[Tensor, "b t 2 2"], Float[Tensor, "b t"]]:
    """The affine map from cells to places in each frame, by least squares over ``own`` cells.

    Returns:
        Mean cell and mean place, (b, t, 1, 1, 2) each; the map, rows for one cell right and one
        down; the number of cells.
    """
    weight = own.to(points.dtype)[..., None]
    count = weight.sum(dim=(2, 3), keepdim=True)
    cells = _cells(points).expand_as(points)
    means = tuple((values * weight).sum(dim=(2, 3), keepdim=True) / count.clamp(min=1)
                  for values in (cells, points))  # fmt: skip
    apart = (cells - means[0]) * weight
    spread = torch.einsum("bthwi,bthwj->btij", apart, cells - means[0])
    both = torch.einsum("bthwi,bthwj->btij", apart, points - means[1])
    held = torch.eye(2, device=points.device, dtype=points.dtype) * 0.1  # one column has no across
    solved = cast(Tensor, _LINALG.solve(spread + held, both))
    return (means[0], means[1]), solved, count[..., 0, 0, 0]
