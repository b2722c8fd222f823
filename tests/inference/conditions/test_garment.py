import numpy as np
import pytest

from configs.errors import DataError
from curation.stages.garments import GROUND
from inference.conditions.garment import prepare_garment
from inference.errors import GarmentUnreadable
from tests.product_fixtures import product_photo, save


def test_a_prepared_garment_is_centred_on_the_plain_ground(tmp_path):
    photo, _ = product_photo()
    garment = prepare_garment(save(tmp_path / "g.png", photo), 128, 96).picture
    assert garment.shape == (128, 96, 3)
    assert garment.dtype == np.uint8
    assert (garment[0] == GROUND).all()
    assert (garment[-1] == GROUND).all()
    shirt = np.abs(garment.astype(int) - GROUND).sum(-1) > 60
    rows, columns = np.flatnonzero(shirt.any(1)), np.flatnonzero(shirt.any(0))
    assert abs((rows[0] + rows[-1]) / 2 - 63.5) <= 2
    assert abs((columns[0] + columns[-1]) / 2 - 47.5) <= 2
    assert np.abs(garment[60:70, 44:52].mean((0, 1)) - [170, 40, 50]).max() < 8


def test_transparency_is_taken_for_the_outline(tmp_path):
    image = np.zeros((60, 60, 4), np.uint8)
    image[20:40, 10:50] = (0, 128, 255, 255)
    garment = prepare_garment(save(tmp_path / "g.png", image), 64, 64).picture
    assert (garment[2, 2] == GROUND).all()
    assert np.abs(garment[32, 32].astype(int) - [255, 128, 0]).max() <= 2


def test_a_garment_file_that_is_no_image_gets_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"g\.png does not exist"):
        prepare_garment(tmp_path / "g.png", 64, 48)
    (tmp_path / "g.png").write_text("not a picture")
    with pytest.raises(DataError, match="is no image that can be read"):
        prepare_garment(tmp_path / "g.png", 64, 48)
    whole = save(tmp_path / "whole.png", product_photo()[0]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:500])
    with pytest.raises(DataError, match="is no image that can be read"):
        prepare_garment(tmp_path / "cut.png", 64, 48)
    clear = np.zeros((20, 20, 4), np.uint8)
    with pytest.raises(DataError, match="transparent everywhere"):
        prepare_garment(save(tmp_path / "clear.png", clear), 64, 48)


def test_a_photo_in_which_no_garment_stands_out_is_refused_with_what_to_do(tmp_path):
    path = save(tmp_path / "wall.png", np.full((80, 60, 3), 128, np.uint8))
    with pytest.raises(GarmentUnreadable, match=r"wall\.png: no garment stands out.*PNG.*=product"):
        prepare_garment(path, 64, 48)


def test_a_photo_that_is_asked_for_as_a_product_is_taken_whole_and_that_is_said(tmp_path, caplog):
    path = save(tmp_path / "cloth.png", np.full((80, 60, 3), 128, np.uint8))
    prepared = prepare_garment(path, 64, 48, kind="product")
    assert (prepared.picture[20:40, 15:30] == 128).all()
    assert "all of it was taken for cloth" in prepared.remarks[0]
    assert prepared.remarks[0] in caplog.text
    photo, _ = product_photo()
    assert prepare_garment(save(tmp_path / "g.png", photo), 64, 48, kind="product").remarks == ()
