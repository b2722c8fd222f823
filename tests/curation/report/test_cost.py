"""What an hour of source video costs, in words and as numbers."""

import pytest

from curation.step_times import run_cost

SOURCES = [
    {"duration_s": 60.0, "seconds": {"first pass": [6.0, 8.0], "people in samples": [30.0, 30.0]}},
    {"duration_s": 30.0, "seconds": {"first pass": [4.0, 4.0]}},
    {"duration_s": 900.0},  # not measured
]
CLIPS = [{"seconds": {"people": [80.0, 100.0]}}, {}]


def test_what_was_measured_is_told_by_the_hour_and_by_cores():
    cost = run_cost(SOURCES, CLIPS)
    assert cost is not None
    assert (cost.source_s, cost.cpu_s, cost.wall_s) == (90.0, 120.0, 142.0)
    assert cost.in_words([1, 2, 16]) == (
        "An hour of source video costs 1.3 CPU hours: 1 h 20 min on 1, 40 min 0 s on 2, "
        "5 min 0 s on 16 cores, if all of them are used."
    )
    record = cost.as_record()
    assert record["cpu_h_per_source_h"] == pytest.approx(4 / 3, abs=1e-4)
    assert record["steps"]["first pass"] == [10.0, 12.0]
    assert list(record["steps"]) == ["first pass", "people in samples", "people"]


def test_nothing_measured_costs_nothing_that_could_be_told():
    assert run_cost(SOURCES[2:], CLIPS) is None
    assert run_cost([], []) is None
