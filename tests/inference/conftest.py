from collections.abc import Callable

import pytest
import torch
from tryon_fixtures import colour_perception, write_garment

from inference.painter import Painter
from inference.pipeline import TryOnPipeline
from inference.solvers import SamplerConfig
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.text import CaptionConfig
from models.vae import CodecConfig
from models.viton_dit import VitonDiTConfig


def tiny_config(**settings) -> SystemConfig:
    trunk = STDiTConfig(
        in_channels=4, out_channels=8, dim=32, depth=2, num_heads=4, caption_dim=16,
        caption_length=3,
    )  # fmt: skip
    defaults = {
        "network": VitonDiTConfig(trunk=trunk),
        "codec": CodecConfig(kind="dct", latent_channels=4),
        "caption": CaptionConfig(),
        "height": 32,
        "width": 48,
        "num_frames": 5,
        "fps": 8.0,
    }
    return SystemConfig(**{**defaults, **settings})


def build_tiny(**settings) -> System:
    """Random weights everywhere, so that every path has an effect."""
    torch.manual_seed(0)
    system = build_system(tiny_config(**settings))
    with torch.no_grad():
        for name, parameter in system.network.named_parameters():
            if not name.endswith("y_embedding"):
                parameter.add_(0.15 * torch.randn(parameter.shape))
    system.network.eval()
    return system


@pytest.fixture
def build_system_with() -> Callable[..., System]:
    """Builds a tiny system with other settings."""
    return build_tiny


@pytest.fixture(scope="session")
def tiny_system() -> System:
    return build_tiny()


@pytest.fixture
def perception():
    return colour_perception()


@pytest.fixture
def garment(tmp_path):
    return write_garment(tmp_path / "garment.png")


@pytest.fixture
def pipeline(tiny_system, perception):
    sampler = SamplerConfig(solver="ddim", num_steps=2, clip=3.0)
    return TryOnPipeline(Painter(tiny_system, "cpu", sampler), perception, {"model": "x"})
