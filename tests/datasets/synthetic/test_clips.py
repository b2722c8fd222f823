from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest

from datasets.labels import ParseLabel
from datasets.synthetic.cast import SPLITS, ClipSpec, draw_clip, draw_target_garment
from datasets.synthetic.clips import RenderedClip, render_clip, render_frames, render_garment
from datasets.synthetic.garments import PATTERNS, draw_garment, paint_cloth


def _spec(index: int = 0, split: str = "train") -> ClipSpec:
    return draw_clip(0, split, index, height=256, width=192, num_frames=3, fps=12.0)


@lru_cache(maxsize=4)
def _clip(index: int = 0) -> RenderedClip:
    return render_clip(_spec(index))


def test_two_renders_of_a_spec_are_byte_identical():
    first, again = _clip(), render_clip(_spec())
    assert first.frames.tobytes() == again.frames.tobytes()
    assert first.parse.tobytes() == again.parse.tobytes()
    assert first.garment.tobytes() == again.garment.tobytes()


def test_truth_has_the_shapes_and_values_it_promises():
    clip = _clip()
    assert clip.frames.shape == (3, 256, 192, 3)
    assert clip.frames.dtype == clip.parse.dtype == clip.garment.dtype == np.uint8
    assert clip.parse.shape == clip.garment_mask.shape == clip.person_mask.shape == (3, 256, 192)
    assert clip.garment.shape == (256, 192, 3)
    assert set(np.unique(clip.parse)) <= {int(label) for label in ParseLabel}
    np.testing.assert_array_equal(clip.garment_mask == 255, clip.parse == ParseLabel.UPPER)
    np.testing.assert_array_equal(clip.person_mask == 255, clip.parse != ParseLabel.BACKGROUND)


@pytest.mark.parametrize("index", [0, 1, 5])
def test_a_dancer_shows_face_hair_cloth_and_hands_in_human_shares(index: int):
    clip = _clip(index)
    person = (clip.person_mask == 255).sum()
    assert 0.06 < person / clip.person_mask.size < 0.45
    shares = {label: (clip.parse == label).sum() / person for label in ParseLabel}
    assert 0.03 < shares[ParseLabel.FACE] < 0.30
    assert shares[ParseLabel.HAIR] > 0.01
    assert shares[ParseLabel.HANDS] > 0.003
    assert 0.12 < shares[ParseLabel.UPPER] < 0.65


def test_another_garment_changes_nothing_but_the_garment_and_its_sleeves():
    spec = _spec(2)
    target = replace(draw_target_garment(spec), sleeves="long")
    source = replace(spec.dancers[0].figure.garment, sleeves="short")
    worn, tried = render_clip(spec.wearing(source)), render_clip(spec.wearing(target))
    touched = (worn.garment_mask == 255) | (tried.garment_mask == 255)
    difference = np.abs(worn.frames.astype(int) - tried.frames.astype(int)).max(axis=-1)
    # contact shade and antialiased borders reach a few pixels past the cloth
    reach = np.stack([_grown(mask, 6) for mask in touched])
    assert difference[~reach].max() <= 6
    assert difference[touched].mean() > 20
    np.testing.assert_array_equal(worn.parse[~reach], tried.parse[~reach])


def test_a_pattern_moves_with_the_body_that_wears_it():
    """The print's centre keeps its place relative to the collar-to-hem box of the garment."""
    spec = _spec(4)
    garment = replace(
        draw_garment(np.random.default_rng(0)), pattern="figure", figure="sun",
        base=(0.9, 0.9, 0.9), accent=(0.8, 0.05, 0.05), third=(0.8, 0.05, 0.05), trim=False,
    )  # fmt: skip
    spec = replace(spec, num_frames=4, fps=2.0).wearing(garment)
    frames, parse = zip(*render_frames(spec), strict=True)
    places = []
    for frame, labels in zip(frames, parse, strict=True):
        cloth = labels == ParseLabel.UPPER
        red = cloth & (frame[..., 0].astype(int) - frame[..., 1] > 60)
        assert red.sum() > 40
        rows = np.nonzero(cloth)[0]
        places.append((np.nonzero(red)[0].mean() - rows.max()) / (rows.max() - rows.min()))
    assert np.std(places) < 0.08


def test_splits_share_neither_identity_nor_garment():
    seen = [
        (spec.dancers[0].face.skin, spec.dancers[0].figure.garment.base)
        for split in SPLITS
        for spec in (_spec(index, split) for index in range(25))
    ]
    assert len({skin for skin, _ in seen}) == len(seen)
    assert len({garment for _, garment in seen}) == len(seen)


def test_garments_come_in_every_pattern_and_both_sleeve_lengths():
    rng = np.random.default_rng(0)
    garments = [draw_garment(rng) for _ in range(120)]
    assert {garment.pattern for garment in garments} == set(PATTERNS)
    assert {garment.sleeves for garment in garments} == {"short", "long"}
    assert {garment.neckline for garment in garments} == {"crew", "v", "scoop"}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_patterned_cloth_has_more_colours_than_a_plain_one(pattern: str):
    garment = replace(draw_garment(np.random.default_rng(1)), pattern=pattern, trim=False)
    torso = paint_cloth(garment).torso[120:260]
    assert (torso.std(axis=(0, 1)).max() > 0.03) == (pattern != "plain")


def test_the_product_picture_shows_the_garment_alone_on_a_light_ground():
    garment = replace(draw_garment(np.random.default_rng(3)), pattern="plain", base=(0.1, 0.2, 0.7))
    picture = render_garment(garment, 256, 192).astype(int)
    assert picture[:8].min() > 225
    assert picture[-8:].min() > 225
    blue = picture[..., 2] - picture[..., 0] > 40
    assert 0.15 < blue.mean() < 0.6
    columns = np.nonzero(blue)[1]
    assert abs(columns.mean() - 95.5) < 4


def test_an_empty_room_has_nobody_in_it():
    clip_frames, parse = zip(*render_frames(replace(_spec(), dancers=(), shifts_m=())), strict=True)
    assert not np.stack(parse).any()
    assert np.stack(clip_frames).std() > 5


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0
