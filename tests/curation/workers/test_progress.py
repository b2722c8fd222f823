"""What a run says while it works: rate, time left by bytes, counts by verdict."""

from curation.ledger import ClipRow, SourceRow
from curation.workers.progress import VerdictCounts


def source(code: str | None = None, duration_s: float = 10.0) -> SourceRow:
    return SourceRow(
        sha256="a", name="a", group="a", num_bytes=1, fingerprint="f", code=code,
        facts={} if code else {"duration_s": duration_s},
    )  # fmt: skip


def clip(code: str | None = None) -> ClipRow:
    return ClipRow(
        clip_id="a", source_sha256="a", status="rejected" if code else "kept", code=code,
        evidence={}, record={}, folder=None,
    )  # fmt: skip


def test_time_left_goes_by_bytes_and_the_rate_by_videos(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("curation.workers.progress.time.monotonic", lambda: now[0])
    counts = VerdictCounts(1000)
    assert counts.seconds_left is None
    now[0] = 5.0
    counts.add(source(), [clip(), clip("blurred")], 100)
    assert counts.seconds_left == 45.0
    assert counts.in_words().startswith("12.0 videos/min, 2.0x real time: 1 kept, 1 blurred")
    now[0] = 500.0
    assert counts.seconds_left == 4500.0


def test_the_commonest_reasons_are_named_and_the_others_summed_up():
    counts = VerdictCounts(10)
    for code in ("dark", "dark", "dark", "blurred", "blurred", "frozen", "too_short", "a", "b"):
        counts.add(source(), [clip(code)], 1)
    counts.add(source("not_a_video"), [], 1)
    counts.add(source(), [clip()], 1)
    told = counts.in_words().partition(": ")[2]
    assert told.startswith("1 kept, 3 dark, 2 blurred, ")
    assert told.endswith("3 others")
