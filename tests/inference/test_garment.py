import cv2
import numpy as np
import pytest

from configs.errors import DataError
from curation.stages.garments import GROUND
from inference.garment import centre_on_ground, cut_out, prepare_garment


def product_photo(height=200, width=160, seed=0):
    """A red shirt lying on crumpled gray cloth; and where it is."""
    random = np.random.default_rng(seed)
    cloth = random.normal(0, 1, (height // 10, width // 10)).astype(np.float32)
    photo = 175 + 10 * cv2.resize(cloth, (width, height), interpolation=cv2.INTER_CUBIC)
    photo = np.repeat(photo[..., None], 3, -1) + random.normal(0, 3, (height, width, 3))
    truth = np.zeros((height, width), np.uint8)
    cv2.rectangle(truth, (50, 50), (110, 160), 255, cv2.FILLED)
    cv2.fillPoly(truth, [np.array([[50, 50], [20, 100], [35, 110], [50, 85]])], 255)
    cv2.fillPoly(truth, [np.array([[110, 50], [140, 100], [125, 110], [110, 85]])], 255)
    photo[truth > 0] = np.array([170, 40, 50]) + random.normal(0, 6, (int((truth > 0).sum()), 3))
    return np.clip(photo, 0, 255).astype(np.uint8), truth


def save(path, image):
    cv2.imwrite(str(path), image[..., ::-1] if image.shape[-1] == 3 else image)
    return path


def test_a_garment_is_cut_out_of_a_crumpled_ground():
    photo, truth = product_photo()
    mask = cut_out(photo)
    both, either = ((mask > 0) & (truth > 0)).sum(), ((mask > 0) | (truth > 0)).sum()
    assert both / either > 0.93


def test_cutting_out_twice_gives_the_same_mask():
    photo, _ = product_photo(seed=3)
    assert np.array_equal(cut_out(photo), cut_out(photo))


def test_a_photo_without_a_garment_is_used_whole(caplog):
    plain = np.full((80, 60, 3), 128, np.uint8)
    assert (cut_out(plain) == 255).all()
    assert "used whole" in caplog.text


def test_a_prepared_garment_is_centred_on_the_plain_ground(tmp_path):
    photo, _ = product_photo()
    garment = prepare_garment(save(tmp_path / "g.png", photo), 128, 96)
    assert garment.shape == (128, 96, 3)
    assert garment.dtype == np.uint8
    assert (garment[0] == GROUND).all()
    assert (garment[-1] == GROUND).all()
    shirt = np.abs(garment.astype(int) - GROUND).sum(-1) > 60
    rows, columns = np.flatnonzero(shirt.any(1)), np.flatnonzero(shirt.any(0))
    assert abs((rows[0] + rows[-1]) / 2 - 63.5) <= 2
    assert abs((columns[0] + columns[-1]) / 2 - 47.5) <= 2
    assert np.abs(garment[60:70, 44:52].mean((0, 1)) - [170, 40, 50]).max() < 8


def test_proportions_are_kept():
    image = np.full((100, 40, 3), (10, 200, 30), np.uint8)
    placed = centre_on_ground(image, np.full((100, 40), 255, np.uint8), 64, 64)
    shown = (placed != GROUND).any(-1)
    height, width = shown.any(1).sum(), shown.any(0).sum()
    assert height / width == pytest.approx(2.5, rel=0.06)


def test_transparency_is_taken_for_the_outline(tmp_path):
    image = np.zeros((60, 60, 4), np.uint8)
    image[20:40, 10:50] = (0, 128, 255, 255)
    garment = prepare_garment(save(tmp_path / "g.png", image), 64, 64)
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
