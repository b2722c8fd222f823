"""New networks that contribute at once, for a trunk that starts from nothing.

Not part of VITON-DiT. Zero projections and closed gates protect a pretrained trunk; an untrained
one only loses steps to them.
"""

from collections.abc import Sequence

import torch
from torch import nn

from models.blocks import STBlock
from models.control import ControlNet
from models.stdit import STDiT

GATE, GAIN = 0.5, 0.7


@torch.no_grad()
def open_gates(*networks: nn.ModuleList) -> None:
    """Start the gates of all blocks at about 0.5 instead of 0."""
    for block in (block for blocks in networks for block in blocks):
        assert isinstance(block, STBlock)
        block.scale_shift_table[2] += GATE
        block.scale_shift_table[5] += GATE


@torch.no_grad()
def warm_up(parts: Sequence[str], denoiser: STDiT, control: ControlNet) -> None:
    """Fill the zero projections: to the garment ("garment"), into and out of "control"."""
    if "garment" in parts:
        for block in (*denoiser.blocks, *control.blocks):
            assert isinstance(block, STBlock)
            assert block.fusion is not None
            nn.init.xavier_uniform_(block.fusion.proj.weight, gain=GAIN)
    if "control" in parts:
        nn.init.xavier_uniform_(control.input_projection.weight)
        for layer in control.output_projections:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight, gain=GAIN)
