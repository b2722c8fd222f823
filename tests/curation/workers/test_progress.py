"""What a run says while it works: rate, time left by work, counts by verdict."""

import pytest

from curation.ledger import ClipRow, SourceRow
from curation.workers.progress import VerdictCounts


def source(code: str | None = None, duration_s: float = 10.0, spent_s: float = 0.0) -> SourceRow:
    facts = {"duration_s": duration_s, "seconds": {"first pass": [0.0, spent_s]}}
    return SourceRow(
        sha256="a", name="a", group="a", num_bytes=1, fingerprint="f", code=code,
        facts={} if code else facts,
    )  # fmt: skip


def clip(code: str | None = None, spent_s: float = 0.0) -> ClipRow:
    return ClipRow(
        clip_id="a", source_sha256="a", status="rejected" if code else "kept", code=code,
        evidence={}, record={"seconds": {"people": [0.0, spent_s]}}, folder=None,
    )  # fmt: skip


@pytest.fixture
def now(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("curation.workers.progress.time.monotonic", lambda: clock[0])
    return clock


@pytest.mark.parametrize(("workers", "left"), [(1, 90.0), (2, 40.0)])
def test_time_left_is_the_work_left_at_the_pace_so_far(now, workers, left):
    """Ten like videos take what is expected of them; of two workers, the other is as far."""
    counts = VerdictCounts([10.0] * 10, workers)
    assert counts.seconds_left is None
    now[0] = 13.0  # 3 to start
    counts.add(source(spent_s=4.0), [clip(spent_s=6.0)], 10.0)
    assert counts.seconds_left == pytest.approx(left)
    now[0] = 18.0
    assert counts.seconds_left == pytest.approx(max(left - 5.0, 90.0 / workers / 2))


def test_a_machine_that_is_slower_is_noticed_with_the_first_video_and_believed_with_more(now):
    counts = VerdictCounts([10.0] * 10)
    paces = []
    for done in range(1, 6):
        now[0] = 20.0 * done
        counts.add(source(spent_s=20.0), [], 10.0)
        left = counts.seconds_left
        assert left is not None
        paces.append(left / (100.0 - 10.0 * done))
    assert paces[0] == pytest.approx((20 + 5) / (10 + 5))  # a half of one video as expected
    assert paces == sorted(paces)
    assert 1.85 < paces[-1] < 2.0


def test_videos_that_are_not_decoded_shorten_the_run_and_say_nothing_about_the_pace(now):
    counts = VerdictCounts([10.0, 10.0, 10.0])
    counts.add(source("too_small"), [], 10.0, was_decoded=False)
    assert counts.seconds_left is None
    now[0] = 10.0
    counts.add(source(spent_s=10.0), [], 10.0)
    assert counts.seconds_left == pytest.approx(10.0)
    counts.add(source(spent_s=99.0), [], 10.0, was_decoded=False)  # stored by an earlier run
    assert counts.seconds_left == pytest.approx(0.0)


def test_the_rate_is_told_by_videos(now):
    counts = VerdictCounts([1.0])
    now[0] = 5.0
    counts.add(source(), [clip(), clip("blurred")], 1.0)
    assert counts.in_words().startswith("12.0 videos/min, 2.0x real time: 1 kept, 1 blurred")


def test_the_commonest_reasons_are_named_and_the_others_summed_up():
    counts = VerdictCounts([1.0] * 7)
    for code in ("dark", "dark", "dark", "blurred", "blurred", "frozen", "too_short", "a", "b"):
        counts.add(source(), [clip(code)], 1)
    counts.add(source("not_a_video"), [], 1)
    counts.add(source(), [clip()], 1)
    told = counts.in_words().partition(": ")[2]
    assert told.startswith("1 kept, 3 dark, 2 blurred, ")
    assert told.endswith("3 others")
