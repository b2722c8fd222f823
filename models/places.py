"""Where in the garment's picture the cloth at each place of a frame lies.

Not part of VITON-DiT. DensePose tells a network the part of the body and the place on it; the
garment's picture has its own layout. ``PlaceEstimator`` connects the two: a ridge regression from
(part, U, V) and the garment's outline to a point of its picture. ``attention.PlaceAttention`` reads
the garment there. Without it a network has to learn the connection from pictures alone, and
patterns never arrive on the body (docs/notes/places.md).
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

NUM_GROUPS = 9
"""Torso, upper arms, lower arms, upper legs, lower legs; left and right each."""
BODY_CHANNELS = 4
"""Of a cell: group (0: none of them), mean U, mean V, share of the cell that the group covers."""
OUTLINE = (16, 12)
"""Rows and columns of a garment's outline."""

_COMPONENTS = 10  # principal components of the outlines
_FEATURES = 8  # of a cell
_RIDGE = 1.0
_LEAST_SHARE = 0.1  # of a cell: with less its place is unknown
_LEAST_CELLS = 200  # that a group needs to be fitted


@dataclass(frozen=True, kw_only=True)
class Places:
    """A point of the garment's picture for each token of each frame.

    Attributes:
        points: x, y in [0, 1] of the picture.
        known: 1, or 0 where nothing is known; then ``points`` means nothing.
        grid: rows and columns of the garment's tokens.
    """

    points: Float[Tensor, "b n 2"]
    known: Float[Tensor, "b n"]
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
            x, y in [0, 1], and 1 where they are known.
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
        return torch.cat([points.clamp(0, 1), known[..., None]], dim=-1)

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
            solved: Tensor = torch.linalg.solve(damped, a.T @ y)  # pyright: ignore[reportUnknownMemberType]
            self.weights[group] = solved.view(_FEATURES, 1 + _COMPONENTS, 2).float()
            errors.append((a @ solved - y).norm(dim=1))
        return float(torch.cat(errors).median()) if errors else float("nan")

    def _shape_terms(self, outline: Float[Tensor, "g k"]) -> Float[Tensor, "g s"]:
        """1 and the outline's principal components."""
        scores = (outline - self.mean) @ self.components
        return F.pad(scores, (1, 0), value=1.0)


def prefer_known(
    matched: Float[Tensor, "b t h w 3"] | None, found: Float[Tensor, "b t h w 3"] | None
) -> Float[Tensor, "b t h w 3"] | None:
    """``matched`` where it is known, ``found`` elsewhere; either may be missing."""
    if matched is None or found is None:
        return found if matched is None else matched
    return torch.where(matched[..., 2:] > 0, matched, found)


def pool_places(
    places: Float[Tensor, "b t h w 3"], patch: tuple[int, int], grid: tuple[int, int]
) -> Places:
    """Places of cells -> places of tokens: the mean of the known ones in each patch.

    Args:
        places: x, y, known.
        patch: rows and columns of a token in cells.
        grid: of the garment's tokens.
    """
    patches = rearrange(places, "b t (y p) (x q) c -> b (t y x) (p q) c", p=patch[0], q=patch[1])
    weight = patches[..., 2:]
    total = weight.sum(dim=2)
    points = (patches[..., :2] * weight).sum(dim=2) / total.clamp(min=1e-6)
    return Places(points=points, known=(total[..., 0] > 0).to(points.dtype), grid=grid)


def _directions(centred: Float[Tensor, "m k"]) -> Float[Tensor, "c k"]:
    """Principal directions, the widest first."""
    found: Tensor = torch.linalg.svd(centred, full_matrices=False)[2]  # pyright: ignore[reportUnknownMemberType]
    return found


def _features(cells: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n f"]:
    u, v, share = cells[..., 1], cells[..., 2] - 0.5, cells[..., 3]
    one = torch.ones_like(u)
    return torch.stack([one, u, v, u * u, u * v, v * v, share, v**3], dim=-1)
