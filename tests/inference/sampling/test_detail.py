"""The garment's own pixels in enlarged frames: where, and where not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from datasets.places import outline_of
from datasets.sample import bytes_to_signed
from inference.sampling.detail import MOST, ClothDetail
from models.codecs.vae import CodecConfig
from models.conditions import Conditions
from models.diffusion import DiffusionConfig
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.text import CaptionConfig
from models.viton_dit import VitonDiTConfig

HEIGHT, WIDTH = 64, 48
TORSO, HAND, THIGH, UPPER_ARM, LOWER_ARM, HEAD = 2, 4, 10, 15, 19, 23  # DensePose parts


@torch.no_grad()
def build(warped_garment: bool = True) -> System:
    """A network whose places are where the cell itself is: a picture on a body as large as it."""
    trunk = STDiTConfig(
        in_channels=16, out_channels=16, dim=32, depth=2, num_heads=4, patch_size=(1, 1, 1),
        caption_dim=16, caption_length=4,
    )  # fmt: skip
    torch.manual_seed(0)
    system = build_system(
        SystemConfig(
            network=VitonDiTConfig(
                trunk=trunk, fusion="places", warm_start=True, warped_garment=warped_garment
            ),
            codec=CodecConfig(kind="dct", latent_channels=16),
            caption=CaptionConfig(kind="null"),
            diffusion=DiffusionConfig(learned_range=False),
            height=HEIGHT, width=WIDTH, num_frames=1, densepose="iuv",
        )
    )  # fmt: skip
    places = system.network.garment.places
    assert places is not None
    places.fitted.fill_(1)
    places.weights.zero_()
    places.weights[:, 1, 0, 0] = 1.0  # x = u
    places.weights[:, 2, 0, 1] = 1.0  # y = v
    places.weights[:, 0, 0, 1] = 0.5
    return system


@torch.no_grad()
def conditions(system: System, picture: np.ndarray) -> Conditions:
    small = torch.from_numpy(picture[::MOST, ::MOST].copy())
    latents = system.codec.encode_images(bytes_to_signed(small).permute(2, 0, 1)[None])
    caption = system.network.encode_caption(*system.captions(1))
    outline = torch.from_numpy(outline_of(picture))[None] / 255
    garment = system.network.encode_garment(latents, caption, outline)
    return Conditions(caption=caption, garment=garment)


def picture() -> np.ndarray:
    """Fine stripes, far finer than a frame's pixels; the corner is the plain ground."""
    stripes = np.full((MOST * HEIGHT, MOST * WIDTH, 3), 240, np.uint8)
    stripes[32:-32, 32:-32] = 30
    stripes[32:-32:4, 32:-32] = (200, 40, 60)
    return stripes


def upright_iuv(frames: int = 2) -> np.ndarray:
    iuv = np.zeros((frames, MOST * HEIGHT, MOST * WIDTH, 3), np.uint8)
    iuv[..., 0] = TORSO
    iuv[..., 1] = (np.arange(MOST * WIDTH) + 0.5) / (MOST * WIDTH) * 255
    iuv[..., 2] = ((np.arange(MOST * HEIGHT) + 0.5) / (MOST * HEIGHT) * 255)[:, None]
    return iuv


def painted(frames: int = 2) -> np.ndarray:
    return np.full((frames, HEIGHT, WIDTH, 3), 120, np.uint8)


