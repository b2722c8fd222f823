"""Bytes and DensePose grids become the very pictures that numpy makes of them."""

import numpy as np
import pytest
import torch

from datasets.clips import decode_tracks, to_sample
from datasets.densepose import (
    DRAWINGS,
    DensePoseGrids,
    grid_rows_columns,
    paste_iuv,
    render_densepose,
)
from datasets.loading.collate import pack
from datasets.shards import TRACK_MEMBERS, ShardSample, index_split
from datasets.tracks import read_frames
from tests import shard_fixtures


@pytest.fixture(scope="module")
def stored(shard_root):
    return index_split(shard_root, "train")[1].read(TRACK_MEMBERS)


def grids(random: np.random.Generator, count: int = 5) -> DensePoseGrids:
    boxes = random.uniform(-20, 60, (count, 4))
    boxes[:, 2:] = boxes[:, :2] + random.uniform(5, 90, (count, 2))
    boxes[0, 2] = boxes[0, 0]  # nobody there
    iuv = random.integers(0, 256, (count, 14, 14, 3)).astype(np.uint8)
    iuv[..., 0] %= 25
    return DensePoseGrids(iuv=iuv, boxes=boxes)


def sample_of(tracks, key="clip"):
    known = torch.zeros(len(tracks.video), dtype=torch.bool)
    return to_sample(key, 0, tracks, known, "none")


def test_grids_rendered_on_the_device_equal_what_numpy_pastes_and_paints(stored) -> None:
    tracks = decode_tracks(stored, None, 128, 96)
    batch = pack([sample_of(tracks)])
    assert batch.iuv.shape == (1, len(tracks.video), 113, 113, 3)
    iuv, boxes = read_frames(stored.files["iuv.mp4"]), tracks.pose.boxes
    expected = torch.from_numpy(render_densepose(paste_iuv(iuv, boxes, 128, 96)))
    found = batch.unpack().densepose[0]
    assert torch.equal(found, expected.float().div(127.5).sub(1).permute(0, 3, 1, 2))
    assert found.unique().numel() > 3


def test_boxes_that_reach_beyond_the_frame_are_cut_alike_on_both_ways() -> None:
    from datasets.loading.densepose_batch import draw_iuv, render_grids

    some = grids(np.random.default_rng(0))
    rows, columns = grid_rows_columns(some.boxes, 14, 50, 40)
    padded = np.pad(some.iuv, ((0, 0), (0, 1), (0, 1), (0, 0)))
    found = render_grids(*map(torch.from_numpy, (padded, rows, columns)))
    assert np.array_equal(found.numpy(), paste_iuv(some.iuv, some.boxes, 50, 40))
    for drawing in DRAWINGS:
        expected = torch.from_numpy(some.picture(50, 40, drawing)).float().div(127.5).sub(1)
        assert torch.equal(draw_iuv(found, drawing), expected.permute(0, 3, 1, 2))


def test_a_cut_without_scaling_keeps_the_grids_and_cuts_them_as_the_video(stored) -> None:
    whole = decode_tracks(stored, [0, 5], 128, 96)
    cut = decode_tracks(stored, [0, 5], 112, 96)
    assert isinstance(cut.pose, DensePoseGrids)
    assert np.array_equal(cut.video, whole.video[:, 8:-8])
    assert np.array_equal(cut.iuv, whole.iuv[:, 8:-8])


def test_a_scaled_frame_shows_the_grids_where_its_picture_is(stored) -> None:
    whole, scaled = decode_tracks(stored, None, 128, 96), decode_tracks(stored, None, 64, 48)
    nearest = whole.iuv[:, 1::2, 1::2]
    assert (nearest[..., 0] > 0).mean() > 0.05
    assert (scaled.iuv != nearest).mean() < 0.01  # half a pixel, at the body's edge
    wider = decode_tracks(stored, None, 128, 48)  # cropped, not scaled
    assert np.array_equal(wider.iuv, whole.iuv[:, :, 24:-24])


def test_a_batch_of_scaled_and_unscaled_clips_shows_each_as_alone(stored, monkeypatch) -> None:
    monkeypatch.setattr(shard_fixtures, "HEIGHT", 64)
    monkeypatch.setattr(shard_fixtures, "WIDTH", 64)  # cropped to 48
    files = shard_fixtures.sample_members("small", 4, np.random.default_rng(0))
    small = ShardSample(key="small", files=files)
    samples = [sample_of(decode_tracks(clip, [0, 3], 64, 48)) for clip in (stored, small)]
    mixed = pack(samples).unpack()
    assert mixed.densepose.shape == (2, 2, 3, 64, 48)
    for row, sample in enumerate(samples):
        assert torch.equal(mixed.densepose[row], pack([sample]).unpack().densepose[0])
    assert not torch.equal(mixed.densepose[0], mixed.densepose[1])


def test_a_mirrored_window_is_the_mirror_of_the_plain_one_with_sides_exchanged(stored) -> None:
    from datasets.densepose import MIRRORED_PARTS
    from datasets.labels import DensePosePart

    plain = decode_tracks(stored, [0, 3], 128, 96)
    turned = decode_tracks(stored, [0, 3], 128, 96, mirror=True)
    for name in ("video", "mask"):
        assert np.array_equal(getattr(turned, name), getattr(plain, name)[:, :, ::-1])
    assert np.array_equal(turned.garment, plain.garment[:, ::-1])
    assert MIRRORED_PARTS[DensePosePart.HAND_LEFT] == DensePosePart.HAND_RIGHT
    assert MIRRORED_PARTS[DensePosePart.TORSO_FRONT] == DensePosePart.TORSO_FRONT
    # half a pixel may fall to the other side of a cell's border
    mirror = plain.iuv[:, :, ::-1].copy()
    mirror[..., 2] = np.where(mirror[..., 0] > 0, 255 - mirror[..., 2], 0)
    mirror[..., 0] = MIRRORED_PARTS[mirror[..., 0]]
    assert (turned.iuv != mirror).mean() < 0.02


def test_batches_move_with_all_their_tensors(stored) -> None:
    batch = pack([sample_of(decode_tracks(stored, [0], 128, 96))])
    moved = batch.to("meta")
    assert all(value.device.type == "meta" for value in moved._tensors().values())
    assert moved.keys == ["clip"]
