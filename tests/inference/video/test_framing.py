import numpy as np
import pytest

from inference.video.framing import frame_everything, frame_person


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(64, 48), (90, 160), (160, 90), (51, 77), (8, 8)])
def test_a_whole_frame_goes_in_and_comes_back_in_its_place(shape):
    framing = frame_everything(*shape, 128, 96)
    assert framing.height / framing.width == pytest.approx(128 / 96, rel=0.05)
    inside = framing.take(np.full((*shape, 3), 7, np.uint8))
    assert inside.shape == (128, 96, 3)
    assert (inside == 7).all()
    frame = noise(*shape)
    back = framing.put_back(frame, np.full((128, 96, 3), 200, np.uint8))
    assert back.shape == frame.shape
    assert (back == 200).all()


def test_the_same_size_passes_unchanged():
    framing = frame_everything(128, 96, 128, 96)
    frame = noise(128, 96)
    assert np.array_equal(framing.take(frame), frame)
    assert np.array_equal(framing.put_back(np.zeros_like(frame), frame), frame)


def test_a_persons_rectangle_holds_them_and_stays_in_the_frame():
    boxes = np.array([[300, 60, 360, 200], [310, 50, 380, 210]], np.float32)
    framing = frame_person(boxes, 240, 640, 128, 96)
    assert framing.top >= 0
    assert framing.left >= 0
    assert framing.top + framing.height <= 240
    assert framing.left <= 300
    assert framing.left + framing.width >= 380
    assert framing.height / framing.width == pytest.approx(128 / 96, rel=0.02)


def test_pixels_outside_the_rectangle_are_left_alone():
    framing = frame_person(np.array([[300, 60, 360, 200]], np.float32), 240, 640, 64, 48)
    frame = noise(240, 640)
    back = framing.put_back(frame, np.zeros((64, 48, 3), np.uint8))
    changed = (back != frame).any(-1)
    assert not changed[:, : framing.left].any()
    assert not changed[:, framing.left + framing.width :].any()
    assert changed[framing.top : framing.top + framing.height].any()


def test_masks_keep_every_painted_pixel_and_are_empty_beyond_the_edge():
    mask = np.zeros((90, 160), np.uint8)
    mask[40, 80] = 255
    framing = frame_everything(90, 160, 64, 48)
    taken = framing.take_mask(mask)
    assert set(np.unique(taken)) == {0, 255}
    assert taken[29:32, 23:26].any()
    assert (taken > 0).sum() <= 4
    assert not taken[0].any()
