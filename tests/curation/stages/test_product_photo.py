"""Product photos, laid out like the garments that are cut out of frames."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from configs.errors import DataError
from curation.stages.garments import GROUND, GarmentConfig, lay_out
from curation.stages.product_photo import centre_on_ground, cut_out, lay_out_product
from datasets.synthetic.clips import render_garment
from datasets.synthetic.garments import GarmentSpec
from tests.product_fixtures import product_photo, save

_PLAIN_SHIRT = GarmentSpec(
    pattern="plain", base=(0.97, 0.97, 0.97), accent=(0.2, 0.2, 0.3), third=(0.5, 0.5, 0.5),
    period_m=0.08, figure="star", sleeves="long", neckline="crew", fit=0.5, length_m=0.63,
    trim=False,
)  # fmt: skip


def test_a_garment_is_cut_out_of_a_crumpled_ground():
    photo, truth = product_photo()
    mask = cut_out(photo)
    both, either = ((mask > 0) & (truth > 0)).sum(), ((mask > 0) | (truth > 0)).sum()
    assert both / either > 0.93


def _photo_on_white(*pieces):
    """A dark shirt on white cloth, with white pieces (left, top, right, bottom) on it."""
    random = np.random.default_rng(0)
    photo = np.full((320, 320, 3), 235.0)
    photo[60:290, 60:260] = (60, 40, 30)
    for left, top, right, bottom in pieces:
        photo[top:bottom, left:right] = 235
    return np.clip(photo + random.normal(0, 3, photo.shape), 0, 255).astype(np.uint8)


def test_the_ground_between_sleeves_and_torso_is_no_garment():
    gaps = ((96, 180, 108, 290), (212, 180, 224, 290))
    mask = cut_out(_photo_on_white(*gaps))
    assert not mask[190:280, 98:106].any()
    assert not mask[190:280, 214:222].any()
    assert mask[70:280, 120:200].all()  # the torso
    assert mask[190:280, 65:90].all()  # a sleeve


@pytest.mark.parametrize(
    "pieces",
    [
        [(140, 120, 180, 160)],  # a badge
        [(154, 60, 166, 290)],  # a zip
        [(left, 60, left + 10, 290) for left in range(70, 250, 24)],  # stripes
        [(60, top, 260, top + 10) for top in range(70, 280, 24)],
    ],
)
def test_a_pattern_in_the_grounds_colour_is_garment(pieces):
    assert cut_out(_photo_on_white(*pieces))[66:284, 66:254].all()


def test_thin_stripes_on_a_ground_in_the_colour_of_their_cloth_are_a_garment():
    rows = [(60, top, 260, top + 6) for top in range(63, 290, 9)]  # lines of 3 px are left
    mask = cut_out(_photo_on_white(*rows))
    assert mask[65:285, 65:255].all()
    assert not mask[:50].any()
    assert not mask[:, :50].any()


def _checked_shirt(*gaps):
    """Checks with light lines on a gray ground, which shows in gaps."""
    photo = np.full((320, 320, 3), (150, 152, 158), np.uint8)
    photo[60:290, 60:260] = (150, 105, 50)
    for first in range(60, 290, 12):
        for line, colour in ((first, (40, 35, 70)), (first + 5, (190, 190, 190))):
            photo[line : min(line + 2, 290), 60:260] = colour
            photo[60:290, min(line, 260) : min(line + 2, 260)] = colour
    for left, top, right, bottom in gaps:
        photo[top:bottom, left:right] = (140, 142, 148)
    noise = np.random.default_rng(0).normal(0, 20, photo.shape[:2])
    return np.clip(photo + cv2.GaussianBlur(noise, (0, 0), 3)[..., None], 0, 255).astype(np.uint8)


def test_gaps_are_found_beside_checks_with_light_lines():
    mask = cut_out(_checked_shirt((96, 180, 107, 290), (220, 180, 231, 290)))
    assert not mask[200:280, 98:105].any()
    assert not mask[200:280, 222:229].any()
    assert mask[70:280, 115:205].all()  # the torso
    assert cut_out(_checked_shirt())[66:284, 66:254].all()


def test_a_spot_of_light_beside_a_garment_is_none_of_it():
    photo = np.full((320, 320, 3), (130, 60, 35), np.uint8)
    photo[80:290, 60:260] = (140, 175, 180)
    plain = cut_out(photo)
    cv2.circle(photo, (80, 62), 12, (255, 190, 110), -1)
    assert np.array_equal(cut_out(photo), plain)


@pytest.mark.parametrize("base", [(0.97, 0.97, 0.97), (0.93, 0.9, 0.9)])
@pytest.mark.parametrize("sleeves", ["long", "short"])
def test_white_cloth_on_a_light_plain_ground_keeps_its_hem_and_sleeves(base, sleeves):
    spec = replace(_PLAIN_SHIRT, base=base, sleeves=sleeves)
    green = render_garment(replace(spec, base=(0.1, 0.6, 0.2)), 320, 240)
    truth = green.max(axis=-1).astype(int) - green.min(axis=-1) > 30
    noise = np.random.default_rng(0).normal(0, 2, (320, 240, 3))
    photo = np.clip(render_garment(spec, 320, 240) + noise, 0, 255).astype(np.uint8)
    mask = cut_out(photo) > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.94
    inner = cv2.erode(truth.astype(np.uint8), np.ones((3, 3))) > 0
    assert (inner & ~mask).sum() < 0.02 * inner.sum()


def test_cutting_out_twice_gives_the_same_mask():
    photo, _ = product_photo(seed=3)
    assert np.array_equal(cut_out(photo), cut_out(photo))


def _close_up():
    """Checked cloth that fills the frame."""
    y, x = np.mgrid[:120, :90]
    shade = 60 * ((x // 12) % 2) + 40 * ((y // 12) % 2)
    noise = np.random.default_rng(0).normal(0, 4, (120, 90, 3))
    return np.clip(80 + shade[..., None] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["plain", "dots", "close-up"])
def test_a_photo_without_a_garment_or_without_a_ground_is_not_cut_out(kind, tmp_path):
    photo = np.full((80, 60, 3), 128, np.uint8)
    if kind == "dots":  # of two colours, as dithering makes them: nothing looks like the border
        photo = np.asarray(Image.fromarray(product_photo()[0]).convert("1").convert("RGB"))
    if kind == "close-up":
        photo = _close_up()
    assert cut_out(photo) is None
    laid = lay_out_product(save(tmp_path / "g.png", photo), 80, 60)
    assert laid.is_whole


def test_proportions_are_kept():
    image = np.full((100, 40, 3), (10, 200, 30), np.uint8)
    placed, mask = centre_on_ground(image, np.full((100, 40), 255, np.uint8), 64, 64)
    shown = (placed != GROUND).any(-1)
    height, width = shown.any(1).sum(), shown.any(0).sum()
    assert height / width == pytest.approx(2.5, rel=0.06)
    np.testing.assert_array_equal(mask > 0, shown)


@pytest.mark.parametrize("is_transparent", [False, True])
def test_a_product_lies_where_the_same_garment_cut_out_of_a_frame_does(is_transparent, tmp_path):
    photo, truth = product_photo()
    stored = np.dstack([photo[..., ::-1], truth]) if is_transparent else photo
    path = save(tmp_path / "shirt.png", stored)
    picture, mask, is_whole = lay_out_product(path, 256, 192)
    assert not is_whole
    laid = lay_out(
        cv2.resize(photo, (192, 256)), cv2.resize(truth, (192, 256)) > 127, GarmentConfig().margin
    )
    worn = laid.mask > 0
    both, either = ((mask > 0) & worn).sum(), ((mask > 0) | worn).sum()
    assert both / either > 0.9
    assert (picture[:8] == GROUND).all()
    assert (laid.picture[:8] == GROUND).all()


def test_a_product_that_is_transparent_everywhere_gets_one_sentence(tmp_path):
    path = save(tmp_path / "g.png", np.zeros((20, 20, 4), np.uint8))
    with pytest.raises(DataError, match=r"g\.png is fully transparent"):
        lay_out_product(path, 64, 48)
