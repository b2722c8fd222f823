"""What must stay stays, and what must go goes."""

import numpy as np
import pytest

from training.metrics.identity import change_outside
from training.metrics.leak import garment_palette, old_garment_left

SHAPE = (3, 40, 48)
RED, GREEN, BLUE, WHITE = (190, 40, 45), (40, 140, 60), (40, 60, 170), (250, 250, 250)


def picture(*colours: tuple[int, int, int]) -> np.ndarray:
    """A garment of vertical bands on white."""
    image = np.full((60, 60, 3), 255, dtype=np.uint8)
    for column in range(10, 50):
        image[8:52, column] = colours[(column // 3) % len(colours)]
    return image


def garment_area() -> np.ndarray:
    area = np.zeros(SHAPE, dtype=bool)
    area[:, 10:30, 12:36] = True
    return area


def dressed(colour: tuple[int, int, int]) -> np.ndarray:
    video = np.full((*SHAPE, 3), 128, dtype=np.uint8)
    video[garment_area()] = colour
    return video


def test_identity_is_measured_outside_the_mask_only() -> None:
    source, region = dressed(RED), garment_area()
    repainted = dressed(BLUE)
    assert change_outside(repainted, source, region).tolist() == [0.0, 0.0, 0.0]
    shifted = source.copy()
    shifted[1] += 7
    np.testing.assert_allclose(change_outside(shifted, source, region), [0, 7, 0])
    half = source.copy()
    half[:, :, :, 0] -= 30  # one channel of three
    np.testing.assert_allclose(change_outside(half, source, region), 10)


def test_a_frame_painted_whole_has_no_identity_to_keep() -> None:
    region = garment_area()
    region[1] = True
    values = change_outside(dressed(RED), dressed(RED), region)
    assert np.isnan(values).tolist() == [False, True, False]


def test_the_source_as_it_was_leaks_everywhere_and_the_asked_garment_nowhere() -> None:
    asked = garment_palette(picture(BLUE))
    source, area = dressed(RED), garment_area()
    assert old_garment_left(source, source, area, asked).tolist() == [1.0, 1.0, 1.0]
    assert old_garment_left(dressed(BLUE), source, area, asked).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rows", [0, 5, 10, 15, 20])
def test_leak_is_the_share_of_the_old_garment_that_is_left(rows: int) -> None:
    result, source = dressed(BLUE), dressed(RED)
    result[:, 10 : 10 + rows] = source[:, 10 : 10 + rows]
    values = old_garment_left(result, source, garment_area(), garment_palette(picture(BLUE)))
    np.testing.assert_allclose(values, rows / 20)


def test_a_third_colour_is_wrong_but_no_leak() -> None:
    asked = garment_palette(picture(RED))
    values = old_garment_left(dressed(WHITE), dressed(GREEN), garment_area(), asked)
    assert np.nanmax(values) in (0.0, 1.0)
    dark = dressed((150, 20, 30))  # the asked garment in shadow
    assert old_garment_left(dark, dressed(GREEN), garment_area(), asked).tolist() == [0.0] * 3


def test_colours_that_both_garments_have_tell_nothing() -> None:
    source = dressed(RED)
    source[:, 10:20, 12:36] = GREEN
    asked = garment_palette(picture(RED, BLUE))
    result = dressed(RED)  # right where the source was red, too: only the green half can tell
    np.testing.assert_allclose(old_garment_left(result, source, garment_area(), asked), 0)
    same = old_garment_left(dressed(RED), dressed(RED), garment_area(), asked)
    assert np.isnan(same).all()


def test_a_frame_without_the_old_garment_has_no_leak_to_measure() -> None:
    area = garment_area()
    area[2] = False
    asked = garment_palette(picture(BLUE))
    values = old_garment_left(dressed(RED), dressed(RED), area, asked)
    assert np.isnan(values).tolist() == [False, False, True]


def test_a_palette_holds_each_colour_of_the_garment() -> None:
    assert len(garment_palette(picture(RED))) == 1
    assert len(garment_palette(picture(RED, BLUE, GREEN))) == 3
    assert len(garment_palette(picture(RED, WHITE, BLUE))) == 3  # white on a white ground as well
