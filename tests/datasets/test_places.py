"""Places found by comparing a frame with the garment's picture, on pictures whose places are known.

Errors are in pixels of the picture at the frame's size, 128 x 96; a token has 16 of them.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from datasets.clips import ClipTracks, decode_tracks, with_places
from datasets.labels import DensePosePart
from datasets.places import (
    GROUPS,
    OUTLINE,
    body_cells,
    match_places,
    outline_of,
    picture_body,
    refine_places,
)
from datasets.shards import ShardSample
from tests.place_fixtures import GARMENT_FRAME, TOP, lefts, place_members, true_points
from tests.shard_fixtures import HEIGHT, WIDTH

FRAMES = 4
SIZE = np.array([WIDTH, HEIGHT])


@pytest.fixture(scope="module")
def stored() -> ShardSample:
    members = place_members("clip", FRAMES, np.random.default_rng(0))
    return ShardSample(key="clip", files=members)


def affine_of(sample: ShardSample) -> np.ndarray:
    return np.array(sample.record["garment_affine"]).reshape(2, 3)


def placed(sample: ShardSample, **settings: Any) -> ClipTracks:
    tracks = decode_tracks(sample, None, HEIGHT, WIDTH, **settings)
    return with_places(tracks, sample, mirror=settings.get("mirror", False))


def whole_cells(tracks: ClipTracks) -> np.ndarray:
    """Cells whose neighbours are all on the body: (t, y, x)."""
    share = body_cells(torch.from_numpy(tracks.iuv)).numpy()[:, 3]
    wide = np.pad(share, ((0, 0), (1, 1), (1, 1)))
    y, x = share.shape[1:]
    around = [wide[:, i : i + y, j : j + x] for i in range(3) for j in range(3)]
    return np.min(around, axis=0) == 1


def errors(places: np.ndarray, truth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Distance of each chosen place from the truth, px."""
    assert where.any()
    assert places[where][:, 2].all()
    return np.linalg.norm((places[where][:, :2] - truth[where]) * SIZE, axis=-1)


def test_a_cell_shows_the_group_that_covers_most_of_it_and_that_ones_mean_coordinates() -> None:
    iuv = torch.zeros(1, 16, 24, 3, dtype=torch.uint8)
    iuv[0, :8, :5] = torch.tensor([DensePosePart.TORSO_FRONT, 51, 102])
    iuv[0, :8, 5:8] = torch.tensor([GROUPS[1][0], 255, 255])  # an arm, on less of the cell
    iuv[0, 8:, 8:12] = torch.tensor([GROUPS[8][0], 0, 255])
    iuv[0, 8:, 12:14] = torch.tensor([GROUPS[8][1], 255, 255])  # the leg's other side: one group
    iuv[0, 8:, 16:] = torch.tensor([DensePosePart.HAND_LEFT, 9, 9])  # no garment there
    cells = body_cells(iuv)
    assert cells.shape == (1, 4, 2, 3)
    assert torch.allclose(cells[0, :, 0, 0], torch.tensor([1.0, 0.2, 0.4, 5 / 8]))
    assert torch.allclose(cells[0, :, 1, 1], torch.tensor([9.0, 1 / 3, 1.0, 6 / 8]))
    for row, column in ((0, 1), (1, 0), (1, 2)):
        assert not cells[0, :, row, column].any()


def test_left_and_right_of_a_limb_are_different_groups_of_the_same_rank() -> None:
    from datasets.densepose import MIRRORED_PARTS

    assert len({part for group in GROUPS for part in group}) == 2 * len(GROUPS)
    for left, right in zip(GROUPS[1::2], GROUPS[2::2], strict=True):
        assert [int(MIRRORED_PARTS[part]) for part in left] == list(right)
        assert all("LEFT" in DensePosePart(part).name for part in left)


def test_the_outline_is_the_share_of_cloth_with_its_holes_filled() -> None:
    picture = np.full((128, 96, 3), 240, np.uint8)
    picture[32:96, 24:72] = (200, 30, 40)
    picture[60:68, 44:52] = 240  # a print in the ground's colour
    outline = outline_of(picture)
    assert outline.shape == OUTLINE
    assert (outline[4:12, 3:9] == 255).all()
    assert outline.sum() == 48 * 255


