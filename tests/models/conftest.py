"""Tiny networks of the real classes, with weights that are not zero where a test needs that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.conditions import Conditions
from models.stdit import STDiT, STDiTConfig
from models.viton_dit import VitonDiT, VitonDiTConfig

GOLDEN = Path(__file__).parent.parent / "golden"

TINY = STDiTConfig(dim=32, depth=4, num_heads=2, caption_dim=12, caption_length=6)


@pytest.fixture(scope="session")
def stdit_golden() -> dict[str, Any]:
    return json.loads((GOLDEN / "stdit_v1_golden.json").read_text())["cases"][0]


@pytest.fixture(scope="session")
def iddpm_golden() -> dict[str, Any]:
    return json.loads((GOLDEN / "iddpm_golden.json").read_text())["results"]


@pytest.fixture(scope="session")
def trunk_keys() -> dict[str, tuple[int, ...]]:
    """Keys of Open-Sora's XL/2 checkpoints with their shapes, the position tables left out."""
    lines = (GOLDEN / "stdit_v1_keys.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    shapes = {name: tuple(json.loads(f"[{shape.strip('(),')}]")) for name, shape, _ in rows}
    return {name: shape for name, shape in shapes.items() if not name.startswith("pos_embed")}


@pytest.fixture
def tiny_trunk() -> STDiTConfig:
    return TINY


@pytest.fixture
def shake() -> Callable[[nn.Module], None]:
    """Adds noise to every parameter, so that no branch is silent."""

    def add_noise(network: nn.Module) -> None:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)

    return add_noise


@pytest.fixture
def published(shake: Callable[[nn.Module], None]) -> dict[str, torch.Tensor]:
    """A state dict as Open-Sora publishes them: flat, position tables included."""
    trunk = STDiT(TINY)
    shake(trunk)
    tables = {"pos_embed": torch.zeros(1, 16, 32), "pos_embed_temporal": torch.zeros(1, 4, 32)}
    return {**{name: value.clone() for name, value in trunk.state_dict().items()}, **tables}


@pytest.fixture
def image_model(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same as PixArt-alpha would publish it: no time."""
    state = {name: value for name, value in published.items() if "temp" not in name}
    state["x_embedder.proj.weight"] = state["x_embedder.proj.weight"].squeeze(2)
    return state


@pytest.fixture
def tiny(shake: Callable[[nn.Module], None]) -> VitonDiT:
    """A network all of whose branches speak."""
    torch.manual_seed(0)
    network = VitonDiT(VitonDiTConfig(trunk=TINY))
    shake(network)
    return network


@pytest.fixture
def raw_caption() -> tuple[torch.Tensor, torch.Tensor]:
    """Two captions as their encoder gives them, and which of their tokens exist."""
    caption = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(3))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]], dtype=torch.bool)
    return caption, mask


@pytest.fixture
def make_conditions(raw_caption: tuple[torch.Tensor, torch.Tensor]) -> Callable[..., Conditions]:
    """Conditions for ``network`` on a 2-clip, 3-frame, 8 x 6 latent grid."""

    def build(network: VitonDiT, **changes: Any) -> Conditions:
        trunk = network.config.trunk
        generator = torch.Generator().manual_seed(1)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        caption = network.encode_caption(*raw_caption)
        garment = network.encode_garment(noise(2, trunk.in_channels, 6, 4), caption)
        control = noise(2, 2 * trunk.in_channels + 1, 3, 8, 6)
        fields: dict[str, Any] = {
            "caption": caption,
            "garment": garment,
            "control": control,
        }
        return Conditions(**{**fields, **changes})

    return build


@pytest.fixture
def noisy() -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy latents that fit ``make_conditions``, and timesteps."""
    latents = torch.randn(2, 4, 3, 8, 6, generator=torch.Generator().manual_seed(2))
    return latents, torch.tensor([999, 37])
