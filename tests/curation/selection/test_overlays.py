"""Overlays drawn on a rendered dancer are found; the same dancer alone, and a wall, have none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from curation.first_pass.still_edges import StillEdges
from curation.selection.overlays import (
    OverlaysConfig,
    find_overlays,
    overlay_share,
    region_without,
    share_check,
)
from curation.selection.people import PeopleConfig, judge_samples
from datasets.synthetic.dataset import draw_clip, render_clip
from tests.made_overlays import Overlay, draw_on
from tests.output_fixtures import standing_signals

FPS, COUNT = 2.5, 6
WHOLE = (0.0, 0.0, 1.0, 1.0)


@cache
def dancer() -> np.ndarray:
    """Samples of a dancer, 0.4 s apart."""
    spec = draw_clip(0, "train", 2, height=384, width=288, num_frames=COUNT, fps=FPS)
    return render_clip(spec).frames


def found_in(frames: np.ndarray, config: OverlaysConfig | None = None):
    """Overlays of samples 0.4 s apart, of a person in the middle."""
    still = StillEdges()
    maps = np.stack([still.add(np.ascontiguousarray(frame[..., 1])) for frame in frames])
    times = np.arange(len(frames)) / FPS
    signals = standing_signals(0, num_frames=len(frames))
    assert signals.samples is not None
    samples = replace(signals.samples, times_s=times)
    signals = replace(signals, times_s=times, fill_times_s=times, still_edges=maps, samples=samples)
    people = judge_samples(samples, PeopleConfig(), aspect=0.75)
    span = (0.0, len(frames) / FPS)
    return find_overlays(signals, span, people, WHOLE, config or OverlaysConfig())


@pytest.mark.parametrize(
    "overlay",
    [
        Overlay(kind="caption", y=0.5),
        Overlay(kind="caption_box", y=0.6),
        Overlay(kind="caption_words", y=0.5),
        Overlay(kind="sticker", y=0.55, size=0.1),
        Overlay(kind="buttons", x=0.85, y=0.5, size=0.07),
    ],
    ids=lambda overlay: overlay.kind,
)
def test_what_is_drawn_on_a_dancer_is_found_where_it_lies(overlay):
    frames = np.stack(list(draw_on(dancer(), overlay, FPS)))
    boxes = found_in(frames)
    assert boxes
    height, width = frames.shape[1:3]
    for left, top, right, bottom in boxes:
        middle = round((top + bottom) / 2 * height), round((left + right) / 2 * width)
        around = overlay.covers(height, width, 0.0, 0.0)
        rows, columns = np.flatnonzero(around.any(axis=1)), np.flatnonzero(around.any(axis=0))
        assert rows[0] - 12 <= middle[0] <= rows[-1] + 12
        assert columns[0] - 12 <= middle[1] <= columns[-1] + 12


def test_a_dancer_alone_has_none():
    assert found_in(dancer()) == []


def test_nothing_is_found_in_a_picture_that_does_not_move():
    frames = np.stack([dancer()[0]] * COUNT)
    drawn = np.stack(list(draw_on(frames, Overlay(kind="caption", y=0.5), FPS)))
    assert found_in(drawn, OverlaysConfig(min_drawn=1.0)) == []


def test_an_overlay_beside_a_person_is_cut_off_where_that_costs_least():
    person, below, right = (0.3, 0.1, 0.6, 0.8), (0.2, 0.85, 0.8, 0.95), (0.8, 0.4, 0.9, 0.7)
    assert region_without([below], person, WHOLE) == (0.0, 0.0, 1.0, 0.85)
    assert region_without([below, right], person, WHOLE) == (0.0, 0.0, 0.8, 0.85)
    touching = (0.59, 0.4, 0.7, 0.5)
    assert region_without([touching], person, WHOLE) == (0.0, 0.0, 0.59, 1.0)
    on_it = (0.4, 0.4, 0.5, 0.5)
    assert region_without([on_it], person, WHOLE) == WHOLE


def test_the_share_of_a_persons_box_decides():
    person = (0.2, 0.2, 0.6, 0.6)
    share = overlay_share([(0.2, 0.2, 0.4, 0.4), (0.2, 0.2, 0.4, 0.4)], person)
    assert share == pytest.approx(0.25)
    check = share_check(share, OverlaysConfig(max_share=0.2))
    assert check.is_passed is False
    assert check.reject.code == "overlay"
    assert check.reject.evidence == {"overlay_share": share, "max_share": 0.2}
    assert share_check(share, OverlaysConfig(max_share=0.3)).is_passed
