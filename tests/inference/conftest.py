from collections.abc import Callable

import pytest
from tryon_fixtures import build_tiny, colour_perception, write_garment

from inference.pipeline import TryOnPipeline
from inference.sampling.painter import Painter
from inference.sampling.solvers import SamplerConfig
from models.system import System


@pytest.fixture
def build_system_with() -> Callable[..., System]:
    """Builds a tiny system with other settings."""
    return build_tiny


@pytest.fixture(scope="session")
def tiny_system() -> System:
    return build_tiny()


@pytest.fixture
def small_perception(monkeypatch):
    """Perception at 96 rows, in the place of 512: the same way, in a twentieth of the time."""
    monkeypatch.setattr("inference.conditions.stored._WORK_HEIGHT", 96)


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
