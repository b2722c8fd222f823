"""Small videos made on the spot, so that these tests need no media."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from curation.perception.protocols import Person
from tests import perception_fixtures

WriteVideo = Callable[..., Path]


def texture(seed: int, height: int = 180, width: int = 320) -> np.ndarray:
    """A picture with structure at all scales, (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (3, 9, 27):
        coarse = rng.uniform(0, 255, (cells, cells, 3))
        rows = np.linspace(0, cells - 1, height).round().astype(int)
        columns = np.linspace(0, cells - 1, width).round().astype(int)
        image += coarse[rows][:, columns] / 3
    return image.astype(np.uint8)


def moving(seed: int, count: int, height: int = 180, width: int = 320) -> list[np.ndarray]:
    """A texture that slides by two pixels a frame."""
    image = texture(seed, height, width)
    return [np.roll(image, 2 * index, axis=1) for index in range(count)]


@pytest.fixture(name="moving")
def moving_fixture() -> Callable[..., list[np.ndarray]]:
    return moving


@pytest.fixture(name="texture")
def texture_fixture() -> Callable[..., np.ndarray]:
    return texture


@pytest.fixture
def write_video() -> WriteVideo:
    """Write RGB frames as H.264; ``times_s`` gives each frame its own time of presentation."""

    def write(
        path: Path,
        frames: Sequence[np.ndarray],
        fps: float = 25,
        *,
        times_s: Sequence[float] | None = None,
        rotation: int = 0,
        sample_aspect: Fraction | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        base = Fraction(1, 90_000)
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(
                "libx264", rate=Fraction(fps).limit_denominator(1001), options=options or {}
            )
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = base
            if rotation:
                stream.set_display_rotation(rotation)
            if sample_aspect is not None:
                stream.codec_context.sample_aspect_ratio = sample_aspect
            for index, image in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                time_s = index / fps if times_s is None else times_s[index]
                frame.pts, frame.time_base = round(time_s * 90_000), base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def standing_landmarks() -> np.ndarray:
    return perception_fixtures.standing_landmarks()


@pytest.fixture
def standing_person() -> Person:
    return perception_fixtures.standing_person()


@pytest.fixture(scope="session")
def embedded_models() -> Path:
    return perception_fixtures.embedded_models()
