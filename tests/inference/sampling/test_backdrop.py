"""The background beside a painted body."""

import numpy as np

from inference.sampling.backdrop import fill_backdrop

SIZE = 200
WALL, PAINTED = (90, 140, 200), 128


def scene() -> tuple[np.ndarray, ...]:
    """Painted gray, source with a wall, mask, and DensePose's torso inside it."""
    source = np.full((1, SIZE, SIZE, 3), WALL, np.uint8)
    source[:, 40:160, 60:140] = (20, 60, 20)  # the old garment
    masks = np.zeros((1, SIZE, SIZE), bool)
    masks[:, 30:170, 50:150] = True
    parts = np.zeros((1, SIZE, SIZE), np.uint8)
    parts[:, 40:160, 60:140] = 2
    return np.full_like(source, PAINTED), source, masks, parts


def test_what_is_masked_beside_a_body_continues_the_wall() -> None:
    painted, source, masks, parts = scene()
    slim = parts.copy()
    slim[:, :, 60:80] = 0
    found = fill_backdrop(painted, source, masks, parts, slim, None)
    assert np.abs(found[0, 50:150, 52:78].astype(int) - WALL).max() <= 1
    assert (found[0, 50:150, 90:130] == PAINTED).all()  # the body
    assert (found[0, :30] == PAINTED).all()  # not masked


def test_certain_background_is_taken_inside_the_mask_too() -> None:
    painted, source, masks, parts = scene()
    ground = np.ones_like(masks)
    ground[:, 40:160, 60:140] = False
    source[:, 34:36, 54:146] = 255
    found = fill_backdrop(painted, source, masks, parts, parts, ground)
    assert (found[0, 34, 90:110] == 255).all()


def test_where_densepose_missed_somebody_frames_stay() -> None:
    painted, source, masks, parts = scene()
    parts[:, 60:] = 0
    assert np.array_equal(fill_backdrop(painted, source, masks, parts, parts, None), painted)
