"""Stored DensePose grids -> pictures of a batch, in torch, on the batch's device.

Separate from ``datasets/densepose.py`` so that curation commands need not import torch.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int16, UInt8
from torch import Tensor

from datasets.densepose import NUM_PARTS, VIRIDIS
from datasets.sample import bytes_to_signed


def render_grids(
    parts: UInt8[Tensor, "n g g"],
    rows: Int16[Tensor, "n h"],
    columns: Int16[Tensor, "n w"],
) -> Float[Tensor, "n 3 h w"]:
    """``paste_iuv`` and ``render_densepose`` on the tensors' device, with equal results.

    Args:
        parts: grids with an extra row and column of background at the end.
        rows: from ``grid_places``.
        columns: from ``grid_places``.

    Returns:
        Pictures in [-1, 1].
    """
    side, height = parts.shape[-1], rows.shape[1]
    tall = parts.gather(1, rows.long()[:, :, None].expand(-1, -1, side))
    labels = tall.gather(2, columns.long()[:, None, :].expand(-1, height, -1))
    colours = bytes_to_signed(torch.from_numpy(VIRIDIS).to(parts.device))
    return rearrange(colours[labels.clamp(max=NUM_PARTS).long()], "n h w c -> n c h w").contiguous()
