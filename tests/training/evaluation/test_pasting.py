"""The garment pasted by DensePose: its picture arrives where the body's coordinates say."""

import numpy as np
import pytest
import torch

from datasets.places import body_cells
from models.places import OUTLINE, PlaceEstimator
from training.evaluation.pasting import paste_garment

HEIGHT, WIDTH = 64, 48


def torso() -> np.ndarray:
    """A frame full of torso: V grows to the right, U downwards."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    part = np.full((HEIGHT, WIDTH), 2)
    iuv = np.stack([part, 255 * y / (HEIGHT - 1), 255 * x / (WIDTH - 1)], axis=-1)
    return iuv.round().astype(np.uint8)[None]


@pytest.fixture(scope="module")
def estimator() -> PlaceEstimator:
    """x is V, y is U."""
    cells = body_cells(torch.from_numpy(torso()))[0].flatten(1).T.repeat(20, 1)
    found = PlaceEstimator()
    outlines = torch.rand(4, *OUTLINE, generator=torch.Generator().manual_seed(0))
    garment = torch.arange(len(cells)) % 4
    assert found.fit(cells, garment, outlines, cells[:, [2, 1]]) < 0.02
    return found


def garment() -> np.ndarray:
    """Left half red, right half blue, on a light ground."""
    picture = np.full((HEIGHT, WIDTH, 3), 245, np.uint8)
    picture[2:-2, 2 : WIDTH // 2] = (200, 20, 20)
    picture[2:-2, WIDTH // 2 : -2] = (20, 20, 200)
    return picture


def test_the_picture_arrives_where_the_body_says_and_nothing_else_changes(estimator) -> None:
    video = np.full((1, HEIGHT, WIDTH, 3), 90, np.uint8)
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[:, 8:-8, 8:-8] = True
    pasted = paste_garment(video, mask, torso(), garment(), estimator)[0]
    assert np.array_equal(pasted[~mask[0]], video[0][~mask[0]])
    left, right = pasted[16:-16, 10:18], pasted[16:-16, 30:38]
    assert np.abs(left.astype(int) - (200, 20, 20)).max() < 30
    assert np.abs(right.astype(int) - (20, 20, 200)).max() < 30


def test_where_no_body_is_the_mean_colour_fills_the_mask(estimator) -> None:
    video = np.full((1, HEIGHT, WIDTH, 3), 90, np.uint8)
    mask = np.ones((1, HEIGHT, WIDTH), bool)
    pasted = paste_garment(video, mask, np.zeros_like(torso()), garment(), estimator)
    assert len(np.unique(pasted.reshape(-1, 3), axis=0)) == 1
    assert abs(int(pasted[0, 0, 0, 0]) - 110) < 8


def test_sides_need_not_be_multiples_of_a_cell(estimator) -> None:
    video = np.full((1, 61, 45, 3), 90, np.uint8)
    mask = np.ones((1, 61, 45), bool)
    pasted = paste_garment(video, mask, torso()[:, :61, :45], garment(), estimator)
    assert pasted.shape == video.shape
    assert np.abs(pasted[0, 20:40, 8:18].astype(int) - (200, 20, 20)).max() < 30
