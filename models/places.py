"""Where in the garment's picture the cloth at each place of a frame lies.

Not part of VITON-DiT. DensePose tells a network the part of the body and the place on it; the
garment's picture has its own layout. ``PlaceEstimator`` connects the two: a ridge regression from
(part, U, V) and the garment's outline to a point of its picture. ``attention.PlaceAttention`` reads
the garment there. Without it a network has to learn the connection from pictures alone, and
patterns never arrive on the body (docs/notes/places.md).
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

NUM_GROUPS = 9
"""Torso, upper arms, lower arms, upper legs, lower legs; left and right each."""
ARMS, LOWER_ARMS = (2, 5), (4, 5)
"""First and last group of the arms, and of their lower halves."""
TORSO, FIRST_LEG, THIGHS = 1, 6, (6, 7)
"""Groups of the torso, and of the first part of a leg; the others follow."""
BODY_CHANNELS = 4
"""Of a cell: group (0: none of them), mean U, mean V, share of the cell that the group covers."""
OUTLINE = (16, 12)
"""Rows and columns of a garment's outline."""

_COMPONENTS = 10  # principal components of the outlines
_FEATURES = 8  # of a cell
_RIDGE = 1.0
_LEAST_SHARE = 0.1  # of a cell: with less its place is unknown
_LEAST_CELLS = 200  # that a group needs to be fitted
_LINALG: Any = torch.linalg  # has no types
_AROUND = 2
"""Cells on each side, whose places smooth a cell's."""
_SPREAD = 1.0
"""Of their weights, in cells: a Gaussian's."""
_ALIKE_IN_TIME = 0.1
"""Of the picture's sides: a place further from the frame's own hardly counts for it."""
_STIFF = 0.5
"""How strongly slopes are held at the first ones, against one cell's weight."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """A point of the garment's picture for each token of each frame.

    Attributes:
        points: x, y in [0, 1] of the picture.
        known: 1, or 0 where nothing is known; then ``points`` means nothing.
        slopes: how far the point moves in one token of the frame to the right, and one down.
        grid: rows and columns of the garment's tokens.
    """

    points: Float[Tensor, "b n 2"]
    known: Float[Tensor, "b n"]
    slopes: Float[Tensor, "b n 2 2"]
    grid: tuple[int, int]


class PlaceEstimator(nn.Module):
    """Cells of a frame and the garment's outline -> points of its picture.

    It has buffers, not parameters: ``fit`` solves for them before training. Until then no place is
    known.
    """

    mean: Tensor
    components: Tensor
    weights: Tensor
    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        size = OUTLINE[0] * OUTLINE[1]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(size, _COMPONENTS))
        terms = _FEATURES, 1 + _COMPONENTS
        self.register_buffer("weights", torch.zeros(NUM_GROUPS, *terms, 2))
        self.register_buffer("fitted", torch.zeros(NUM_GROUPS))

    @torch.no_grad()
    def forward(
        self, body: Float[Tensor, "b 4 t h w"], outline: Float[Tensor, "g 16 12"]
    ) -> Float[Tensor, "b t h w 3"]:
        """Estimate.

        Args:
            body: BODY_CHANNELS of each cell.
            outline: the share of garment in each field of its picture, in [0, 1]; each of g
                garments serves b / g consecutive rows.

        Returns:
            x, y, which may lie a little outside [0, 1], and 1 where they are known.
        """
        cells = rearrange(body.float(), "b k t h w -> b t h w k")
        shape = self._shape_terms(outline.flatten(1).float())
        rows = torch.einsum("gfsj,bs->bgfj", self.weights.float(), shape)
        rows = F.pad(rows, (0, 0, 0, 0, 1, 0))  # group 0
        rows = rows.repeat_interleave(cells.shape[0] // rows.shape[0], dim=0)
        group = cells[..., 0].long()
        index = torch.arange(len(cells), device=cells.device)[:, None, None, None]
        points = torch.einsum("bthwf,bthwfj->bthwj", _features(cells), rows[index, group])
        fitted = F.pad(self.fitted, (1, 0))[group]
        known = fitted * (cells[..., 3] >= _LEAST_SHARE)
        return torch.cat([points, known[..., None]], dim=-1)

    @torch.no_grad()
    def fit(
        self,
        cells: Float[Tensor, "n 4"],
        garment: Int[Tensor, " n"],
        outlines: Float[Tensor, "m 16 12"],
        points: Float[Tensor, "n 2"],
    ) -> float:
        """Solve for the buffers; the same input gives the same result.

        Args:
            cells: BODY_CHANNELS of cells whose place is known.
            garment: the outline of each.
            outlines: of the garments.
            points: the known places, x, y in [0, 1].

        Returns:
            The median distance of estimated from known places over the cells used, as a share of
            the picture's sides.
        """
        cells, points = cells.double(), points.double()
        flat = outlines.flatten(1).double()
        mean = flat.mean(dim=0)
        kept = _directions(flat - mean)[:_COMPONENTS].T
        spread = ((flat - mean) @ kept).std(dim=0, correction=0)
        kept = torch.where(spread > 1e-6, kept / spread.clamp(min=1e-6), 0.0)
        self.mean.copy_(mean)
        self.components.zero_()
        self.components[:, : kept.shape[1]] = kept
        shape = self._shape_terms(flat.float()).double()
        terms = torch.einsum("nf,ns->nfs", _features(cells), shape[garment]).flatten(1)
        errors: list[Tensor] = []
        for group in range(NUM_GROUPS):
            chosen = cells[:, 0] == group + 1
            self.fitted[group] = float(int(chosen.sum()) >= _LEAST_CELLS)
            if not self.fitted[group]:
                self.weights[group] = 0
                continue
            a, y = terms[chosen], points[chosen]
            damped = a.T @ a + _RIDGE * torch.eye(a.shape[1], dtype=a.dtype)
            solved = cast(Tensor, _LINALG.solve(damped, a.T @ y))
            self.weights[group] = solved.view(_FEATURES, 1 + _COMPONENTS, 2).float()
            errors.append((a @ solved - y).square().sum(dim=1).sqrt())
        return float(torch.cat(errors).median()) if errors else float("nan")

    def _shape_terms(self, outline: Float[Tensor, "g k"]) -> Float[Tensor, "g s"]:
        """1 and the outline's principal components."""
        scores = (outline - self.mean) @ self.components
        return F.pad(scores, (1, 0), value=1.0)


