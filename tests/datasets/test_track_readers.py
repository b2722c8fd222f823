"""Label maps, masks and IUV come back to the bit through every reader that people use."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch  # noqa: F401  (decord must be imported after torch)

from datasets.labels import ParseLabel
from datasets.tracks import GOP_FRAMES, encode_labels, encode_rgb_lossless

Reader = Callable[[bytes, Sequence[int], Path], np.ndarray]
"""Track, frame numbers, scratch folder -> (n, height, width, 3) uint8 RGB."""

NUM_FRAMES, HEIGHT, WIDTH = 3 * GOP_FRAMES + 5, 50, 86  # neither side is divisible by 4
ORDERS = {
    "in order": list(range(NUM_FRAMES)),
    "a window": list(range(GOP_FRAMES + 3, 2 * GOP_FRAMES + 4)),
    "anywhere": [NUM_FRAMES - 1, 0, GOP_FRAMES, GOP_FRAMES - 1, 20, 3],
}


def by_pyav(track: bytes, wanted: Sequence[int], folder: Path) -> np.ndarray:
    with av.open(io.BytesIO(track)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frames[index] for index in wanted])


def by_opencv(track: bytes, wanted: Sequence[int], folder: Path) -> np.ndarray:
    path = folder / "track.mp4"
    path.write_bytes(track)
    video = cv2.VideoCapture(str(path))
    frames = []
    for index in wanted:
        video.set(cv2.CAP_PROP_POS_FRAMES, index)
        is_read, frame = video.read()
        assert is_read, index
        frames.append(frame[..., ::-1])
    video.release()
    return np.stack(frames)


def by_decord(track: bytes, wanted: Sequence[int], folder: Path) -> np.ndarray:
    decord = pytest.importorskip("decord")
    return decord.VideoReader(io.BytesIO(track), num_threads=1).get_batch(list(wanted)).asnumpy()


def by_torchcodec(track: bytes, wanted: Sequence[int], folder: Path) -> np.ndarray:
    decoders = pytest.importorskip("torchcodec.decoders", reason="torchcodec is absent")
    try:
        decoder = decoders.VideoDecoder(track, dimension_order="NHWC", num_ffmpeg_threads=1)
    except RuntimeError as error:
        if "Could not load libtorchcodec" not in str(error):
            raise
        pytest.skip("torchcodec finds no FFmpeg on this system")
    return decoder.get_frames_at(list(wanted)).data.numpy()


READERS: dict[str, Reader] = {
    "pyav": by_pyav, "opencv": by_opencv, "decord": by_decord, "torchcodec": by_torchcodec,
}  # fmt: skip


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Every value of a byte, at random: nothing that a codec could guess."""
    return np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reader", READERS)
def test_label_maps_and_masks_are_bit_exact(
    reader: str, order: str, values: np.ndarray, tmp_path: Path
) -> None:
    labels, masks = values[..., 0] % len(ParseLabel), (values[..., 1] > 127) * np.uint8(255)
    for gray in (labels, masks, values[..., 2]):
        found = READERS[reader](encode_labels(gray, 25.0), ORDERS[order], tmp_path)
        for channel in range(3):
            np.testing.assert_array_equal(found[..., channel], gray[ORDERS[order]])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reader", READERS)
def test_iuv_is_bit_exact(reader: str, order: str, values: np.ndarray, tmp_path: Path) -> None:
    found = READERS[reader](encode_rgb_lossless(values, 25.0), ORDERS[order], tmp_path)
    np.testing.assert_array_equal(found, values[ORDERS[order]])
