"""Tracks come back as they were written."""

import numpy as np
import pytest

from datasets.tracks import (
    count_frames,
    encode_clip,
    encode_labels,
    encode_rgb_lossless,
    encode_video,
    read_frames,
    read_labels,
)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (19, 64, 96, 3)).astype(np.uint8)


def test_labels_come_back_to_the_bit_over_the_whole_range(noise: np.ndarray) -> None:
    labels = noise[..., 0]
    assert {0, 255} <= set(np.unique(labels))
    np.testing.assert_array_equal(read_labels(encode_labels(labels, 30)), labels)


def test_iuv_comes_back_to_the_bit_from_any_frames_in_any_order(noise: np.ndarray) -> None:
    track = encode_rgb_lossless(noise, 29.97)
    np.testing.assert_array_equal(read_frames(track, [17, 3, 9]), noise[[17, 3, 9]])


def test_video_is_close_and_keeps_its_colours() -> None:
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    frame = np.stack([np.tile(ramp, (64, 1))] * 3, axis=-1)
    frames = np.stack([frame] * 10)
    read = read_frames(encode_video(frames, 12)).astype(int)
    assert np.abs(read - frames).max() <= 6
    assert count_frames(encode_video(frames, 12)) == 10


def test_the_same_frames_give_the_same_bytes(noise: np.ndarray) -> None:
    assert encode_video(noise, 12) == encode_video(noise, 12)
    assert encode_labels(noise[..., 0], 12) == encode_labels(noise[..., 0], 12)


@pytest.mark.parametrize("size", [(64, 48), (64, 72), (63, 96), (64, 97)])
def test_sizes_that_cannot_be_read_back_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]}.*cannot be stored"):
        encode_video(np.zeros((2, *size, 3), np.uint8), 12)


def test_a_track_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        encode_labels([], 12)


def test_a_clips_frames_are_read_back_neither_darker_nor_brighter():
    frames = [np.full((96, 128, 3), colour, np.uint8) for colour in ((40, 90, 200), (200, 40, 60))]
    read = read_frames(encode_clip(frames, 25.0))
    change = read.astype(float) - np.stack(frames)
    assert np.abs(change.mean(axis=(1, 2))).max() <= 1.0
    assert abs(change.mean()) < 0.6
