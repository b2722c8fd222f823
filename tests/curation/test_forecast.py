"""How long a run would take: by what was measured, and typical where nothing was."""

import io
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from configs.errors import ConfigError
from configs.loading import load_config
from curation.forecast import (
    AS_BEFORE,
    NEW,
    REFUSED,
    STRETCH_S,
    Costs,
    Expected,
    measured_costs,
    most_kept_s,
    print_forecast,
)
from curation.ledger import ClipRow, SourceRow
from curation.settings import CurateConfig
from curation.video.decode import Header
from tests.output_fixtures import CONFIG

SETTINGS = load_config(CurateConfig, CONFIG)
HEADER = Header(
    container="mp4", codec="h264", pixel_format="yuv420p", height=1000, width=1000,
    sample_aspect=1.0, average_fps=30.0, duration_s=10.0, transfer=None, num_bytes=1,
)  # fmt: skip


def source(seconds: float) -> SourceRow:
    return SourceRow(
        sha256="a" * 64, name="a", group="a", num_bytes=1, fingerprint="f",
        facts={
            "header": asdict(HEADER), "num_frames": 300, "duration_s": 10.0,
            "seconds": {"first pass": [0.0, seconds]},
        },
    )  # fmt: skip


def clip(num_frames: int, seconds: float) -> ClipRow:
    return ClipRow(
        clip_id="a", source_sha256="a" * 64, status="kept", code=None, evidence={}, folder=None,
        record={"num_frames": num_frames, "seconds": {"people": [0.0, seconds]}},
    )  # fmt: skip


def test_the_same_video_again_is_expected_to_take_what_it_took():
    costs = measured_costs([source(7.0)], [clip(150, 4.5)], SETTINGS)
    assert costs.is_measured
    assert costs.kept == 0.5
    assert costs.pass_s(HEADER, 10.0, 2.5) == pytest.approx(7.0)
    assert costs.clip_s(150) == pytest.approx(4.5)


def test_without_a_past_the_numbers_are_typical():
    assert measured_costs([], [], SETTINGS) == Costs()
    assert measured_costs([source(7.0)], [], SETTINGS) == Costs()
    # 300 frames of a megapixel and 25 samples
    assert Costs().pass_s(HEADER, 10.0, 2.5) == pytest.approx(300 * 8.5e-3 + 25 * 0.045)


def test_a_long_video_gives_one_stretch_unless_all_are_wanted():
    every = load_config(CurateConfig, CONFIG, ["selection.stretches=all"])
    assert [most_kept_s(length, SETTINGS) for length in (2.0, 140.0)] == [2.0, STRETCH_S]
    assert most_kept_s(140.0, every) == 140.0
    long = replace(
        source(7.0), facts={**source(7.0).facts, "num_frames": 3000, "duration_s": 100.0}
    )
    one_stretch = [clip(round(STRETCH_S * 30), 4.5)]
    assert measured_costs([long], one_stretch, SETTINGS).kept == pytest.approx(1.0)
    assert measured_costs([long], one_stretch, every).kept == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("whats", "told"),
    [([AS_BEFORE, REFUSED], "About 0 s on 1 worker"), ([AS_BEFORE, NEW], "About 15 s on 1 worker")],
)
def test_a_run_with_nothing_to_do_takes_no_time_and_another_also_its_start(whats, told):
    expected = [Expected(name=what, what=what, work_s=5.0 * (what == NEW)) for what in whats]
    text = io.StringIO()
    print_forecast(expected, Costs(), SETTINGS, Console(file=text))
    assert told in text.getvalue()


def test_a_dry_run_of_a_benchmark_is_refused():
    with pytest.raises(ConfigError, match="dry_run=true is for videos; this run makes vvt"):
        load_config(CurateConfig, CONFIG, ["bench=vvt", "dry_run=true"])
