"""Drawn garments: what of them is the inside of the back."""

import cv2
import numpy as np
import pytest

from inference.sampling.collar import inside_of_collar, is_collar, raise_neckline

SIDES = (60.0, 180.0)
GROUND, CLOTH, SHADE, RIBBING = 240, (200, 60, 60), (130, 35, 40), (40, 40, 90)


def drawn(
    inside: tuple[int, int, int] | None = SHADE, ribbing: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A top on a plain ground with a neckline of 50 px, and where it is cloth."""
    picture = np.full((320, 240, 3), GROUND, np.uint8)
    cv2.rectangle(picture, (60, 40), (180, 290), CLOTH, -1)
    if inside is not None:
        cv2.ellipse(picture, (120, 42), (25, 22), 0, 0, 180, inside, -1)
    if ribbing:
        cv2.ellipse(picture, (120, 42), (28, 25), 0, 0, 180, RIBBING, 4)
    cloth = np.zeros(picture.shape[:2], bool)
    cloth[40:291, 60:181] = True
    return picture, cloth


@pytest.mark.parametrize("ribbing", [False, True])
def test_the_inside_of_the_back_is_found_with_the_rim_above_it(ribbing: bool) -> None:
    picture, cloth = drawn(ribbing=ribbing)
    found = inside_of_collar(picture, cloth, SIDES)
    assert found[42:58, 110:130].all()
    assert found[40, 115:125].all()  # the back's upper edge
    assert not found[75:].any()
    assert not found[:, :85].any()
    assert not found[:, 156:].any()
    assert not (found & ~cloth).any()


def lighter() -> tuple[np.ndarray, np.ndarray]:
    """A yoke in a lighter colour is worn."""
    return drawn(inside=(250, 200, 80))


def striped() -> tuple[np.ndarray, np.ndarray]:
    picture, cloth = drawn(inside=None)
    for row in range(40, 290, 24):
        picture[row : row + 12][cloth[row : row + 12]] = RIBBING
    return picture, cloth


def printed() -> tuple[np.ndarray, np.ndarray]:
    """A dark print on the chest."""
    picture, cloth = drawn(inside=None)
    cv2.circle(picture, (120, 100), 30, RIBBING, -1)
    return picture, cloth


def halves() -> tuple[np.ndarray, np.ndarray]:
    """A dark upper half is worn."""
    picture, cloth = drawn(inside=None)
    picture[40:120][cloth[40:120]] = SHADE
    return picture, cloth


@pytest.mark.parametrize("draw", [lambda: drawn(inside=None), lighter, striped, printed, halves])
def test_what_is_worn_is_not_taken_for_an_inside(draw) -> None:
    assert not inside_of_collar(*draw(), SIDES).any()


def dotted(inside: tuple[int, int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Light dots on the dark ground that is the inside's colour, too."""
    picture, cloth = drawn(inside=None)
    picture[cloth] = SHADE
    for row in range(45, 290, 14):
        for column in range(66 + row // 14 % 2 * 7, 180, 14):
            cv2.circle(picture, (column, row), 6, CLOTH, -1)
    if inside is not None:
        cv2.ellipse(picture, (120, 42), (30, 24), 0, 0, 180, inside, -1)
    return picture, cloth


def test_the_ground_between_dots_does_not_belong_to_an_inside_in_its_colour() -> None:
    found = inside_of_collar(*dotted(SHADE), SIDES)
    assert found[42:58, 110:130].all()
    assert not found[75:].any()
    assert not inside_of_collar(*dotted(None), SIDES).any()


def test_a_neckline_rises_with_what_is_below_it_and_nothing_else_moves() -> None:
    picture, cloth = drawn(ribbing=True)
    inside = inside_of_collar(picture, cloth, SIDES)
    known = (cloth & ~inside).astype(np.float32)
    whole = np.concatenate([np.moveaxis(picture, -1, 0).astype(np.float32), known[None]])
    raised = raise_neckline(whole, inside, 10.0)
    line = 42 + 22
    assert whole[3, line - 8, 120] == 0
    assert raised[3, line - 5, 120] == 1
    rim = np.flatnonzero(np.abs(whole[:3, :, 120].T - RIBBING).max(axis=1) < 8)
    moved = np.flatnonzero(np.abs(raised[:3, :, 120].T - RIBBING).max(axis=1) < 8)
    assert 6 <= rim.mean() - moved.mean() <= 10  # the ribbing is where the cloth now ends
    assert (raised[:, 120:] == whole[:, 120:]).all()
    assert (raised[:, :, :85] == whole[:, :, :85]).all()
    assert (raise_neckline(whole, np.zeros_like(inside), 10.0) == whole).all()


def test_an_empty_picture_has_none() -> None:
    picture, cloth = drawn()
    assert not inside_of_collar(picture, np.zeros_like(cloth), SIDES).any()
    assert not inside_of_collar(picture, cloth, (90.0, 90.0)).any()


def outline(*rows: tuple[int, int]) -> np.ndarray:
    """From, to, for each twentieth of 200 rows; the last for all others."""
    cloth = np.zeros((220, 240), bool)
    for number in range(20):
        first, last = rows[min(number, len(rows) - 1)]
        cloth[10 + 10 * number : 20 + 10 * number, first:last] = True
    return cloth


def test_a_turtleneck_is_a_collar_and_a_neckline_and_hair_beside_it_are_none() -> None:
    turtleneck = outline((100, 140), (100, 140), (80, 160), (40, 200))
    neckline = outline((60, 180), (50, 190), (40, 200))
    neckline[:40, 90:150] = False
    hair = outline((60, 80), (60, 80), (40, 200))
    tee = outline((90, 150), (60, 180), (40, 200))
    found = [is_collar(cloth, SIDES) for cloth in (turtleneck, neckline, hair, tee)]
    assert found == [True, False, False, False]
    assert not is_collar(np.zeros((220, 240), bool), SIDES)


@pytest.mark.filterwarnings("error")
def test_a_strip_of_cloth_at_the_picture_s_left_edge_has_no_inside() -> None:
    picture, cloth = drawn(inside=None)
    cloth[:] = False
    cloth[:, :1] = True
    assert not inside_of_collar(picture, cloth, (0.0, 1.0)).any()


def test_a_flat_ring_of_ribbing_and_a_panel_down_the_front_are_no_inside() -> None:
    ring, cloth = drawn(inside=None)
    cv2.ellipse(ring, (120, 42), (28, 10), 0, 0, 180, SHADE, 4)
    assert not inside_of_collar(ring, cloth, SIDES).any()
    panel, cloth = drawn(inside=None)
    panel[40:291, 102:138] = SHADE
    assert not inside_of_collar(panel, cloth, SIDES).any()
    panel[90:291, 102:138] = CLOTH  # where it ends near the neck, it is one
    assert inside_of_collar(panel, cloth, SIDES)[45:85, 105:135].all()
