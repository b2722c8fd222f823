"""New networks that begin as copies of a trunk: ``VitonDiT.initialise_from_trunk``."""

import torch
from torch import nn

from models.blocks import STBlock
from models.control import ControlNet
from models.garment import GarmentExtractor
from models.stdit import STDiT


@torch.no_grad()
def start_garment(trunk: STDiT, garment: GarmentExtractor) -> None:
    """Copy the trunk into the extractor, and its spatial into its garment attention."""
    garment.x_embedder.load_state_dict(trunk.x_embedder.state_dict())
    for source, block in zip(trunk.blocks[:-1], garment.blocks, strict=True):
        _copy_matching(source, block)
    for block in trunk.blocks:
        assert isinstance(block, STBlock)
        _start_fusion(block)


@torch.no_grad()
def start_control(trunk: STDiT, control: ControlNet) -> None:
    """Copy the trunk's first blocks into the ControlNet, and close its projections."""
    for source, block in zip(trunk.blocks[: len(control.blocks)], control.blocks, strict=True):
        _copy_matching(source, block)
    for layer in (control.input_projection, *control.output_projections):
        for parameter in layer.parameters():
            parameter.zero_()


def _start_fusion(block: STBlock) -> None:
    """Start a block's garment attention as a copy of its spatial attention, with zero output."""
    assert block.fusion is not None
    qkv, dim = block.attn.qkv, block.attn.dim
    block.fusion.q_linear.load_state_dict({"weight": qkv.weight[:dim], "bias": qkv.bias[:dim]})
    block.fusion.kv_linear.load_state_dict({"weight": qkv.weight[dim:], "bias": qkv.bias[dim:]})
    nn.init.zeros_(block.fusion.proj.weight)
    nn.init.zeros_(block.fusion.proj.bias)


def _copy_matching(source: nn.Module, target: nn.Module) -> None:
    """Copy each parameter of ``target`` from the one of the same name."""
    target.load_state_dict({name: source.state_dict()[name] for name in target.state_dict()})
