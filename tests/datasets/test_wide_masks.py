"""Wide masks, on drawn and on rendered people whose true labels are known."""

from functools import cache
from itertools import product

import cv2
import numpy as np
import pytest

from datasets.labels import DensePosePart, ParseLabel
from datasets.masks import MARGINS, held_things, inpainting_mask, mask_rule
from datasets.synthetic.clips import render_frames
from datasets.synthetic.dataset import draw_clip
from tests.bench.masks import painted_by_tools
from tests.datasets.test_masks import clip_of, dancer

P, D = ParseLabel, DensePosePart
DANCERS = {"skirt": 10, "slim": 18, "wide": 0, "shorts": 1}
"""Of the training split, by what they wear below the waist."""


@cache
def true_labels(lower: str) -> np.ndarray:
    """Three moments of a rendered dancer, (3, 160, 120)."""
    spec = draw_clip(0, "train", DANCERS[lower], height=160, width=120, num_frames=3, fps=1.5)
    assert spec.dancers[0].figure.lower == lower
    labels = np.stack([labels for _, labels in render_frames(spec)])
    assert (labels == P.HANDS).any()
    return labels


def wide_mask(labels: np.ndarray, category: str, margin: str | None = None) -> np.ndarray:
    """The mask of labels alone: without DensePose every hull is one."""
    return inpainting_mask(labels, np.zeros((*labels.shape, 3), np.uint8), category, margin=margin)


@pytest.mark.parametrize("lower", sorted(DANCERS))
def test_a_lower_mask_is_as_large_as_tools_paint_and_keeps_the_person(lower: str) -> None:
    labels = true_labels(lower)
    mask = wide_mask(labels, "lower") > 0
    for painted, truth in zip(mask, labels, strict=True):
        region = painted_by_tools(truth)
        assert (painted & region).sum() >= 0.95 * region.sum()
    assert mask[labels == P.LOWER].all()
    for label in (P.FACE, P.HAIR, P.HANDS, P.FEET):
        assert not mask[labels == label].any(), label
    tight = wide_mask(labels, "lower", "tight") > 0
    assert tight.sum() < 0.95 * mask.sum()


def with_bag(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels with a bag below a hand, in front of the legs, and where it is."""
    labels, bag = labels.copy(), np.zeros(labels.shape, bool)
    for frame, shown in zip(labels, bag, strict=True):
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((frame == P.HANDS).astype(np.uint8))
        if len(stats) == 1:
            continue  # both hands are out of the picture
        hand = int(stats[1:, cv2.CC_STAT_AREA].argmax()) + 1
        row, column = (int(values.max()) for values in np.nonzero(pieces == hand))
        shown[row + 1 : row + 26, max(0, column - 16) : column + 4] = True
        shown &= ~np.isin(frame, (P.HANDS, P.FACE, P.HAIR))
        frame[shown] = P.OTHER
    return labels, bag


@pytest.mark.parametrize(("category", "margin"), product(("upper", "lower", "overall"), MARGINS))
def test_what_a_hand_holds_stays(category: str, margin: str) -> None:
    labels, bag = with_bag(true_labels("wide"))
    assert bag.any(axis=(1, 2)).sum() >= 2
    iuv = np.zeros((*labels.shape, 3), np.uint8)
    iuv[..., 0] = np.where(labels > 0, D.TORSO_FRONT, 0)  # the body continues behind the bag
    mask = inpainting_mask(labels, iuv, category, margin=margin)
    assert not mask[bag].any()


def test_a_neck_is_painted_even_where_a_hand_touches_it() -> None:
    labels, _ = dancer()
    labels[30:34, 54:62] = P.OTHER
    labels[34:38, 54:62] = P.HANDS
    assert not held_things(labels).any()
    labels[29:31, 54:62] = P.BACKGROUND  # away from the head: a thing
    assert held_things(labels).sum() == 3 * 8


def test_below_an_old_hem_a_wide_upper_mask_has_room_for_a_longer_top() -> None:
    labels, iuv = clip_of(dancer())
    tight = inpainting_mask(labels, iuv, "upper")[0] > 0
    wide = inpainting_mask(labels, iuv, "upper", margin="wide")[0] > 0
    assert not tight[84:120, 44:72].any()
    assert wide[80:88, 44:72].all()  # over the trousers, and between them
    assert not wide[100:120, 44:72].any()
    assert (wide | ~tight).all()
    assert wide[55, 75:80].all()  # beside the torso: a looser top
    for label in (P.FACE, P.HAIR, P.HANDS, P.FEET, P.LEGS):
        assert not wide[labels[0] == label].any(), label


def test_a_hem_cannot_be_read_from_a_wide_lower_mask() -> None:
    """Trousers and shorts over the same legs give one outline."""
    trousers, shorts = dancer(), dancer()
    trousers[0][120:145][trousers[0][120:145] == P.LEGS] = P.LOWER
    shorts[0][100:120][shorts[0][100:120] == P.LOWER] = P.LEGS
    masks = [inpainting_mask(*clip_of(one), "lower") for one in (trousers, shorts)]
    np.testing.assert_array_equal(*masks)
    assert masks[0][0, 100:140, 57:59].all()  # between the legs


def test_each_category_has_its_own_margin_and_others_are_named() -> None:
    margins = {name: mask_rule(name).margin for name in ("upper", "lower", "overall")}
    assert margins == {"upper": "tight", "lower": "wide", "overall": "wide"}
    assert mask_rule("upper", "wide").margin == "wide"
    told = "margin is 'broad'; tight or wide is accepted, or null for the category's own"
    with pytest.raises(ValueError, match=told):
        mask_rule("upper", "broad")
