"""Colour and pattern distance of garments: low for the right one, high for a wrong one."""

import cv2
import numpy as np
import pytest

from datasets.synthetic.clips import render_garment
from datasets.synthetic.garments import GarmentSpec
from training.metrics.garment_colour import (
    colour_distance,
    garment_colour_distance,
    picture_colours,
    project_colours,
)
from training.metrics.garment_pattern import (
    FLOOR,
    garment_pattern_distance,
    pattern_distance,
    pattern_statistics,
    picture_pattern,
)
from training.metrics.garment_picture import garment_outline, shrink
from training.metrics.lab import pixels_to_lab

RED, WHITE, BLUE = (0.75, 0.16, 0.18), (0.92, 0.92, 0.9), (0.16, 0.25, 0.65)
PATTERNS = ("plain", "stripes_across", "stripes_down", "checks", "dots", "figure")


def spec(pattern: str, base: tuple[float, float, float] = RED) -> GarmentSpec:
    return GarmentSpec(
        pattern=pattern, base=base, accent=WHITE, third=BLUE, period_m=0.08, figure="star",
        sleeves="short", neckline="crew", fit=0.4, length_m=0.62, trim=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    made = {pattern: render_garment(spec(pattern), 256, 192) for pattern in PATTERNS}
    return made | {"blue stripes": render_garment(spec("stripes_across", BLUE), 256, 192)}


def as_worn(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two frames with the garment, smaller, elsewhere, darker to one side, and its region.

    A dark ground instead of the picture's: nothing of it may count.
    """
    outline = garment_outline(picture)
    light = np.linspace(1.0, 0.86, picture.shape[1])[None, :, None]
    height, width = round(0.7 * picture.shape[0]), round(0.7 * picture.shape[1])
    small = cv2.resize((picture * light).astype(np.uint8), (width, height), interpolation=3)
    area = cv2.resize(outline.astype(np.uint8), (width, height), interpolation=0) > 0
    video = np.full((2, *picture.shape), 60, dtype=np.uint8)
    region = np.zeros(video.shape[:3], dtype=bool)
    for frame, (top, left) in enumerate(((20, 10), (50, 40))):
        window = (frame, slice(top, top + height), slice(left, left + width))
        region[window] = area
        video[window][area] = small[area]
    return video, region


def test_the_outline_is_the_garment_with_its_white_parts() -> None:
    picture = np.full((80, 80, 3), 255, dtype=np.uint8)
    picture[20:60, 20:60] = (200, 30, 30)
    picture[30:34, 20:60] = 255  # a white stripe from side to side
    expected = np.zeros((80, 80), dtype=bool)
    expected[20:60, 20:60] = True
    outline = garment_outline(picture)
    assert (outline == expected).mean() > 0.995
    assert outline[31, 40]
    assert garment_outline(np.full((9, 9, 3), 7, dtype=np.uint8)).all()
    assert shrink(expected, 0.1).sum() == 32 * 32


@pytest.mark.parametrize("shift", [(0, 0, 0), (12, 0, 0), (0, -9, 14), (-20, 25, 5)])
def test_a_pure_shift_of_colours_measures_its_own_length(shift: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    lab = (50, 5, 5) + 8 * rng.standard_normal((4000, 3))
    sides = []
    for colours in (lab, lab + shift):
        rgb = cv2.cvtColor(colours.astype(np.float32)[None], cv2.COLOR_LAB2RGB)[0]
        sides.append(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8))
    moved = (pixels_to_lab(sides[1]) - pixels_to_lab(sides[0])).mean(axis=0)
    measured = colour_distance(*(project_colours(side) for side in sides))
    assert measured == pytest.approx(float(np.linalg.norm(moved)), rel=0.06, abs=0.15)


def test_colours_count_by_their_shares_not_by_their_mean() -> None:
    gray, black, white = ([[level] * 3] * 100 for level in (119, 0, 255))
    mixed = np.array(black[:50] + white[:50], dtype=np.uint8)
    assert colour_distance(project_colours(mixed), project_colours(mixed[::-1])) == 0
    mean = pixels_to_lab(mixed).mean(axis=0)
    assert abs(mean - pixels_to_lab(np.array(gray, dtype=np.uint8)).mean(axis=0)).max() < 1
    same_mean = colour_distance(
        project_colours(mixed), project_colours(np.array(gray, dtype=np.uint8))
    )
    assert same_mean == pytest.approx(50, rel=0.05)  # every pixel is 50 away from the gray


def test_the_garment_itself_has_distance_zero(pictures: dict[str, np.ndarray]) -> None:
    for picture in pictures.values():
        video, region = picture[None], garment_outline(picture)[None]
        assert garment_colour_distance(video, region, picture_colours(picture)).tolist() == [0.0]
        assert garment_pattern_distance(video, region, picture_pattern(picture)).tolist() == [0.0]


@pytest.mark.parametrize("worn", PATTERNS)
def test_the_right_garment_is_nearest_though_smaller_elsewhere_and_in_other_light(
    pictures: dict[str, np.ndarray], worn: str
) -> None:
    video, region = as_worn(pictures[worn])
    by_pattern = {
        name: garment_pattern_distance(video, region, picture_pattern(pictures[name])).mean()
        for name in PATTERNS
    }
    right = by_pattern.pop(worn)
    assert right < 0.2
    assert right < 0.6 * min(by_pattern.values())


def test_another_colour_raises_the_colour_distance_and_hardly_the_pattern(
    pictures: dict[str, np.ndarray],
) -> None:
    video, region = as_worn(pictures["stripes_across"])
    distances = {}
    for name in ("stripes_across", "blue stripes", "stripes_down"):
        distances[name] = (
            garment_colour_distance(video, region, picture_colours(pictures[name])).mean(),
            garment_pattern_distance(video, region, picture_pattern(pictures[name])).mean(),
        )
    assert distances["stripes_across"][0] < 10 < 25 < distances["blue stripes"][0]
    assert distances["stripes_down"][0] < 12  # the same colours
    assert distances["blue stripes"][1] < 0.5 * distances["stripes_down"][1]


def test_both_distances_rise_as_a_wrong_garment_shines_through(
    pictures: dict[str, np.ndarray],
) -> None:
    right, wrong = pictures["stripes_across"], render_garment(spec("dots", BLUE), 256, 192)
    region = (garment_outline(right) & garment_outline(wrong))[None]
    colour, pattern = [], []
    for share in np.linspace(0, 1, 6):
        mixed = np.rint((1 - share) * right + share * wrong).astype(np.uint8)[None]
        colour.append(garment_colour_distance(mixed, region, picture_colours(right))[0])
        pattern.append(garment_pattern_distance(mixed, region, picture_pattern(right))[0])
    assert colour == sorted(set(colour))
    assert pattern == sorted(set(pattern))


def test_a_constant_change_of_colour_is_no_change_of_pattern() -> None:
    rng = np.random.default_rng(1)
    gray = np.repeat(rng.integers(80, 160, (40, 40, 1)), 3, axis=2).astype(np.uint8)
    area = np.ones((40, 40), dtype=bool)
    lab = cv2.cvtColor(gray.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + np.array([8, 0, 0])
    lighter = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB) * 255
    first = pattern_statistics(gray, area)
    second = pattern_statistics(np.clip(np.rint(lighter), 0, 255).astype(np.uint8), area)
    assert pattern_distance(first, second) < 0.02


def test_stripes_show_in_their_direction_and_turn_with_the_garment() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, np.arange(64) % 16 < 8] = 200
    area = np.ones((64, 64), dtype=bool)
    down = pattern_statistics(stripes, area)
    assert (down.argmax(axis=1) == 0).all()  # the gradient points sideways
    across = pattern_statistics(stripes.transpose(1, 0, 2), area)
    np.testing.assert_allclose(across, np.roll(down, 4, axis=1), atol=0.2)


def test_a_plain_area_has_no_pattern_and_the_distance_its_closed_form() -> None:
    plain = np.full((30, 30, 3), (90, 40, 60), dtype=np.uint8)
    none = pattern_statistics(plain, np.ones((30, 30), dtype=bool))
    np.testing.assert_allclose(none, 0, atol=1e-2)
    some = np.full_like(none, 3.0)
    assert pattern_distance(some, np.zeros_like(some)) == pytest.approx(3 / (3 + FLOOR))
    assert pattern_distance(some, 2 * some) == pytest.approx(3 / (9 + FLOOR))


def test_the_outline_is_no_pattern() -> None:
    image = np.full((60, 60, 3), 250, dtype=np.uint8)
    area = np.zeros((60, 60), dtype=bool)
    area[15:45, 15:45] = True
    image[area] = (40, 60, 170)
    np.testing.assert_allclose(pattern_statistics(image, area), 0, atol=0.05)


def test_a_frame_without_the_garment_has_no_distance(pictures: dict[str, np.ndarray]) -> None:
    video, region = as_worn(pictures["plain"])
    region[1] = False
    colour = garment_colour_distance(video, region, picture_colours(pictures["plain"]))
    pattern = garment_pattern_distance(video, region, picture_pattern(pictures["plain"]))
    assert np.isnan(colour).tolist() == np.isnan(pattern).tolist() == [False, True]
