"""A long video painted with places: conditions packed, stored frame by frame, taken apart again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasets.densepose import paste_iuv
from datasets.places import body_cells
from inference.sampling.long_video import LongVideoConfig
from inference.sampling.painter import Painter
from inference.sampling.solvers import SamplerConfig
from models.codecs.vae import CodecConfig
from models.places import OUTLINE, PlaceEstimator
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.viton_dit import VitonDiTConfig

FRAMES, HEIGHT, WIDTH = 10, 32, 32


def places_system(fusion: str = "places") -> System:
    trunk = STDiTConfig(
        in_channels=4, out_channels=8, dim=32, depth=2, num_heads=2, caption_dim=8,
        caption_length=2,
    )  # fmt: skip
    config = SystemConfig(
        network=VitonDiTConfig(trunk=trunk, fusion=fusion),
        codec=CodecConfig(kind="dct", latent_channels=4),
        height=HEIGHT, width=WIDTH, num_frames=4, densepose="iuv", garment_scale=2,
    )  # fmt: skip
    torch.manual_seed(0)
    system = build_system(config)
    for parameter in system.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    estimator = system.network.garment.places
    if estimator is not None:
        generator = torch.Generator().manual_seed(0)
        cells = torch.rand(600, 4, generator=generator)
        cells[:, 0] = 1
        outlines = torch.rand(3, *OUTLINE, generator=generator)
        estimator.fit(cells, torch.arange(600) % 3, outlines, cells[:, [2, 1]])
    system.network.eval()
    return system


def video() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, masks, IUV of a torso, and a garment of another size."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    mask[:, 6:28, 6:28] = 255
    down, across = np.mgrid[:112, :112] * 255 // 111
    grid = np.stack([np.full_like(down, 1), down, across], axis=-1).astype(np.uint8)
    boxes = np.array([[4, 4, 28, 28]] * FRAMES, np.float64)
    iuv = paste_iuv(np.repeat(grid[None], FRAMES, axis=0), boxes, HEIGHT, WIDTH)
    garment = np.full((80, 64, 3), 255, np.uint8)
    garment[10:70, 10:54] = random.integers(0, 256, (60, 44, 3))
    return frames, mask, iuv, garment


def painter_of(system: System) -> Painter:
    return Painter(system, "cpu", SamplerConfig(num_steps=2), LongVideoConfig(window=4))


def test_packed_conditions_come_apart_as_they_were() -> None:
    system = places_system()
    control, body = torch.randn(2, 9, 3, 4, 4), torch.randn(2, 4, 3, 4, 4)
    packed = system.pack_control(control, body)
    assert packed.shape[1] == system.config.control_channels == 13
    assert torch.equal(packed[:, -1:], control[:, -1:])
    again, there = system.unpack_control(packed)
    assert there is not None
    assert torch.equal(again, control)
    assert torch.equal(there, body)
    plain = places_system("attention")
    assert plain.config.control_channels == 9
    kept, none = plain.unpack_control(control)
    assert kept is control
    assert none is None


def test_frames_are_encoded_with_the_body_that_training_shows() -> None:
    system = places_system()
    frames, mask, iuv, _ = video()
    _, body = system.unpack_control(painter_of(system).encode_frames(frames, mask, iuv)[None])
    assert body is not None
    expected = body_cells(torch.from_numpy(iuv)).permute(1, 0, 2, 3)
    assert torch.allclose(body[0], expected)
    assert (expected[3] > 0.5).any()


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_video_of_several_windows_is_painted_at_its_places(batch_size: int) -> None:
    system = places_system()
    painter = painter_of(system)
    painter.long_video = replace(painter.long_video, batch_size=batch_size)
    frames, mask, iuv, garment = video()
    painted = painter.paint(frames, mask, iuv, garment)
    assert painted.shape == frames.shape
    assert np.array_equal(painted, painter.paint(frames, mask, iuv, garment))
    estimator = system.network.garment.places
    assert isinstance(estimator, PlaceEstimator)
    estimator.fitted.zero_()
    assert not np.array_equal(painted, painter.paint(frames, mask, iuv, garment))
