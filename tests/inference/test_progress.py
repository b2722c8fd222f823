import pytest

from inference.progress import CONDITIONS, FINDING, PAINTING, STAGES, WRITING, Tracker


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def run_job(rates, seconds_each, stages=STAGES, frames=10):
    """Each frame costs ``seconds_each``; painting takes two evaluations for each."""
    clock, told = Clock(), []
    tracker = Tracker(told.append, stages, rates, clock)
    for stage in stages:
        parts = 2 if stage == PAINTING else 1
        tracker.start(stage, None if stage == PAINTING else frames)
        for done in range(1, parts * frames + 1):
            clock.now += seconds_each[stage] / parts
            tracker.report(done, parts * frames)
    return told


SECONDS = {FINDING: 1.0, CONDITIONS: 2.0, "encoding": 0.5, PAINTING: 6.0, WRITING: 0.5}


def test_the_fraction_never_falls_and_ends_at_one():
    for rates in ({}, rates_of_an_earlier_job()):
        fractions = [status.fraction for status in run_job(rates, SECONDS)]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1.0)


def rates_of_an_earlier_job():
    rates = {}
    run_job(rates, SECONDS)
    return rates


def test_time_left_is_unknown_until_measured_and_then_right():
    told = run_job({}, SECONDS)
    assert told[0].seconds_left is None
    painting = [status for status in told if status.stage == PAINTING and status.done == 10]
    assert painting[0].seconds_left == pytest.approx(30, abs=0.1)
    again = run_job(rates_of_an_earlier_job(), SECONDS, frames=20)
    assert again[5].seconds_left == pytest.approx(200 - 5, abs=0.1)
    assert again[5].fraction == pytest.approx(5 / 200, abs=0.01)


def test_a_resumed_stage_is_timed_by_what_it_does_now():
    clock, told = Clock(), []
    tracker = Tracker(told.append, (PAINTING,), {}, clock)
    tracker.start(PAINTING, 100, done=90)
    assert told[-1].fraction == pytest.approx(0.9)
    clock.now += 10
    tracker.report(95)
    assert told[-1].seconds_left == pytest.approx(10)
