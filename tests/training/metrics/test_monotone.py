"""Every metric that claims to see a fault gets worse at each of five strengths of it."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.synthetic.cast import draw_clip
from datasets.synthetic.clips import render_clip
from tests.bench.monotone import (
    CLAIMS,
    Networks,
    Values,
    broken_claims,
    classify,
    classify_all,
    formula_features,
    formula_lpips,
    load_networks,
    make_clip,
    measure,
    write_table,
)
from tests.bench.monotone_faults import FAULTS, RealClip
from training.metrics.catalogue import METRICS
from training.metrics.dinov2 import DinoConfig
from training.metrics.protocols import get_protocol

PROTOCOL = get_protocol("fixed")
CLAIMED = [(metric, fault) for metric, faults in CLAIMS.items() for fault in faults]


@pytest.fixture(scope="module")
def clips() -> list[RealClip]:
    """Two dancers, each with the other's garment to be swapped in."""
    made = []
    for index in (0, 1):
        spec = draw_clip(3, "bench", index, height=80, width=64, num_frames=12, fps=10)
        clip = render_clip(replace(spec, energy=1.0))
        made.append((clip.frames, clip.garment_mask > 127))
    return [make_clip(f"dancer {i}", made[i][0], made[i][1], made[1 - i]) for i in (0, 1)]


@pytest.fixture(scope="module")
def networks() -> Networks:
    tiny = formula_features(DinoConfig(dim=16, depth=1, num_heads=2, grid=4))
    return Networks(
        lpips=formula_lpips(),
        video={},
        by_formula=frozenset({"lpips", "dinov2"}),
        features=tiny,
    )


@pytest.fixture(scope="module")
def values(clips: list[RealClip], networks: Networks) -> Values:
    return measure(clips, FAULTS, networks, PROTOCOL)


@pytest.mark.parametrize(("metric", "fault"), CLAIMED)
def test_a_metric_rises_with_each_fault_that_it_claims_to_see(
    values: Values, metric: str, fault: str
) -> None:
    assert classify_all(values)[metric, fault] == "rises", values[metric, fault]


def test_every_metric_of_single_videos_claims_something_and_only_known_faults() -> None:
    assert {m.key for m in METRICS if m.kind == "video"} == set(CLAIMS)
    assert {fault for faults in CLAIMS.values() for fault in faults} == {f.key for f in FAULTS}


def test_no_metric_sees_a_fault_where_there_is_none(values: Values) -> None:
    perfect = {"ssim": 1, "ssim_masked": 1, "lpips": 0, "lpips_masked": 0, "outside_change": 0}
    perfect |= {"flicker": 0, "temporal_error": 0, "colour_delta_e": 0}
    for metric, value in perfect.items():
        assert values[metric, "blur"][0] == pytest.approx(value, abs=1e-6)
    assert values["leak", "leak"][0] < 0.05
    assert values["leak", "leak"][-1] > 0.95


def test_what_is_outside_is_not_seen_inside_and_the_other_way_round(values: Values) -> None:
    seen = classify_all(values)
    for metric in ("colour_delta_e", "garment_colour", "garment_pattern"):
        assert seen[metric, "outside"] == "blind"
    for fault in ("swap", "flicker", "seam", "leak"):
        assert values["outside_change", fault][-1] == 0


def test_verdicts_are_what_they_say() -> None:
    rising = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert classify(rising, False, 5.0) == "rises"
    assert classify(rising, True, 5.0) == "falls"
    assert classify(rising[::-1], True, 5.0) == "rises"
    assert classify([0.0, 2.0, 1.0, 3.0, 4.0, 5.0], False, 5.0) == "overall"
    assert classify([0.0, 1.0, 1.0, 3.0, 4.0, 5.0], False, 5.0) == "overall"
    assert classify(rising, False, 1000.0) == "blind"
    assert classify([0.0] * 6, False, 0.0) == "blind"


def test_a_broken_claim_is_named() -> None:
    assert broken_claims({("leak", "leak"): "rises"}) == []
    assert broken_claims({("leak", "leak"): "overall"}) == [
        "leak does not rise at each step of leak: overall"
    ]


def test_the_table_marks_weights_by_formula(
    values: Values, networks: Networks, clips: list[RealClip]
) -> None:
    table = write_table(values, classify_all(values), networks, clips)
    assert "| LPIPS (weights by formula) | rises |" in table
    assert "| SSIM | rises |" in table
    assert table.count("\n| ") == 2 * (1 + len(CLAIMS))


@pytest.mark.slow
def test_video_networks_see_blur_even_with_weights_by_formula(clips: list[RealClip]) -> None:
    networks = load_networks(PROTOCOL)
    blur = next(fault for fault in FAULTS if fault.key == "blur")
    values = measure(clips, (blur,), networks, PROTOCOL)
    for metric in ("vfid_i3d", "vfid_resnext"):
        row = values[metric, "blur"]
        assert abs(row[0]) < 1e-6 * max(row)
        assert np.argmax(row) == 5
    assert values["kvd", "blur"][5] > values["kvd", "blur"][0]
