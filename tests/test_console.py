"""What people are shown while they wait."""

import logging

import pytest

from configs.console import Progress, duration_in_words, size_in_words, sizes_in_words, track


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (252, "4 min 12 s"),
        (3600, "1 h 0 min"), (11_100, "3 h 5 min"), (86_400, "1.0 days"), (216_000, "2.5 days"),
    ],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds, words):
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (200e6, "200 MB"), (1e9, "1 GB"),
        (1.34e9, "1.3 GB"), (23.6e9, "24 GB"), (3.2e13, "32 TB"),
    ],
)  # fmt: skip
def test_sizes_are_decimal_with_two_digits_or_more(num_bytes, words):
    assert size_in_words(num_bytes) == words
    assert sizes_in_words(num_bytes, 2e9) == f"{words} of 2 GB"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_the_log_has_a_line_now_and_then_and_one_at_the_end(caplog):
    clock = Clock()
    with (
        caplog.at_level(logging.INFO),
        Progress("painting", 10, done=2, unit="items", first_lines=1, clock=clock) as progress,
    ):
        for _ in range(8):
            clock.now += 12
            progress.advance(note="as it goes")
    assert [record.getMessage() for record in caplog.records] == [
        "painting: 3/10 items, 1 min 24 s left, as it goes",
        "painting: 6/10 items, 48 s left, as it goes",
        "painting: 9/10 items, 12 s left, as it goes",
        "painting: 10/10 items, in 1 min 36 s, as it goes",
    ]


def test_a_caller_may_know_the_time_left_better_and_the_total_later(caplog):
    with (
        caplog.at_level(logging.INFO),
        Progress("file", in_words=sizes_in_words, first_lines=2, clock=Clock()) as progress,
    ):
        progress.update(5e6)
        progress.update(2e7, total=1e9, what="film.mp4", seconds_left=100)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["file: 5 MB", "film.mp4: 20 MB of 1 GB, 1 min 40 s left"]


def test_nothing_to_do_says_nothing(caplog):
    with caplog.at_level(logging.INFO):
        assert list(track([], 0, "painting")) == []
    assert caplog.records == []


def test_steps_come_through_as_they_are(caplog):
    with caplog.at_level(logging.INFO):
        assert list(track("abc", 3, "painting")) == ["a", "b", "c"]
    assert len(caplog.records) == 1


def test_a_terminal_gets_a_bar_with_the_same_words_and_the_log_nothing(monkeypatch, capsys, caplog):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with caplog.at_level(logging.INFO), Progress("[1/2] painting", 4, unit="items") as progress:
        progress.advance(4)
        progress.write("a [line] above")
    shown = capsys.readouterr().err
    assert "[1/2] painting" in shown
    assert "4/4 items, in 0 s" in shown
    assert "a [line] above" in shown
    assert caplog.records == []