def slopes_of(
    places: Float[Tensor, "b t h w 3"], group: Float[Tensor, "b t h w"]
) -> Float[Tensor, "b t h w 2 2"]:
    """How far places move from one cell to the next, to the right and down, within a group.

    Differences to both neighbours are averaged. A cell without a neighbour gets the frame's mean,
    a frame without any as much as if the picture were as large as the frame.
    """
    slopes: list[Tensor] = []
    for axis, size in ((3, places.shape[3]), (2, places.shape[2])):
        length = size - 1
        first, second = places.narrow(axis, 0, length), places.narrow(axis, 1, length)
        near, far = group.narrow(axis, 0, length), group.narrow(axis, 1, length)
        weight = (first[..., 2:] * second[..., 2:]) * (near == far)[..., None]
        both = torch.cat([(second[..., :2] - first[..., :2]) * weight, weight], dim=-1)
        edge = torch.zeros_like(both.narrow(axis, 0, 1))
        total = torch.cat([both, edge], dim=axis) + torch.cat([edge, both], dim=axis)
        whole = both.sum(dim=(2, 3), keepdim=True)
        plain = torch.zeros(2, device=places.device)
        plain[3 - axis] = 1 / size
        mean = torch.where(whole[..., 2:] > 0, whole[..., :2] / whole[..., 2:].clamp(min=1), plain)
        slopes.append(
            torch.where(total[..., 2:] > 0, total[..., :2] / total[..., 2:].clamp(min=1), mean)
        )
    return torch.stack(slopes, dim=-2)


def smooth_places(
    places: Float[Tensor, "b t h w 3"],
    slopes: Float[Tensor, "b t h w 2 2"],
    group: Float[Tensor, "b t h w"],
    share: Float[Tensor, "b t h w"],
) -> tuple[Float[Tensor, "b t h w 3"], Float[Tensor, "b t h w 2 2"]]:
    """Places and slopes by an affine map fitted around each cell, within its group.

    DensePose is noisy from cell to cell, and a pattern shows it: stripes break at cells.

    Args:
        places: x, y, known.
        slopes: from ``slopes_of``; those of a cell alone stay.
        group: of each cell.
        share: of the cell that the group covers; cells count by it.
    """
    counts = places[..., 2] * share
    ahead = torch.zeros(*counts.shape, 3, 3, device=places.device)
    moved = torch.zeros(*counts.shape, 3, 2, device=places.device)
    for down in range(-_AROUND, _AROUND + 1):
        for right in range(-_AROUND, _AROUND + 1):
            near = math.exp(-(down**2 + right**2) / (2 * _SPREAD**2))
            same = shift_cells(group, down, right) == group
            weight = (near * shift_cells(counts, down, right) * same)[..., None, None]
            step = torch.tensor([1.0, right, down], device=places.device)
            seen = shift_cells(places[..., :2], down, right)
            seen = seen - right * slopes[..., 0, :] - down * slopes[..., 1, :]
            ahead += weight * step[:, None] * step
            moved += weight * step[:, None] * seen[..., None, :]
    held = torch.tensor([1e-4, _STIFF, _STIFF], device=places.device).diag()
    solved = cast(Tensor, _LINALG.solve(ahead + held, moved))
    known = places[..., 2:] > 0
    points = torch.where(known, solved[..., 0, :], places[..., :2])
    slopes = torch.where(known[..., None], slopes + solved[..., 1:, :], slopes)
    return torch.cat([points, places[..., 2:]], dim=-1), slopes


