import functools
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from configs.errors import ConfigError
from configs.loading import load_config
from datasets.labels import ParseLabel
from datasets.synthetic.cast import ClipSpec
from datasets.synthetic.clips import render_clip, render_occlusion
from datasets.synthetic.config import SyntheticConfig
from datasets.synthetic.garments import SLEEVES
from datasets.synthetic.hard_cast import CLASSES, draw_benchmark_clip, draw_benchmark_target
from datasets.synthetic.motion import Liveliness, dance
from datasets.synthetic.render.props import PROP_KINDS, Prop

SPLITS = ("train", "val", "bench")


def draw(index: int, split: str = "train", **settings) -> ClipSpec:
    size = {"height": 128, "width": 96, "num_frames": 24, "fps": 12.0}
    return draw_benchmark_clip(0, split, index, **{**size, **settings})


def motion(spec: ClipSpec) -> np.ndarray:
    poses = dance(
        spec.dancers[0].figure.body, [*spec.seed, 5, 0], 8, 4.0, spec.energy, spec.liveliness
    )
    return np.array([pose.joints["left_wrist"] for pose in poses])


def test_train_validation_and_test_share_no_identity_garment_or_dance():
    drawn = {split: [draw(index, split) for index in range(40)] for split in SPLITS}

    def kept(split: str) -> list[set]:
        specs = drawn[split]
        garments = [s.dancers[0].figure.garment for s in specs]
        return [
            {(s.dancers[0].face.skin, s.dancers[0].figure.body.height) for s in specs},
            {g.base for g in [*garments, *map(draw_benchmark_target, specs)]},
            {motion(s).tobytes() for s in specs},
        ]

    for first, second in combinations(SPLITS, 2):
        for one, other in zip(kept(first), kept(second), strict=True):
            assert len(one) >= 40
            assert not one & other


def test_classes_sleeves_and_hems_are_all_there_and_the_target_is_of_another_class():
    specs = [draw(index) for index in range(150)]
    worn = [spec.dancers[0].figure.garment for spec in specs]
    targets = [draw_benchmark_target(spec) for spec in specs]
    for garments in (worn, targets):
        classes = Counter(garment.pattern_class for garment in garments)
        assert set(classes) == set(CLASSES)
        assert min(classes.values()) >= 15
        assert {garment.sleeves for garment in garments} == set(SLEEVES)
        lengths = [garment.length_m for garment in garments]
        assert min(lengths) < 0.49
        assert max(lengths) > 0.69
    pairs = list(zip(worn, targets, strict=True))
    assert all(one.pattern_class != other.pattern_class for one, other in pairs)
    assert {prop.kind for spec in specs for prop in spec.props} == set(PROP_KINDS)


def test_arms_cross_the_chest_and_dancers_turn_when_they_are_told_to():
    spec = draw(0)
    body, seed = spec.dancers[0].figure.body, [*spec.seed, 5, 0]

    def across(liveliness: Liveliness) -> float:
        poses = dance(body, seed, 120, 12.0, 0.0, liveliness)
        return np.mean([p.joints["left_wrist"][0] < p.joints["neck"][0] for p in poses])

    assert across(Liveliness(crossing=1.0)) > across(Liveliness()) + 0.2
    turning = dance(body, seed, 120, 12.0, 1.0, Liveliness(turning=0.6))
    still = dance(body, seed, 120, 12.0, 1.0, Liveliness())
    assert max(abs(pose.pelvis_yaw) for pose in turning) > 2 * np.pi - 0.7
    assert max(abs(pose.pelvis_yaw) for pose in still) < 0.7
    for pose in turning[::20]:
        lower = pose.joints["left_elbow"] - pose.joints["left_wrist"]
        assert np.linalg.norm(lower) == pytest.approx(body.forearm, rel=0.01)
    steps = np.diff([pose.pelvis_yaw for pose in turning])
    assert np.abs(steps).max() < 0.9, "no jump between frames"


bare_clip = functools.cache(render_clip)  # the same for every prop


@pytest.mark.parametrize("kind", PROP_KINDS)
def test_a_prop_hides_what_is_behind_it_and_is_no_part_of_the_person(kind: str):
    spec = replace(draw(3), props=(), num_frames=3, sway_m=0.0)
    x, y = 0.0, 1.2
    prop = Prop(
        kind=kind, colour=(0.1, 0.9, 0.1), size_m=(0.5, 0.3), start=(x, y), end=(x, y),
        during=(0.4, 0.6), seed=1,
    )  # fmt: skip
    bare, hidden = bare_clip(spec), render_clip(replace(spec, props=(prop,)))
    np.testing.assert_array_equal(bare.frames[[0, 2]], hidden.frames[[0, 2]])
    changed = (bare.frames[1] != hidden.frames[1]).any(axis=-1)
    gone = (bare.person_mask[1] == 255) & (hidden.person_mask[1] == 0)
    assert gone.sum() > 40
    assert (changed | ~gone).all()
    green = hidden.frames[1][gone].astype(int)
    assert (green[:, 1] > green[:, 0]).mean() > 0.9
    shares = [share for *_, share in render_occlusion(replace(spec, props=(prop,)))]
    seen = bare.garment_mask[1] == 255, hidden.garment_mask[1] == 255
    assert shares == [0.0, pytest.approx(1 - seen[1].sum() / seen[0].sum()), 0.0]
    assert 0.05 < shares[1] < 1


def test_sleeves_leave_bare_what_they_promise():
    spec = replace(draw(1), props=(), num_frames=1)
    shares = []
    for sleeves in SLEEVES:
        garment = replace(spec.dancers[0].figure.garment, sleeves=sleeves)
        parse = render_clip(spec.wearing(garment)).parse
        shares.append(float((parse == ParseLabel.ARMS).sum()))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.3 * shares[0]


def test_a_long_clip_is_made_of_the_same_frames_a_second_as_a_short_one():
    config = load_config(
        SyntheticConfig, None, ["dancers=benchmark", "duration_s=1", "bench_duration_s=20"]
    )
    assert config.clip("train", 0).num_frames == 12
    assert config.clip("bench", 0).num_frames == 240
    assert config.target(config.clip("bench", 0)).pattern_class in CLASSES
    with pytest.raises(ConfigError, match="one of demo, benchmark is accepted"):
        load_config(SyntheticConfig, None, ["dancers=hard"])
