"""A change of garment within a clip, on rendered dancers whose labels are known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from curation.clip import Clip, Tracks, first_failed, run_stages
from curation.perception.protocols import BackendInfo, Person
from curation.stages.outfits import light_between, outfit_change
from curation.stages.parsing import ParseClothes, ParsingConfig
from datasets.labels import ParseLabel
from datasets.synthetic.cast import draw_target_garment
from datasets.synthetic.clips import RenderedClip
from datasets.synthetic.dataset import draw_clip, render_clip

FPS, COUNT = 2.5, 14


def dancers(index: int) -> tuple[RenderedClip, RenderedClip]:
    """One dance in one garment, and in another one."""
    spec = draw_clip(5, "train", index, height=128, width=96, num_frames=COUNT, fps=FPS)
    (dancer,) = spec.dancers
    other = replace(dancer, figure=replace(dancer.figure, garment=draw_target_garment(spec)))
    return render_clip(spec), render_clip(replace(spec, dancers=(other,)))


def joined(one: RenderedClip, other: RenderedClip, at: int) -> tuple[np.ndarray, np.ndarray]:
    frames = np.concatenate([one.frames[:at], other.frames[at:]])
    return frames, np.concatenate([one.parse[:at], other.parse[at:]])


def change_in(frames: np.ndarray, parse: np.ndarray) -> float | None:
    return outfit_change(frames, parse == ParseLabel.UPPER, FPS)


@pytest.mark.parametrize("index", range(4))
def test_another_garment_from_one_moment_on_is_told_from_one_that_moves(index):
    one, other = dancers(index)
    limit = ParsingConfig().max_outfit_change
    same = change_in(one.frames, one.parse)
    assert same is not None
    assert same <= limit
    for at in (4, 7, 10):
        changed = change_in(*joined(one, other, at))
        assert changed is not None
        assert changed > limit


def test_a_moment_in_another_light_is_no_other_garment():
    one, _ = dancers(0)
    frames = one.frames.copy()
    frames[6] = np.clip(frames[6].astype(int) + 90, 0, 255).astype(np.uint8)
    change = change_in(frames, one.parse)
    assert change is not None
    assert change <= ParsingConfig().max_outfit_change


@pytest.mark.parametrize("light", [(0.65, 0.65, 0.65), (1.25, 1.25, 1.25), (1.1, 1.0, 0.88)])
def test_another_light_from_one_moment_on_neither_is_nor_hides_another_garment(light):
    one, other = dancers(3)
    limit = ParsingConfig().max_outfit_change
    for (frames, parse), is_other in ((joined(one, one, 7), False), (joined(one, other, 7), True)):
        frames[7:] = np.clip(frames[7:] * np.array(light) + 0.5, 0, 255).astype(np.uint8)
        change = change_in(frames, parse)
        assert change is not None
        assert (change > limit) == is_other


def test_a_channel_that_is_clipped_everywhere_tells_no_light():
    frame = np.full((64, 48, 3), 100, np.uint8)
    other = np.stack([np.full((64, 48), value, np.uint8) for value in (255, 120, 3)], axis=-1)
    nothing = np.zeros((64, 48), dtype=bool)
    assert light_between(frame, other, nothing).tolist() == [1.0, 1.2, 1.0]
    assert light_between(frame, other, ~nothing).tolist() == [1.0, 1.0, 1.0]


def test_what_is_seen_too_briefly_says_nothing():
    one, other = dancers(0)
    frames, parse = joined(one, other, 2)
    assert change_in(frames[:5], parse[:5]) is None
    assert change_in(frames, np.zeros_like(parse)) is None


@dataclass(frozen=True)
class Known:
    """A parser that knows the labels."""

    parse_: np.ndarray
    info = BackendInfo(name="known", version="1", weights_sha256=None, is_approximate=False)

    def parse(self, frames, people):
        return list(self.parse_)


def test_a_clip_with_two_outfits_is_let_go_with_its_number():
    one, other = dancers(1)
    frames, parse = joined(one, other, 7)
    clip = Clip(source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=6, start_s=0,
                end_s=6, fps=FPS)  # fmt: skip
    nobody: list[Person | None] = [None] * COUNT
    tracks = Tracks(frames=frames, people=nobody)
    stage = ParseClothes(parser=Known(parse), config=ParsingConfig())
    done = run_stages([stage], clip, tracks).reject
    assert done is not None
    assert done.code == "outfit_change"
    assert done.evidence["outfit_change"] > done.evidence["max_outfit_change"]
    lax = replace(stage, config=ParsingConfig(max_outfit_change=1.0))
    measured, _ = stage.process(clip, tracks)
    assert first_failed(lax.checks(measured)) is None  # of the record alone
    assert run_stages([lax], clip, tracks).reject is None