def test_body_coordinates_place_every_cell_of_a_torso_that_moved(stored: ShardSample) -> None:
    tracks = decode_tracks(stored, None, HEIGHT, WIDTH)
    affine, frame = affine_of(stored), tracks.iuv[GARMENT_FRAME]
    shift = 0.5 * (1 - affine[:, :2].sum(axis=1, keepdims=True))  # centres -> edges of pixels
    affine = np.concatenate([affine[:, :2], affine[:, 2:] + shift], axis=1)
    found = match_places(tracks.iuv, picture_body(frame, affine, (HEIGHT, WIDTH)))
    where = whole_cells(tracks)
    assert len(set(lefts(FRAMES))) > 2
    assert errors(found, true_points(FRAMES, affine_of(stored)), where).max() < 2
    assert not found[:, : TOP // 8 - 1].any()  # nobody there


def test_places_out_of_a_clip_are_right_to_a_pixel(stored: ShardSample) -> None:
    tracks = placed(stored)
    truth, where = true_points(FRAMES, affine_of(stored)), whole_cells(tracks)
    found = errors(tracks.places, truth, where)
    assert np.median(found) < 0.7
    assert found.max() < 1.5
    unmoved = np.broadcast_to(truth[GARMENT_FRAME], truth.shape)
    assert np.median(errors(tracks.places, unmoved, where)) > 4


@pytest.mark.parametrize("scale", [1, 2])
def test_the_picture_finds_a_shift_that_body_coordinates_do_not_show(
    stored: ShardSample, scale: int
) -> None:
    tracks = decode_tracks(stored, None, HEIGHT, WIDTH, garment_scale=scale)
    assert tracks.garment.shape[:2] == (scale * HEIGHT, scale * WIDTH)
    truth, where = true_points(FRAMES, affine_of(stored)), whole_cells(tracks)
    guess = np.concatenate([truth + np.array([3, -2]) / SIZE, where[..., None]], axis=-1)
    guess = guess.astype(np.float32)
    assert errors(guess, truth, where).min() > 3.5
    found = refine_places(guess, tracks.iuv, tracks.video, tracks.garment)
    assert np.median(errors(found, truth, where)) < 1
    assert np.array_equal(found[..., 2], guess[..., 2])
    assert np.array_equal(found[~where], guess[~where])


def test_the_phase_of_stripes_is_found() -> None:
    """Stripes of 8 px, displaced by 3 px in the frame: 3 px off unless the picture is looked at."""
    stripes = np.arange(HEIGHT).repeat(WIDTH).reshape(HEIGHT, WIDTH, 1) // 4 % 2
    picture = np.where(stripes > 0, (200, 60, 40), (240, 230, 220))
    frame = np.roll(picture, 3, axis=0).astype(np.uint8)
    picture = picture.astype(np.uint8)
    iuv = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    iuv[0, 24:104, 16:80] = (DensePosePart.TORSO_FRONT, 128, 128)
    y, x = np.mgrid[: HEIGHT // 8, : WIDTH // 8] * 8 + 4
    guess = np.stack([x / WIDTH, y / HEIGHT, np.ones(x.shape)], axis=-1)[None].astype(np.float32)
    found = refine_places(guess, iuv, frame[None], picture)
    inside = (slice(None), slice(3, 13), slice(2, 10))
    moved = (found - guess)[inside][..., :2] * SIZE
    assert np.abs(moved[..., 1] + 3).max() < 0.6
    assert np.abs(moved[..., 0]).max() < 0.6
    outside = np.ones(found.shape[:3], bool)
    outside[inside] = False
    assert np.array_equal(found[outside], guess[outside])


def test_a_group_that_lies_turned_or_upside_down_keeps_its_first_guess(
    stored: ShardSample,
) -> None:
    tracks = placed(stored)
    guess = tracks.places.copy()
    guess[..., 1] = guess[..., 2] * (1 - guess[..., 1])
    assert np.array_equal(refine_places(guess, tracks.iuv, tracks.video, tracks.garment), guess)


def test_a_mirrored_clip_has_the_mirrored_places(stored: ShardSample) -> None:
    plain, turned = placed(stored), placed(stored, mirror=True)
    mirrored = turned.places[:, :, ::-1].copy()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    where = whole_cells(plain)
    assert np.array_equal(mirrored[where][:, 2], plain.places[where][:, 2])
    assert errors(plain.places, mirrored[..., :2], where).max() < 1.5
    assert np.abs(plain.places[..., 0] - turned.places[..., 0])[where].max() * WIDTH > 10


def test_a_mirrored_body_exchanges_its_sides_and_counts_v_from_the_other(
    stored: ShardSample,
) -> None:
    tracks = decode_tracks(stored, None, HEIGHT, WIDTH)
    iuv = tracks.pose.iuv.copy()
    iuv[:, :, :40, 0] = GROUPS[1][0]  # a left arm
    grids = replace(tracks.pose, iuv=iuv)
    plain, turned = (
        body_cells(torch.from_numpy(pose.frames(HEIGHT, WIDTH)))
        for pose in (grids, grids.mirrored(WIDTH))
    )
    turned = turned.flip(-1)
    arm, torso = plain[:, 0] == 2, plain[:, 0] == 1
    assert arm.any()
    assert torso.any()
    assert (turned[:, 0][arm] == 3).float().mean() > 0.9
    assert (turned[:, 0][torso] == 1).float().mean() > 0.9
    same = (plain[:, 3] == 1) & (turned[:, 3] == 1)
    assert (turned[:, 2] - (1 - plain[:, 2]))[same].abs().max() < 0.02
    assert (turned[:, 1] - plain[:, 1])[same].abs().max() < 0.02


@pytest.mark.parametrize("content", [{}, {"garment_affine": None}])
def test_a_picture_that_was_not_cut_out_of_the_clip_has_no_known_places(
    stored: ShardSample, content: dict[str, Any]
) -> None:
    """A product photo, or a clip curated before the affine was recorded."""
    record = {k: v for k, v in stored.record.items() if k != "garment_affine"} | content
    files = stored.files | {"json": json.dumps(record).encode()}
    tracks = placed(ShardSample(key="clip", files=files))
    assert tracks.places is not None
    assert tracks.places.shape == (FRAMES, HEIGHT // 8, WIDTH // 8, 3)
    assert not tracks.places.any()
    some = tracks.select([0, 2])
    assert some.places is not None
    assert len(some.places) == 2


def test_the_networks_and_the_data_mean_the_same_groups_and_outlines() -> None:
    from datasets import places as of_data
    from models import places as of_models

    assert len(of_data.GROUPS) == of_models.NUM_GROUPS
    assert of_data.OUTLINE == of_models.OUTLINE
