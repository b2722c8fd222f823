import numpy as np
import pytest

from datasets.labels import CATEGORIES, DensePosePart, ParseLabel
from datasets.masks import (
    MARGINS,
    MaskSettings,
    below_hem,
    inpainting_mask,
    mask_rule,
)
from datasets.masks_over_time import close_in_time, fill_lapses, fill_unseen

P, D = ParseLabel, DensePosePart


def dancer(
    height: int = 160, width: int = 120, sleeve: int = 20, shift: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A blocky person: labels (height, width) and IUV (height, width, 3)."""
    labels, iuv = np.zeros((height, width), np.uint8), np.zeros((height, width, 3), np.uint8)

    def block(top: int, bottom: int, left: int, right: int, label: P, part: int) -> None:
        columns = slice(max(0, left + shift), max(0, right + shift))
        labels[top:bottom, columns] = label
        iuv[top:bottom, columns, 0] = part

    block(10, 16, 50, 66, P.HAIR, D.HEAD_LEFT)
    block(16, 30, 50, 66, P.FACE, D.HEAD_LEFT)
    block(30, 80, 42, 74, P.UPPER, D.TORSO_FRONT)
    block(32, 40, 74, 74 + sleeve, P.UPPER, D.UPPER_ARM_LEFT_FRONT)
    block(32, 40, 74 + sleeve, 100, P.ARMS, D.LOWER_ARM_LEFT_FRONT)
    block(32, 40, 100, 108, P.HANDS, D.HAND_LEFT)
    block(32, 40, 22, 42, P.UPPER, D.UPPER_ARM_RIGHT_FRONT)
    block(32, 40, 14, 22, P.HANDS, D.HAND_RIGHT)
    block(80, 120, 44, 56, P.LOWER, D.UPPER_LEG_RIGHT_FRONT)
    block(80, 120, 60, 72, P.LOWER, D.UPPER_LEG_LEFT_FRONT)
    block(120, 145, 44, 56, P.LEGS, D.LOWER_LEG_RIGHT_FRONT)
    block(120, 145, 60, 72, P.LEGS, D.LOWER_LEG_LEFT_FRONT)
    block(145, 152, 44, 56, P.FEET, D.FOOT_RIGHT)
    block(145, 152, 60, 72, P.FEET, D.FOOT_LEFT)
    return labels, iuv


def clip_of(*frames: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    labels, iuv = zip(*frames, strict=True)
    return np.stack(labels), np.stack(iuv)


@pytest.mark.parametrize(
    ("category", "covered", "kept"),
    [
        ("upper", (P.UPPER, P.ARMS), (P.FEET, P.LEGS)),
        ("lower", (P.LOWER, P.LEGS), (P.ARMS,)),
        ("overall", (P.UPPER, P.LOWER, P.ARMS, P.LEGS), ()),
    ],
)
def test_a_category_covers_its_garment_and_keeps_the_rest(
    category: str, covered: tuple[P, ...], kept: tuple[P, ...]
) -> None:
    labels, iuv = clip_of(*[dancer()] * 3)
    mask = inpainting_mask(labels, iuv, category)
    assert set(np.unique(mask)) == {0, 255}
    for label in covered:
        assert (mask[labels == label] == 255).all(), label
    for label in (P.FACE, P.HAIR, P.HANDS, P.FEET, *kept):
        assert (mask[labels == label] == 0).all(), label


def test_trousers_far_from_the_hem_stay_and_those_along_it_do_not() -> None:
    labels, iuv = clip_of(dancer())
    mask = inpainting_mask(labels, iuv, "upper")
    assert not mask[0, 90:120, 44:72].any()
    assert mask[0, 80:82, 46:54].all()


def test_the_outline_does_not_trace_the_garment() -> None:
    """A notch at the side of the top disappears in the mask's hull."""
    plain, notched = dancer(), dancer()
    notched[0][50:60, 68:74] = P.BACKGROUND
    notched[1][50:60, 68:74] = 0
    whole = inpainting_mask(*clip_of(plain), "upper")
    cut = inpainting_mask(*clip_of(notched), "upper")
    np.testing.assert_array_equal(whole[0, 45:65], cut[0, 45:65])


def test_sleeve_length_cannot_be_read_from_the_mask() -> None:
    short = inpainting_mask(*clip_of(dancer(sleeve=4)), "upper")
    long = inpainting_mask(*clip_of(dancer(sleeve=24)), "upper")
    union, shared = (short | long) > 0, (short & long) > 0
    assert shared.sum() / union.sum() > 0.97


def test_a_fast_sleeve_stays_covered_in_every_frame() -> None:
    """Majority voting over time uncovers it; closing never does."""
    labels, iuv = clip_of(*[dancer(shift=8 * step) for step in (-2, -1, 0, 1, 0, -1, -2)])
    mask = inpainting_mask(labels, iuv, "upper")
    assert (mask[labels == P.UPPER] == 255).all()
    assert (mask[labels == P.HANDS] == 0).all()


def test_a_garment_missed_for_a_frame_stays_covered() -> None:
    frames = [dancer() for _ in range(5)]
    frames[2][0][frames[2][0] == P.UPPER] = P.OTHER
    frames[2][1][..., 0] = 0
    labels, iuv = clip_of(*frames)
    mask = inpainting_mask(labels, iuv, "upper")
    assert (mask[2][labels[1] == P.UPPER] == 255).all()


def test_a_frame_without_a_person_takes_its_neighbours_masks() -> None:
    empty = np.zeros((160, 120), np.uint8), np.zeros((160, 120, 3), np.uint8)
    labels, iuv = clip_of(dancer(), empty, empty, empty, empty, empty, empty, dancer(shift=4))
    mask = inpainting_mask(labels, iuv, "upper")
    assert (mask[3][labels[0] == P.UPPER] == 255).all()
    assert (mask[3][labels[-1] == P.UPPER] == 255).all()


def test_a_clip_without_anybody_has_an_empty_mask() -> None:
    labels, iuv = np.zeros((4, 32, 48), np.uint8), np.zeros((4, 32, 48, 3), np.uint8)
    assert not inpainting_mask(labels, iuv, "overall").any()


def test_without_densepose_the_garment_is_still_covered() -> None:
    labels, iuv = clip_of(dancer())
    mask = inpainting_mask(labels, np.zeros_like(iuv), "upper")
    assert (mask[labels == P.UPPER] == 255).all()


@pytest.mark.parametrize(("height", "width"), [(161, 119), (153, 121), (200, 127)])
def test_any_sides_work(height: int, width: int) -> None:
    labels, iuv = clip_of(dancer(height, width))
    for category in CATEGORIES:
        assert inpainting_mask(labels, iuv, category).shape == (1, height, width)


def test_widths_grow_with_the_garment() -> None:
    labels, iuv = clip_of(dancer())
    large_labels = labels.repeat(2, axis=1).repeat(2, axis=2)
    large_iuv = iuv.repeat(2, axis=1).repeat(2, axis=2)
    small = inpainting_mask(labels, iuv, "upper").mean()
    large = inpainting_mask(large_labels, large_iuv, "upper").mean()
    assert large == pytest.approx(small, rel=0.05)


def test_closing_in_time_never_takes_away() -> None:
    rng = np.random.default_rng(0)
    masks = (rng.random((9, 12, 10)) < 0.3).astype(np.uint8) * 255
    closed = close_in_time(masks, 2)
    assert (closed >= masks).all()
    assert (closed > masks).any()
    np.testing.assert_array_equal(close_in_time(masks, 0), masks)


def test_only_frames_with_a_gap_are_closed() -> None:
    """An arm that swings away and back leaves no ghost; a part that was missed is filled."""
    masks = np.zeros((5, 20, 20), np.uint8)
    masks[:, 2:12, 2:12] = 255
    swinging = masks.copy()
    for step, top in enumerate((12, 14, 16, 14, 12)):
        swinging[step, top : top + 2, 2:12] = 255
    np.testing.assert_array_equal(fill_lapses(swinging, 2, 0.05), swinging)
    missed = masks.copy()
    missed[2, 2:12, 2:5] = 0
    np.testing.assert_array_equal(fill_lapses(missed, 2, 0.05), masks)


def test_a_sleeve_at_8_pixels_a_frame_stays_covered_at_its_edge() -> None:
    """The whole sleeve, in each frame of a swing of 8 px a frame and back, and no voting."""
    shifts = [8 * step for step in (0, 1, 2, 3, 2, 1, 0)]
    frames = []
    for shift in shifts:
        labels, iuv = dancer()
        for values, empty in ((labels, P.BACKGROUND), (iuv, 0)):
            sleeve = values[32:40, 74:108].copy()
            values[32:40, 74:108] = empty
            values[32 + shift : 40 + shift, 74:108] = sleeve
        frames.append((labels, iuv))
    labels, iuv = clip_of(*frames)
    mask = inpainting_mask(labels, iuv, "upper")
    for covered in (P.UPPER, P.ARMS):
        assert (mask[labels == covered] == 255).all()


def test_two_arms_far_apart_are_both_covered() -> None:
    """Keeping the largest piece only would drop one of them."""
    labels, iuv = dancer()
    for side, columns in (("left", slice(22, 42)), ("right", slice(74, 94))):
        labels[32:40, columns] = P.BACKGROUND  # the upper arms are hidden: nothing joins the pieces
        iuv[32:40, columns] = 0
        lower = slice(2, 14) if side == "left" else slice(104, 116)
        labels[100:116, lower] = P.UPPER
        iuv[100:116, lower, 0] = (
            D.LOWER_ARM_RIGHT_FRONT if side == "left" else D.LOWER_ARM_LEFT_FRONT
        )
    mask = inpainting_mask(*clip_of((labels, iuv)), "upper")
    assert (mask[0, 100:116, 2:14] == 255).all()
    assert (mask[0, 100:116, 104:116] == 255).all()


def test_unseen_frames_at_the_ends_take_what_there_is() -> None:
    masks = np.zeros((4, 2, 2), np.uint8)
    masks[1] = 255
    filled = fill_unseen(masks, np.array([False, True, False, False]))
    assert filled.all()


def test_an_unknown_category_and_a_negative_width_are_refused() -> None:
    labels, iuv = clip_of(dancer())
    with pytest.raises(ValueError, match=r"'hat'; upper, lower, overall"):
        inpainting_mask(labels, iuv, "hat")
    with pytest.raises(ValueError, match="widening is -1"):
        MaskSettings(widening=-1)


def test_hulls_fill_hollows_no_further_than_their_reach() -> None:
    labels, iuv = np.zeros((160, 120), np.uint8), np.zeros((160, 120, 3), np.uint8)
    for rows, columns in ((slice(20, 140), slice(20, 30)), (slice(130, 140), slice(20, 100))):
        labels[rows, columns], iuv[rows, columns, 0] = P.UPPER, D.TORSO_FRONT
    mask = {
        reach: inpainting_mask(labels[None], iuv[None], "upper", MaskSettings(hull_reach=reach))[0]
        for reach in (0.0, 0.2, 9.0)
    }
    areas = [int((mask[reach] > 0).sum()) for reach in (0.0, 0.2, 9.0)]
    assert areas[0] < areas[1] < areas[2]
    assert mask[9.0][80, 50] == 255  # within the convex hull
    assert mask[0.2][80, 50] == 0


@pytest.mark.parametrize("category", CATEGORIES)
def test_below_an_upper_garments_hem_is_what_covers_the_thighs(category: str) -> None:
    labels, iuv = dancer()
    labels[90:100, 44:56] = P.OTHER  # a bag in front of a thigh
    found = below_hem(labels, iuv[..., 0], mask_rule(category))
    if category != "upper":
        assert not found.any()
        return
    assert found[labels == P.LOWER].all()
    assert set(np.unique(labels[found])) <= {P.LOWER, P.LEGS}
    assert not found[126:].any()  # thighs end at 120


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("margin", MARGINS)
def test_what_is_in_front_of_a_person_is_never_painted(category: str, margin: str) -> None:
    """Where no hand holds it, too: a ball over the chest, a pole over trunk and legs."""
    labels, iuv = dancer()
    labels[50:60, 46:54] = P.IN_FRONT
    labels[40:130, 60:64] = P.IN_FRONT
    mask = inpainting_mask(labels[None], iuv[None], category, margin=margin)[0]
    assert mask.any()
    assert not mask[labels == P.IN_FRONT].any()
