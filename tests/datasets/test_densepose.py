import numpy as np

from datasets.densepose import (
    VIRIDIS,
    DensePoseGrids,
    parts_of_picture,
    paste_iuv,
    render_densepose,
)


def grid_of_quarters() -> np.ndarray:
    iuv = np.zeros((1, 112, 112, 3), np.uint8)
    iuv[0, :56, :56, 0], iuv[0, :56, 56:, 0] = 1, 2
    iuv[0, 56:, :56, 0], iuv[0, 56:, 56:, 0] = 23, 24
    iuv[..., 1], iuv[..., 2] = 77, 200
    return iuv


def test_a_grid_fills_its_box_and_nothing_else() -> None:
    full = paste_iuv(grid_of_quarters(), np.array([[20, 10, 60, 90]], np.float32), 100, 80)
    assert full.shape == (1, 100, 80, 3)
    parts = full[0, ..., 0]
    assert (parts[10:50, 20:40] == 1).all()
    assert (parts[10:50, 40:60] == 2).all()
    assert (parts[50:90, 20:40] == 23).all()
    assert (parts[50:90, 40:60] == 24).all()
    assert (full[0, 10:90, 20:60, 1:] == (77, 200)).all()
    parts[10:90, 20:60] = 0
    assert not parts.any()


def test_a_box_may_reach_beyond_the_frame() -> None:
    full = paste_iuv(grid_of_quarters(), np.array([[-40, -40, 40, 40]], np.float32), 30, 50)
    assert (full[0, :30, :40, 0] == 24).all()
    assert not full[0, :, 40:].any()


def test_a_box_without_area_or_outside_is_a_frame_without_a_person() -> None:
    boxes = np.array([[0, 0, 0, 0], [200, 200, 300, 300], [10.2, 5, 10.3, 5.2]], np.float32)
    full = paste_iuv(np.repeat(grid_of_quarters(), 3, axis=0), boxes, 20, 30)
    assert not full[:2].any()


def test_a_grid_at_its_own_size_comes_back_unchanged() -> None:
    rng = np.random.default_rng(0)
    iuv = rng.integers(0, 25, (2, 112, 112, 3), dtype=np.uint8)
    box = np.array([[8, 4, 120, 116]] * 2, np.float32)
    np.testing.assert_array_equal(paste_iuv(iuv, box, 128, 128)[:, 4:116, 8:120], iuv)


def test_the_picture_is_the_viridis_rendering_of_published_videos() -> None:
    import matplotlib

    viridis = matplotlib.colormaps["viridis"]
    table = [np.floor(np.array(viridis(part / 24)[:3]) * 255) for part in range(25)]
    assert np.abs(VIRIDIS.astype(int) - np.array(table)).max() <= 1
    iuv = np.zeros((1, 1, 25, 3), np.uint8)
    iuv[0, 0, :, 0] = np.arange(25)
    np.testing.assert_array_equal(render_densepose(iuv)[0, 0], VIRIDIS)
    assert tuple(VIRIDIS[0]) == (68, 1, 84)


def test_parts_come_back_from_their_picture_even_a_compressed_one() -> None:
    iuv = np.zeros((1, 75, 96, 3), np.uint8)
    iuv[0, ..., 0] = np.arange(25).repeat(3)[:, None]
    picture = render_densepose(iuv)[0]
    np.testing.assert_array_equal(parts_of_picture(picture), iuv[0])
    noise = np.random.default_rng(0).integers(-2, 3, picture.shape)
    noisy = np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(parts_of_picture(noisy), iuv[0])


def test_the_drawing_with_coordinates_keeps_all_three_and_the_input() -> None:
    iuv = grid_of_quarters()
    kept = iuv.copy()
    drawn = render_densepose(iuv, "iuv")
    np.testing.assert_array_equal(drawn[..., 0], 10 * kept[..., 0])
    np.testing.assert_array_equal(drawn[..., 1:], kept[..., 1:])
    np.testing.assert_array_equal(iuv, kept)


def test_two_mirrors_give_the_grids_back() -> None:
    rng = np.random.default_rng(0)
    iuv = rng.integers(0, 256, (3, 14, 14, 3)).astype(np.uint8)
    iuv[..., 0] %= 25
    grids = DensePoseGrids(iuv=iuv, boxes=rng.uniform(0, 60, (3, 4)))
    once = grids.mirrored(96)
    assert not np.array_equal(once.iuv[:, :, ::-1, 2], iuv[..., 2])
    again = once.mirrored(96)
    np.testing.assert_array_equal(again.iuv, iuv)
    np.testing.assert_allclose(again.boxes, grids.boxes)
