from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.clips import (
    choose_window,
    decode_tracks,
    fit_frames,
    fit_garment,
    fit_masks,
    to_sample,
)
from datasets.loading.collate import pack
from datasets.sample import AGNOSTIC_GRAY
from datasets.shards import TRACK_MEMBERS, index_split


@pytest.fixture(scope="module")
def stored(shard_root: Path):
    return index_split(shard_root, "train")[1].read(TRACK_MEMBERS)


def test_windows_lie_within_the_clip_and_use_every_stride_that_fits() -> None:
    random = np.random.default_rng(0)
    windows = [choose_window(12, 4, [1, 2, 3, 4], random) for _ in range(300)]
    assert {window.stride for window in windows} == {1, 2, 3}
    assert min(window.indices[0] for window in windows) == 0
    assert max(window.indices[-1] for window in windows) == 11


def test_a_clip_too_short_for_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="16 frames at stride 1 do not fit"):
        choose_window(12, 16, [1, 2], np.random.default_rng(0))


def test_some_frames_equal_the_same_frames_of_the_whole_clip(stored) -> None:
    whole = decode_tracks(stored, None, 64, 48)
    some = decode_tracks(stored, [3, 8], 64, 48)
    for name in ("video", "mask", "iuv"):
        assert np.array_equal(getattr(some, name), getattr(whole, name)[[3, 8]])


def test_nothing_is_squashed_when_the_aspect_differs() -> None:
    frames = np.zeros((1, 60, 80, 3), np.uint8)
    frames[0, 20:40, 30:50] = 255  # a square
    square = fit_frames(frames, 60, 40)[0, :, :, 0] > 127
    assert square.any(axis=0).sum() == square.any(axis=1).sum() == 20


def test_a_garment_lies_whole_on_its_own_ground() -> None:
    garment = np.full((40, 80, 3), 240, np.uint8)
    garment[4:36, 8:72] = (200, 10, 30)
    fitted = fit_garment(garment, 64, 48)
    cloth = np.abs(fitted.astype(int) - (200, 10, 30)).max(axis=-1) < 8
    assert fitted.shape == (64, 48, 3)
    assert tuple(fitted[0, 0]) == tuple(fitted[-1, -1]) == (240, 240, 240)
    assert cloth.any(axis=1).sum() / cloth.any(axis=0).sum() == pytest.approx(0.5, abs=0.06)


def test_a_pixel_is_painted_if_any_part_of_it_was() -> None:
    masks = np.zeros((1, 64, 64), np.uint8)
    masks[0, 9, 17] = 255
    fitted = fit_masks(masks, 16, 16)
    assert set(np.unique(fitted)) == {0, 255}
    assert np.argwhere(fitted[0]).tolist() == [[2, 4]]


def test_a_known_frame_shows_the_truth_and_an_unknown_one_gray(stored) -> None:
    tracks = decode_tracks(stored, [0, 4], 64, 48)
    sample = to_sample("clip", 7, tracks, torch.tensor([True, False]), "first")
    batch = pack([sample]).unpack()
    video, mask, agnostic = batch.video[0], batch.mask[0], batch.agnostic[0]
    assert torch.equal(agnostic[0], video[0])
    assert not mask[0].any()
    painted = mask[1].expand(3, -1, -1) > 0.5
    assert painted.any()
    assert (agnostic[1][painted] == AGNOSTIC_GRAY).all()
    assert torch.equal(agnostic[1][~painted], video[1][~painted])


def test_the_mask_covers_the_garment_and_densepose_shows_the_torso(stored) -> None:
    tracks = decode_tracks(stored, None, 64, 48)
    torso = tracks.iuv[..., 0] > 0
    assert torso.any(axis=(1, 2)).all()
    assert (tracks.mask[torso] == 255).mean() > 0.95
