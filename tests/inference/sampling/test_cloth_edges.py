"""What lies beyond the edge of a garment's picture, or of a part of the body."""

import numpy as np

from inference.sampling.cloth_edges import cloth_on_plain, mirror_beyond, smooth_parts


def test_stripes_run_on_beyond_their_region() -> None:
    stripes = np.repeat((np.arange(60) // 3 % 2).astype(np.float32)[:, None, None], 60, axis=1)
    shown = np.zeros((60, 60), bool)
    shown[10:50, 20:40] = True
    picture, known = mirror_beyond(np.where(shown[..., None], stripes, 0.5), shown)
    assert np.array_equal(picture[shown], stripes[shown])
    assert known[30, 2:58].all()
    assert np.array_equal(picture[12:48, 2:58], stripes[12:48, 2:58])  # beside: the same rows
    assert np.array_equal(picture[52:60, 30], stripes[46:38:-1, 30])  # below: mirrored
    shown[:, 22:] = False  # narrower than what lies beyond it: nothing is known there
    _, known = mirror_beyond(picture, shown)
    assert not known[30, 30:].any()


def test_white_cloth_is_told_from_a_plain_ground_and_gaps_from_cloth() -> None:
    picture = np.full((80, 60, 3), 244, np.uint8)
    picture[20:60, 15:45] = 249
    picture[40, 20] = 244  # a speck
    picture[30:60, 22:30] = 244  # a gap beside a sleeve
    found = cloth_on_plain(picture)
    assert found is not None
    assert found[25, 15:45].all()
    assert found[40, 20]
    assert not found[45, 24:28].any()
    assert not found[10].any()
    picture[0, 1] = 200
    assert cloth_on_plain(picture) is None


def test_stairs_of_parts_become_slopes_and_parts_stay_where_they_are() -> None:
    rows, columns = np.indices((480, 360))
    stairs = np.where(columns // 5 < rows // 5, 3, 7).astype(np.uint8)
    straight = np.where(columns + 2.5 < rows, 3, 7)
    smooth = smooth_parts(stairs)
    assert (smooth != straight).sum() < 0.6 * (stairs != straight).sum()
    assert set(np.unique(smooth)) == {3, 7}
    assert np.array_equal(smooth[100:140, :60], stairs[100:140, :60])
