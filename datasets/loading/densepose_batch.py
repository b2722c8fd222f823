"""Stored DensePose grids -> pictures of a batch, in torch, on the batch's device.

Separate from ``datasets/densepose.py`` so that curation commands need not import torch.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Int16, UInt8
from torch import Tensor

from datasets.densepose import NUM_PARTS, PART_STEP, VIRIDIS
from datasets.sample import bytes_to_signed


def render_grids(
    iuv: UInt8[Tensor, "n g g 3"],
    rows: Int16[Tensor, "n h"],
    columns: Int16[Tensor, "n w"],
) -> UInt8[Tensor, "n h w 3"]:
    """``paste_iuv`` on the tensors' device, with equal results.

    Args:
        iuv: grids with an extra row and column of background at the end.
        rows: from ``grid_rows_columns``.
        columns: likewise.
    """
    number = torch.arange(len(iuv), device=iuv.device)[:, None, None]
    return iuv[number, rows.long()[:, :, None], columns.long()[:, None, :]]


def draw_iuv(iuv: UInt8[Tensor, "n h w 3"], drawing: str) -> Float[Tensor, "n 3 h w"]:
    """``render_densepose`` on the tensor's device, in [-1, 1]."""
    if drawing == "iuv":
        scale = torch.tensor([PART_STEP, 1, 1], dtype=torch.uint8, device=iuv.device)
        return rearrange(bytes_to_signed(iuv * scale), "n h w c -> n c h w").contiguous()
    colours = bytes_to_signed(torch.from_numpy(VIRIDIS).to(iuv.device))
    labels = iuv[..., 0].clamp(max=NUM_PARTS).long()
    return rearrange(colours[labels], "n h w c -> n c h w").contiguous()
