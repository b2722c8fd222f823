"""Colour, class and structure against the truth; intervals; what needs no network."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluation.baselines import GRAY, fill
from training.experiments.judging import (
    ClipScore,
    behind_things,
    interval_apart,
    judge_clip,
    summarise,
)
from training.experiments.pattern_classifier import PatternClassifier, TrainedClassifier

RED, BLUE = np.uint8([200, 40, 40]), np.uint8([40, 60, 200])


class Stripes(TrainedClassifier):
    """Calls everything stripes whose rows differ; everything else plain."""

    def clip_class(self, crops):
        if not len(crops):
            return "unseen"
        rows = crops[:, 10:-10, crops.shape[2] // 2, :3]
        return "stripes" if rows.std(axis=1).max() > 20 else "plain"


@pytest.fixture
def classifier():
    return Stripes(network=PatternClassifier(), accuracy={})


@pytest.fixture
def scene():
    """Source, truth, garment and mask: a garment of red and white stripes on gray."""
    truth = np.full((5, 64, 48, 3), 120, np.uint8)
    garment = np.zeros(truth.shape[:3], bool)
    garment[:, 16:48, 12:36] = True
    truth[:, 16:48, 12:36] = RED
    truth[:, 16:48:8, 12:36] = truth[:, 17:48:8, 12:36] = 255
    mask = np.zeros_like(garment)
    mask[:, 14:52, 10:40] = True
    return np.where(garment[..., None], BLUE, truth), truth, garment, mask


def score(scene, painted, classifier) -> ClipScore:
    _, truth, garment, mask = scene
    return judge_clip("a", painted, truth, garment, mask, "stripes", classifier)


def test_the_truth_is_perfect_and_the_old_garment_is_not(scene, classifier):
    source, truth, _, _ = scene
    perfect, old = score(scene, truth, classifier), score(scene, source, classifier)
    assert (perfect.delta_e, perfect.ssim) == (0.0, pytest.approx(1.0))
    assert perfect.columns["close_colour"] == 1
    assert perfect.columns["right_class"] == 1
    assert old.delta_e > 60
    assert old.ssim < 0.7
    assert old.columns["close_colour"] == 0
    assert old.columns["right_class"] == 0


def test_the_mean_colour_is_close_in_colour_and_wrong_in_class(scene, classifier):
    source, truth, garment, mask = scene
    mean = truth[garment].mean(axis=0).astype(np.uint8)
    flat = score(scene, fill(source, mask, mean), classifier)
    gray = score(scene, fill(source, mask, GRAY), classifier)
    assert flat.delta_e < 1.5
    assert flat.columns["close_colour"] == 1
    assert flat.said == "plain"
    assert gray.delta_e > 12
    np.testing.assert_array_equal(fill(source, mask, GRAY)[~mask], source[~mask])


def test_what_goes_wrong_at_the_end_shows_in_the_last_quarter(scene, classifier):
    source, truth, _, _ = scene
    painted = truth.copy()
    painted[-1] = source[-1]
    found = score(scene, painted, classifier)
    assert found.last_ssim < 0.7 < found.ssim


def test_a_garment_that_nobody_sees_is_not_guessed(scene, classifier):
    _, truth, garment, mask = scene
    hidden = np.zeros_like(garment)
    hidden[:, 20:22, 20:22] = True
    found = judge_clip("a", truth, truth, hidden, mask, "stripes", classifier)
    assert found.said == "unseen"
    assert found.columns["right_class"] == 0


def test_where_nothing_was_to_be_painted_there_is_no_number(scene, classifier):
    source, truth, garment, mask = scene
    gone = mask.copy()
    gone[-1] = False
    found = judge_clip("a", source, truth, garment, gone, "stripes", classifier)
    assert found.last_ssim is None
    assert found.ssim < 0.7
    never = judge_clip("b", source, truth, garment & False, mask & False, "stripes", classifier)
    assert (never.ssim, never.delta_e, never.columns["close_colour"]) == (None, None, None)
    both = summarise([found, never])
    assert both["ssim"]["mean"] == pytest.approx(found.ssim)
    assert both["last_ssim"] == {"mean": None, "interval": None}


def test_behind_things_begins_with_what_hides_the_garment_and_ends_a_second_later():
    hidden = np.zeros(14)
    hidden[[3, 4]], hidden[0] = 0.3, 0.01  # the first is a shadow of a leaf
    assert np.flatnonzero(behind_things(hidden, fps=4.0)).tolist() == [3, 4, 5, 6, 7, 8]
    assert not behind_things(np.zeros(5), fps=4.0).any()


def test_what_goes_wrong_behind_things_is_judged_apart(scene, classifier):
    source, truth, garment, mask = scene
    painted = truth.copy()
    painted[1] = source[1]
    behind = np.array([False, True, False, False, False])
    settings = (truth, garment, mask, "stripes", classifier)
    found = judge_clip("a", painted, *settings, behind=behind)
    elsewhere = judge_clip("a", painted, *settings, behind=np.roll(behind, 2))
    nothing = judge_clip("a", painted, *settings, behind=np.zeros(5, bool))
    assert found.occluded_delta_e > 60 > 0 == elsewhere.occluded_delta_e
    assert found.occluded_ssim < 0.7 < elsewhere.occluded_ssim == pytest.approx(1.0)
    assert nothing.columns["occluded_delta_e"] is nothing.columns["occluded_ssim"] is None
    assert found.delta_e == elsewhere.delta_e


def test_a_jump_where_windows_meet_is_a_seam(scene, classifier):
    _, truth, garment, mask = scene
    shaken = np.stack([np.roll(frame, index, axis=1) for index, frame in enumerate(truth)])
    settings = (truth, garment, mask, "stripes", classifier)
    smooth = judge_clip("a", shaken, *settings, borders=[3])
    shaken[3:] = 255 - shaken[3:]
    jumping = judge_clip("a", shaken, *settings, borders=[3])
    assert smooth.seam < 1.2 < 2 < jumping.seam
    assert judge_clip("a", shaken, *settings).seam is None


def test_means_come_with_intervals_over_clips_that_can_decide():
    good = [
        ClipScore(clip=str(i), delta_e=5.0 + i % 3, ssim=0.8 + 0.01 * (i % 4), last_ssim=0.8,
                  said="dots", true="dots")
        for i in range(12)
    ]  # fmt: skip
    bad = [replace(one, ssim=one.ssim - 0.3, said="plain") for one in good]
    first, second = summarise(good), summarise(bad)
    assert first["clips"] == 12
    assert first["close_colour"] == {"mean": 1.0, "interval": (1.0, 1.0)}
    assert (first["right_class"]["mean"], second["right_class"]["mean"]) == (1.0, 0.0)
    low, high = first["ssim"]["interval"]
    assert low <= first["ssim"]["mean"] <= high
    assert interval_apart(first, second, "ssim")
    assert not interval_apart(first, first, "ssim")
    assert summarise(good[:1])["ssim"]["interval"] is None
    assert not interval_apart(summarise(good[:1]), second, "ssim")