def steady_places(
    places: Float[Tensor, "b t h w 3"],
    slopes: Float[Tensor, "b t h w 2 2"],
    group: Float[Tensor, "b t h w"],
    spread: float,
) -> tuple[Float[Tensor, "b t h w 3"], Float[Tensor, "b t h w 2 2"]]:
    """Places and slopes averaged over time, cell by cell, or patterns tremble with DensePose.

    The average is symmetric, so steady motion stays as it is. Frames in which a cell shows another
    part, or a place far from its own, as after a cut, do not count.

    Args:
        places: x, y, known; of consecutive frames.
        slopes: from ``slopes_of``.
        group: of each cell.
        spread: of a Gaussian's weights, in frames.
    """
    both = torch.cat([places[..., :2], slopes.flatten(-2)], dim=-1)
    known = places[..., 2:] > 0
    total, weights = torch.zeros_like(both), torch.zeros_like(places[..., 2:])
    reach = min(math.ceil(2 * spread), places.shape[1] - 1)
    for step in range(-reach, reach + 1):
        rows = torch.arange(places.shape[1], device=places.device) + step
        there = rows.clamp(0, places.shape[1] - 1)
        inside = (rows == there)[:, None, None, None]
        near = math.exp(-(step**2) / (2 * spread**2)) if step else 1.0
        far = (both[:, there, ..., :2] - both[..., :2]).square().sum(dim=-1, keepdim=True)
        same = (group[:, there] == group)[..., None] & known[:, there] & inside
        weight = near * same * (-far / _ALIKE_IN_TIME**2).exp()
        total += weight * both[:, there]
        weights += weight
    mean = torch.where(known, total / weights.clamp(min=1e-6), both)
    steep = rearrange(mean[..., 2:], "b t h w (s c) -> b t h w s c", s=2)
    return torch.cat([mean[..., :2], places[..., 2:]], dim=-1), steep


def shift_cells(values: Float[Tensor, "b t h w *c"], down: int, right: int) -> Tensor:
    """What lies ``down`` rows below and ``right`` columns to the right of each cell; else 0."""
    rows, columns = values.shape[2:4]
    shifted = torch.zeros_like(values)
    if abs(down) >= rows or abs(right) >= columns:
        return shifted
    here = slice(max(-down, 0), rows - max(down, 0)), slice(max(-right, 0), columns - max(right, 0))
    there = (
        slice(max(down, 0), rows - max(-down, 0)),
        slice(max(right, 0), columns - max(-right, 0)),
    )
    shifted[:, :, here[0], here[1]] = values[:, :, there[0], there[1]]
    return shifted


def pool_places(
    places: Float[Tensor, "b t h w 3"],
    slopes: Float[Tensor, "b t h w 2 2"],
    patch: tuple[int, int],
    grid: tuple[int, int],
) -> Places:
    """Places of cells -> places of tokens: the mean of the known ones in each patch.

    Args:
        places: x, y, known.
        slopes: from ``slopes_of``.
        patch: rows and columns of a token in cells.
        grid: of the garment's tokens.
    """
    patches = rearrange(places, "b t (y p) (x q) c -> b (t y x) (p q) c", p=patch[0], q=patch[1])
    weight = patches[..., 2:]
    total = weight.sum(dim=2)
    points = (patches[..., :2] * weight).sum(dim=2) / total.clamp(min=1e-6)
    steps = rearrange(slopes, "b t (y p) (x q) s c -> b (t y x) (p q) s c", p=patch[0], q=patch[1])
    size = torch.tensor([patch[1], patch[0]], device=slopes.device)
    return Places(
        points=points,
        known=(total[..., 0] > 0).to(points.dtype),
        slopes=steps.mean(dim=2) * size[:, None],
        grid=grid,
    )


def _directions(centred: Float[Tensor, "m k"]) -> Float[Tensor, "c k"]:
    """Principal directions, the widest first."""
    return cast(Tensor, _LINALG.svd(centred, full_matrices=False)[2])


def _features(cells: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n f"]:
    u, v, share = cells[..., 1], cells[..., 2] - 0.5, cells[..., 3]
    one = torch.ones_like(u)
    return torch.stack([one, u, v, u * u, u * v, v * v, share, v**3], dim=-1)
