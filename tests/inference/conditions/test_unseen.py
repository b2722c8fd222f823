"""Frames in which the person was not found: said, shown, and refused where they are most."""

import logging

import numpy as np
import pytest
from tryon_fixtures import write_video

from inference import tryon
from inference.conditions.preview_sheet import draw_sheet, draw_unseen
from inference.conditions.unseen import (
    TooFewSeen,
    expected_unseen,
    pictures_of,
    stretches_in_words,
    unseen_in_words,
)
from inference.tryon_config import TryOnConfig
from inference.video.source import VideoLimits, open_video


def test_stretches_are_named_and_the_shorter_of_many_are_counted():
    unseen = np.zeros(60, bool)
    unseen[[3, *range(12, 42)]] = True
    assert stretches_in_words(unseen) == "frames 3, 12-41"
    assert unseen_in_words(unseen).startswith("the person was not found in 31 of 60 frames (52%; ")
    assert unseen_in_words(np.zeros(5, bool)) == ""
    unseen[::2] = True
    assert stretches_in_words(unseen).endswith("shorter stretches")


def test_a_video_mostly_without_the_person_is_refused_unless_told_otherwise(
    tmp_path, pipeline, garment, caplog
):
    path = write_video(tmp_path / "v.mp4", people=[True] * 4 + [False] * 8)
    pipeline.limits = TryOnConfig().limits
    told = r"not found in 8 of 12 frames \(67%; frames 4-11\).*max_unseen=1 paints anyway"
    with pytest.raises(TooFewSeen, match=told) as caught:
        pipeline(path, garment)
    assert "v.mp4" not in caught.value.plain
    pipeline.limits = VideoLimits(max_unseen_share=0.7)
    with caplog.at_level(logging.WARNING, logger="inference.conditions.unseen"):
        result = pipeline(path, garment)
    assert "frames 4-11" in caplog.text
    assert "frames 4-11" in result.report["unseen"]
    report = {"checkpoint": "c", "origin": "o", "step": 1, "weights": "ema", **result.report}
    assert "  WARNING: the person was not found in 8 of 12" in tryon._summary(report, path, 1.0)


def test_the_preview_shows_a_strip_of_unseen_frames(tmp_path, pipeline):
    path = write_video(tmp_path / "v.mp4", people=[True] * 4 + [False] * 16)
    source, person = open_video(path), pipeline.find_people(path).person(None, path)
    unseen = expected_unseen(source, person)
    assert unseen[-8:].all()
    assert not unseen[:4].any()
    strip = pictures_of(source, unseen, 3)
    assert len(strip) == 3
    assert strip[-1][0] == 19
    frames = pipeline.preview(path)
    without = draw_sheet([person], frames)
    sheet = draw_sheet([person], frames, draw_unseen(unseen, strip))
    assert sheet.shape[0] == without.shape[0] + 278
    bar = sheet[
        without.shape[0] + 2, : sum(round(256 * i.shape[1] / i.shape[0]) + 4 for _, i in strip)
    ]
    is_red = (bar == (220, 40, 40)).all(axis=1)
    assert is_red.mean() == pytest.approx(unseen.mean(), abs=0.01)
    assert not is_red[0]
    assert is_red[-1]


def test_one_unseen_frame_of_a_long_video_is_in_the_bar():
    unseen = np.zeros(9000, bool)
    unseen[4321] = True
    strip = draw_unseen(unseen, [(4321, np.full((120, 160, 3), 200, np.uint8))])
    red = (strip[2] == (220, 40, 40)).all(axis=1)
    assert red.sum() == 1
    assert red.argmax() == pytest.approx(4321 / 9000 * strip.shape[1], abs=1)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_between_nothing_and_all(share):
    with pytest.raises(ValueError, match="max_unseen is"):
        TryOnConfig(max_unseen=share)
