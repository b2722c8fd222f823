"""Places of a few cells, each of which looks at its own spot of a picture."""

import torch

from models.places import slopes_of

CELL, ROWS, COLUMNS = 8, 4, 3


def upright(x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Places of cells that look at their own spot of a picture of the frame's size, moved."""
    rows, columns = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    points = torch.stack([(columns + 0.5) / COLUMNS + x, (rows + 0.5) / ROWS + y], dim=-1)
    return torch.cat([points, torch.ones(ROWS, COLUMNS, 1)], dim=-1)[None, None]


def slopes(places: torch.Tensor) -> torch.Tensor:
    return slopes_of(places, torch.ones(places.shape[:-1]))