def detail(system: System, height: int = MOST * HEIGHT) -> ClothDetail:
    small = [upright_iuv()[:, MOST // 2 :: MOST, MOST // 2 :: MOST]]
    return ClothDetail(system, conditions(system, picture()), picture(), height, small, 30.0)


ALL = slice(0, 2)
MASKS = np.full((2, MOST * HEIGHT, MOST * WIDTH), 255, np.uint8)


def test_stripes_finer_than_a_painted_pixel_come_back() -> None:
    shown, _ = detail(build())(ALL, painted(), MASKS, upright_iuv())
    assert shown.shape == (2, MOST * HEIGHT, MOST * WIDTH, 3)
    inside = shown[:, 80:-80, 80:-80].astype(int)
    assert np.ptp(inside[..., 0], axis=1).min() > 100  # stripe and ground, in every column
    assert np.abs(inside.mean(axis=(0, 1, 2)) - [72, 32, 37]).max() < 12
    assert (shown[:, -16:, :16] == 120).all()  # the picture's ground is no cloth


def test_nothing_is_added_outside_mask_and_body() -> None:
    masks, iuv = MASKS.copy(), upright_iuv()
    masks[:, :, : MOST * WIDTH // 2] = 0
    iuv[:, MOST * HEIGHT // 2 :, :, 0] = 0
    shown, _ = detail(build())(ALL, painted(), masks, iuv)
    margin = 2 * MOST  # the border is soft
    assert (shown[:, :, : MOST * WIDTH // 2 - margin] == 120).all()
    assert (shown[:, MOST * HEIGHT // 2 + margin :] == 120).all()
    assert not (shown[:, 64:100, 120:140] == 120).all()


def test_a_longer_garment_covers_what_is_worn_below_the_old_ones_hem() -> None:
    masks, hem = MASKS.copy(), np.zeros(MASKS.shape, bool)
    masks[:, MOST * HEIGHT // 2 :] = 0
    hem[:, MOST * HEIGHT // 2 :, : MOST * WIDTH // 2] = True
    shown, covered = detail(build())(ALL, painted(), masks, upright_iuv(), hem)
    assert covered is not None
    assert not covered[~hem].any()
    row, middle, margin = MOST * HEIGHT // 2 + 20, MOST * WIDTH // 2, 2 * MOST
    assert covered[:, row, 80 : middle - margin].all()
    assert np.ptp(shown[:, row : row + 12, 80 : middle - margin, 0].astype(int), axis=1).min() > 100
    assert (shown[:, row, middle + margin :] == 120).all()
    assert not covered[:, -16:].any()  # the garment ends there


def test_a_torsos_cloth_does_not_grow_onto_a_bare_arm_nor_up_the_neck() -> None:
    middle, neck = MOST * WIDTH // 2, MOST * HEIGHT // 2
    iuv = upright_iuv()
    iuv[:, :, middle:, 0] = LOWER_ARM  # bare: nothing in the picture stands out as a sleeve
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv)
    margin = 2 * MOST
    assert not (shown[:, neck, middle - 60 : middle - margin] == 120).all(axis=-1).any()
    assert (shown[:, neck, middle + margin : middle + 20] == 120).all()
    iuv = upright_iuv()
    iuv[:, 40:120, :, 0] = HEAD
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv)
    assert (shown[:, 45:70, middle] == 120).all()  # the upper half of the neck is bare
    assert not (shown[:, 95:110, middle] == 120).all(axis=-1).any()


def test_below_its_armholes_a_sleeveless_top_ends_where_arms_begin() -> None:
    iuv, middle = upright_iuv(), MOST * WIDTH // 2
    for step in range(8):  # closing and smoothing cross a boundary like this one
        rows = slice(40 + 22 * step, 40 + 22 * (step + 1))
        iuv[:, rows, middle + (4 if step % 2 else -4) :, 0] = UPPER_ARM
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv)
    assert not (shown[:, 170:205, middle - 30 : middle - 12] == 120).all(axis=-1).any()
    assert (shown[:, 170:205, middle + 9 :] == 120).all()


def test_sleeves_show_their_own_colour_where_places_lie_on_the_torso() -> None:
    raglan = np.full((MOST * HEIGHT, MOST * WIDTH, 3), 240, np.uint8)
    raglan[40:60, 20:172], raglan[60:220, 20:50], raglan[60:220, 142:172] = (
        (20, 20, 20),
        (20, 20, 20),
        (20, 20, 20),
    )
    raglan[40:220, 70:122] = (200, 170, 20)
    iuv = upright_iuv()
    iuv[:, 96:192, 64:128, 0] = LOWER_ARM  # whose places are those of the picture's torso
    small = [iuv[:, MOST // 2 :: MOST, MOST // 2 :: MOST]]
    system = build()
    dressed = ClothDetail(system, conditions(system, raglan), raglan, MOST * HEIGHT, small, 30.0)
    shown, _ = dressed(ALL, painted(), MASKS, iuv)
    arm = shown[:, 140:160, 92:100].astype(int).mean(axis=(0, 1, 2))
    assert np.abs(arm - 20).max() < 20


def test_a_hem_does_not_grow_down_beside_a_hand_that_hangs_there() -> None:
    row = MOST * HEIGHT // 2
    iuv = upright_iuv()
    iuv[:, row:, :, 0] = THIGH
    iuv[:, row:, 110:130, 0] = HAND
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv)
    assert not (shown[:, row + 8, 60:80] == 120).all(axis=-1).any()
    assert (shown[:, row + 8, 102:108] == 120).all()


def test_a_collar_covers_all_that_is_masked_of_a_neck() -> None:
    turtleneck = picture()
    turtleneck[32:56, :80], turtleneck[32:56, -80:] = 240, 240
    small = [upright_iuv()[:, MOST // 2 :: MOST, MOST // 2 :: MOST]]
    system, iuv = build(), upright_iuv()
    iuv[:, 24:72, :, 0] = HEAD
    for garment, is_covered in ((turtleneck, True), (picture(), False)):
        shown, _ = ClothDetail(
            system, conditions(system, garment), garment, MOST * HEIGHT, small, 30.0
        )(ALL, painted(), MASKS, iuv)
        is_bare = (shown[:, 36:40, 90:100] == 120).all(axis=-1)
        assert is_bare.any() != is_covered
        assert is_bare.all() != is_covered


def test_white_cloth_in_full_light_stays_white() -> None:
    system, white = build(), picture()
    white[32:-32, 32:-32] = 255
    white[:32], white[-32:], white[:, :32], white[:, -32:] = 20, 20, 20, 20
    small = [upright_iuv()[:, MOST // 2 :: MOST, MOST // 2 :: MOST]]
    bright = ClothDetail(system, conditions(system, white), white, MOST * HEIGHT, small, 30.0)
    shown, _ = bright(ALL, painted(), MASKS, upright_iuv())
    assert shown[:, 100:-100, 80:-80].min() == 255


def test_a_bare_arm_in_front_of_the_torso_stays_bare_however_thin() -> None:
    row = MOST * HEIGHT // 2
    iuv = upright_iuv()
    iuv[:, row - 5 : row + 5, :, 0] = LOWER_ARM  # thinner than the gaps that are closed in cloth
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv)
    assert (shown[:, row, 60:-60] == 120).all()
    assert not (shown[:, row - 20, 60:-60] == 120).all(axis=-1).any()


def test_skin_has_the_colour_that_the_source_shows() -> None:
    iuv, masks = upright_iuv(), MASKS.copy()
    iuv[:, :60, :, 0] = HEAD
    masks[:, :40] = 0
    skin = np.array([200, 150, 130], np.uint8)
    source = np.broadcast_to(skin, (2, MOST * HEIGHT, MOST * WIDTH, 3)).copy()
    shown, _ = detail(build())(ALL, painted(), masks, iuv, source=source)
    tone = shown[0, 48, MOST * WIDTH // 2].astype(int)
    assert 0.8 * skin[0] < tone[0] <= skin[0]
    assert tone[0] - tone[2] > 40
    gray, _ = detail(build())(ALL, painted(), masks, iuv)
    assert (gray[0, 48, MOST * WIDTH // 2] == 120).all()


def test_arms_that_the_source_shows_bare_stay_as_they_are() -> None:
    iuv, bare = upright_iuv(), np.zeros(MASKS.shape, bool)
    iuv[:, 60:200, :60, 0] = LOWER_ARM
    bare[:, 60:200, 10:50] = True
    rng = np.random.default_rng(0)
    source = rng.integers(90, 220, (2, MOST * HEIGHT, MOST * WIDTH, 3), np.uint8)
    shown, _ = detail(build())(ALL, painted(), MASKS, iuv, source=source, bare=bare)
    assert np.array_equal(shown[:, 80:180, 20:40], source[:, 80:180, 20:40])
    assert not (shown[:, 80:180, 80:100] == source[:, 80:180, 80:100]).all(axis=-1).any()


@pytest.mark.parametrize(
    ("height", "scale"), [(10, 1), (HEIGHT, 1), (HEIGHT + 1, 2), (3 * HEIGHT, 3), (5000, MOST)]
)
def test_frames_are_as_large_as_the_source_shows_them(height: int, scale: int) -> None:
    assert detail(build(), height).scale == scale


@pytest.mark.parametrize("missing", ["setting", "garment", "outline"])
def test_without_places_frames_stay_as_they_are(missing: str) -> None:
    system = build(warped_garment=missing != "setting")
    seen: Any = conditions(system, picture())
    if missing == "garment":
        seen = replace(seen, garment=None)
    if missing == "outline":
        seen = replace(seen, garment=replace(seen.garment, outline=None))
    frames = painted()
    small = [upright_iuv()[:, MOST // 2 :: MOST, MOST // 2 :: MOST]]
    shown = ClothDetail(system, seen, picture(), MOST * HEIGHT, small, 30.0)
    found, hem = shown(ALL, frames, MASKS, upright_iuv())
    assert found is frames
    assert hem is None
