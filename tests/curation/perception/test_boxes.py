import numpy as np
import pytest

from curation.perception.boxes import (
    box_areas,
    box_overlap,
    closeness,
    grown_box,
    match_best_first,
)

ONE = np.array([0.0, 0, 2, 2])


def test_overlap_and_area_of_boxes():
    assert box_overlap(ONE, np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)
    assert box_overlap(ONE, np.array([5.0, 5, 6, 6])) == 0
    assert box_overlap(np.zeros(4), np.zeros(4)) == 0
    assert box_areas(np.stack([ONE, np.array([3.0, 0, 1, 1])])).tolist() == [4, 0]


def test_boxes_that_only_come_near_may_be_one_person():
    near, far = np.array([2.0, 0, 4, 2]) * [0.4, 1, 0.7, 1], np.array([9.0, 9, 11, 11])
    assert closeness(ONE, near, 0.0) > 0
    assert closeness(ONE, far, 0.0) == 0
    assert closeness(ONE, near, 0.5) == closeness(ONE, near, 0.0) + 0.5


def test_a_margin_ends_at_the_frame():
    assert grown_box(np.array([10.0, 20, 20, 40]), 0.25, 45, 100) == (7, 15, 23, 45)
    assert grown_box(np.zeros(4), 0.25, 45, 100) == (0, 0, 0, 0)


def test_the_best_pairs_are_matched_first_and_nothing_twice():
    assert match_best_first([(0.5, 0, 0), (0.9, 1, 0), (0.4, 0, 1)]) == {1: 0, 0: 1}
    assert match_best_first([(1.0, 1, 1), (1.0, 0, 1), (1.0, 0, 0)]) == {0: 0, 1: 1}
    assert match_best_first([]) == {}
