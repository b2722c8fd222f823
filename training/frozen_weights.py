"""Stores frozen weights of the blocks in bfloat16, and saves them in float32.

Under bf16-mixed every linear layer rounds its float32 weight to bfloat16 at each use. A frozen
weight is rounded to the same numbers every time: rounding it once halves its memory and changes no
bit of the result. Only the blocks' linear layers are affected; timestep embedding, modulation
tables and the like compute in float32 and stay in it.

Nothing is lost: the float32 originals stay in host memory (4 bytes per frozen parameter), and state
dicts hold them, so checkpoints and later stages that train these weights get the exact originals.
"""

from typing import Any

import torch
from torch import Tensor, nn

from models.blocks import STBlock


def is_roundable(name: str) -> bool:
    """Whether a parameter of a VitonDiT belongs to a block's linear layer."""
    return ".blocks." in name and not name.endswith("scale_shift_table")


def round_frozen(network: nn.Module) -> dict[str, Tensor]:
    """Store the blocks' frozen linear weights in bfloat16; for runs under bf16-mixed.

    Args:
        network: already frozen by ``freezing.freeze``.

    Returns:
        The float32 originals by name. ``state_dict`` returns them in place of the rounded ones;
        ``load_state_dict`` replaces them.
    """
    originals: dict[str, Tensor] = {}
    for prefix, block in network.named_modules():
        if not isinstance(block, STBlock):
            continue
        for name, parameter in block.named_parameters(prefix=prefix):
            if not parameter.requires_grad and is_roundable(f".{name}"):
                originals[name] = parameter.detach().to("cpu", torch.float32)
                parameter.data = parameter.detach().to(torch.bfloat16)

    def give_originals(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for name, original in originals.items():
            state[f"{prefix}{name}"] = original

    def take_originals(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
        for name, original in originals.items():
            if f"{prefix}{name}" in state:
                original.copy_(state[f"{prefix}{name}"])

    network.register_state_dict_post_hook(give_originals)
    network.register_load_state_dict_pre_hook(take_originals)
    return originals
