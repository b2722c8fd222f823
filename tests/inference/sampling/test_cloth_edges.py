import numpy as np

from inference.sampling.cloth_edges import mirror_beyond, smooth_parts


def test_a_pattern_runs_on_beyond_the_edge_as_its_mirror_image() -> None:
    picture = np.zeros((40, 40, 3), np.float32)
    picture[:, :, 0] = np.arange(40)
    shown = np.zeros((40, 40), bool)
    shown[:, 10:30] = True
    mirrored, known = mirror_beyond(picture, shown)
    assert np.array_equal(mirrored[20, 10:30, 0], np.arange(10, 30))
    assert np.array_equal(mirrored[20, 5:10, 0], [15, 14, 13, 12, 11])
    assert np.array_equal(mirrored[20, 30:35, 0], [28, 27, 26, 25, 24])
    assert known[:, 0:39].all()


def test_what_a_narrow_region_cannot_mirror_is_not_known() -> None:
    shown = np.zeros((40, 40), bool)
    shown[:, 18:22] = True
    _, known = mirror_beyond(np.zeros((40, 40, 3), np.float32), shown)
    assert known[:, 15:25].all()
    assert not known[:, :10].any()


def test_a_picture_without_an_edge_is_returned_as_it_is() -> None:
    picture = np.random.default_rng(0).random((8, 8, 3), np.float32)
    for shown in (np.zeros((8, 8), bool), np.ones((8, 8), bool)):
        same, known = mirror_beyond(picture, shown)
        assert np.array_equal(same, picture)
        assert np.array_equal(known, shown)


def test_outlines_of_parts_lose_their_stairs_and_keep_their_places() -> None:
    rows, columns = np.indices((320, 320))
    straight = np.where(columns > rows + 3.5, np.uint8(3), np.uint8(7))
    stairs = np.where(columns // 8 > rows // 8, np.uint8(3), np.uint8(7))
    smooth = smooth_parts(stairs)
    inner = slice(20, -20)
    assert set(np.unique(smooth)) == {3, 7}
    wrong = (straight != smooth)[inner, inner].mean()
    assert wrong < 0.6 * (straight != stairs)[inner, inner].mean()
