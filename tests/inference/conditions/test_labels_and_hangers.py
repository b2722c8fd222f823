"""Drawn garments: what in their collar is a label or a hanger, and what shows there instead."""

import cv2
import numpy as np
import pytest

from inference.conditions.labels_and_hangers import labels_and_hangers, without_labels

CLOTH, LABEL, YOKE = (60, 130, 90), (20, 20, 25), (220, 180, 40)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A plain top on a plain ground, and where it is cloth."""
    picture = np.full((320, 240, 3), 244, np.uint8)
    cloth = np.zeros(picture.shape[:2], bool)
    cloth[40:291, 60:181] = True
    picture[cloth] = CLOTH
    return picture, cloth


def test_a_label_is_painted_over_in_the_cloths_colour() -> None:
    picture, cloth = drawn()
    with_label = picture.copy()
    with_label[46:56, 112:128] = LABEL
    found = labels_and_hangers(with_label, cloth)
    assert found[46:56, 112:128].all()
    assert found.sum() < 2.5 * 10 * 16
    assert np.abs(without_labels(with_label, cloth).astype(int) - picture).max() < 12


def test_a_hanger_that_stands_out_above_takes_the_cloths_colour() -> None:
    picture, cloth = drawn()
    cv2.line(picture, (120, 30), (120, 60), (20, 180, 60), 5)
    cloth |= (picture != 244).any(axis=-1)
    shown = without_labels(picture, cloth)
    assert np.abs(shown[32:60, 120].astype(int) - CLOTH).max() < 12
    assert (shown[~cloth] == 244).all()


def test_the_inside_of_a_back_stays_for_what_cuts_it_out() -> None:
    picture, cloth = drawn()
    cv2.ellipse(picture, (120, 40), (14, 12), 0, 0, 180, (40, 86, 60), -1)
    assert (without_labels(picture, cloth) == picture).all()


def yoke() -> np.ndarray:
    """A yoke in its own colour, as wide as the neck."""
    picture, _ = drawn()
    cv2.fillConvexPoly(picture, np.array([(85, 40), (155, 40), (120, 85)]), YOKE)
    return picture


def print_on_chest() -> np.ndarray:
    picture, _ = drawn()
    cv2.circle(picture, (120, 130), 10, YOKE, -1)
    return picture


def stripes() -> np.ndarray:
    picture, cloth = drawn()
    for row in range(40, 290, 24):
        picture[row : row + 12][cloth[row : row + 12]] = YOKE
    return picture


def pocket_label() -> np.ndarray:
    """At the side."""
    picture, _ = drawn()
    picture[50:60, 66:80] = YOKE
    return picture


@pytest.mark.parametrize("draw", [lambda: drawn()[0], yoke, print_on_chest, stripes, pocket_label])
def test_what_is_worn_stays(draw) -> None:
    picture, cloth = draw(), drawn()[1]
    assert np.array_equal(without_labels(picture, cloth), picture)


def test_a_picture_without_cloth_stays() -> None:
    picture, cloth = drawn()
    assert without_labels(picture, np.zeros_like(cloth)) is picture
