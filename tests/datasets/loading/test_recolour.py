"""Recolouring changes the garment, in the frames and in its picture, and nothing else."""

import numpy as np
import pytest

from datasets.clips import ClipTracks
from datasets.densepose import DensePoseGrids
from datasets.loading.recolour import draw_colour_map, recolour
from datasets.places import outline_of


@pytest.fixture
def tracks() -> ClipTracks:
    video = np.full((3, 16, 12, 3), 90, np.uint8)
    share = np.zeros((3, 16, 12), np.uint8)
    share[:, 4:10, 3:9] = 255
    video[share > 0] = (200, 40, 60)
    garment = np.full((16, 12, 3), 240, np.uint8)
    picture = np.zeros((16, 12), np.uint8)
    picture[2:14, 2:10] = 255
    garment[picture > 0] = (200, 40, 60)
    nobody = np.zeros((len(video), 14, 14, 3), np.uint8)
    pose = DensePoseGrids(iuv=nobody, boxes=np.zeros((len(video), 4)))
    return ClipTracks(
        video=video, mask=share, pose=pose, garment=garment, outline=outline_of(garment),
        garment_share=share, garment_picture_share=picture,
    )  # fmt: skip


def test_garment_and_picture_get_the_same_new_colour_and_the_rest_stays(tracks: ClipTracks) -> None:
    changed = recolour(tracks, np.random.default_rng(3))
    worn = changed.video[tracks.garment_share > 0]
    shown = changed.garment[tracks.garment_picture_share > 0]
    assert np.abs(worn[0].astype(int) - (200, 40, 60)).max() > 20
    assert (worn == worn[0]).all()
    assert (shown == worn[0]).all()
    outside = tracks.garment_share == 0
    np.testing.assert_array_equal(changed.video[outside], tracks.video[outside])
    ground = tracks.garment_picture_share == 0
    np.testing.assert_array_equal(changed.garment[ground], tracks.garment[ground])


def test_the_colour_follows_from_the_generator_alone(tracks: ClipTracks) -> None:
    first = recolour(tracks, np.random.default_rng(5))
    again = recolour(tracks, np.random.default_rng(5))
    other = recolour(tracks, np.random.default_rng(6))
    np.testing.assert_array_equal(first.video, again.video)
    assert (first.video != other.video).any()


def test_gray_keeps_its_hue_but_for_the_gains() -> None:
    matrix = draw_colour_map(np.random.default_rng(0))
    gains = matrix @ np.ones(3)
    assert ((gains >= 0.3 - 1e-9) & (gains <= 1.2 + 1e-9)).all()


def test_tracks_without_their_garments_region_are_refused(tracks: ClipTracks) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="region"):
        recolour(replace(tracks, garment_share=None), np.random.default_rng(0))
