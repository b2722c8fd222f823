"""A painted frame put back: a soft seam, and the source's own background."""

import numpy as np
import pytest

from datasets.labels import ParseLabel
from datasets.masks import inpainting_mask
from inference.sampling.seam import paste


def test_a_pasted_seam_fades_from_the_source_into_the_painting():
    source, painted = np.zeros((60, 60, 3), np.uint8), np.full((60, 60, 3), 200, np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 255
    pasted = paste(source, painted, mask)[30, :, 0]
    assert (pasted[:10] == 0).all()
    assert pasted[30] == 200
    assert (np.diff(pasted[:30].astype(int)) >= 0).all()
    assert np.array_equal(paste(source, painted, mask * 0), source)


def test_background_beside_the_person_stays_the_sources() -> None:
    source, painted = np.full((100, 100, 3), 10, np.uint8), np.full((100, 100, 3), 200, np.uint8)
    mask, person = np.zeros((2, 100, 100), np.uint8)
    mask[10:90, 10:90] = 255
    person[:, 10:60] = 255
    row = paste(source, painted, mask, person)[50, :, 0]
    assert (row[20:60] == 200).all()
    assert (row[66:] == 10).all()
    assert (np.diff(row[58:68].astype(int)) <= 0).all()  # a seam between the two
    person[:, 15:] = 0  # DensePose saw hardly anything of them
    assert np.array_equal(paste(source, painted, mask, person), paste(source, painted, mask))


def test_background_between_arm_and_body_stays_exactly_though_densepose_covers_it() -> None:
    source, painted = np.full((100, 100, 3), 10, np.uint8), np.full((100, 100, 3), 200, np.uint8)
    mask, person = np.zeros((2, 100, 100), np.uint8)
    mask[10:90, 10:90], person[10:90, 10:90] = 255, 255
    ground = np.zeros((100, 100), bool)
    ground[:, 40:60] = True
    row = paste(source, painted, mask, person, ground)[50, :, 0]
    assert (row[43:57] == 10).all()
    assert (row[25:38] == 200).all()
    assert (row[62:75] == 200).all()


@pytest.mark.parametrize(("height", "width"), [(480, 360), (1080, 1920)])
def test_the_old_garment_does_not_shine_through_where_the_mask_reaches_beyond_it(height, width):
    labels = np.zeros((1, height, width), np.uint8)
    labels[:, 120:400, 100:260] = int(ParseLabel.UPPER)
    mask = inpainting_mask(labels, np.zeros((1, height, width, 3), np.uint8), "upper")[0]
    source = np.where(labels[0, ..., None] > 0, np.uint8(200), np.uint8(90)) * np.ones(3, np.uint8)
    painted = np.full_like(source, 20)
    pasted = paste(source, painted, mask)
    inner = labels[0] > 0
    assert (pasted[inner] < 60).all()  # a quarter of the way to the old garment, at most
    assert (pasted[mask == 0] == 90).all()
