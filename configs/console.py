"""Progress of long work, and durations and sizes in words.

On a terminal progress is a bar; elsewhere it is an occasional log line with the same text.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

LOG_EVERY_S = 30.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """For example ``1 clip`` or ``12,345 clips``; ``plural`` where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration_in_words(seconds: float) -> str:
    """For example ``42 s``, ``4 min 12 s``, ``3 h 5 min`` or ``2.5 days``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{seconds / 86400:,.1f} days"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size_in_words(num_bytes: float) -> str:
    """For example ``900 bytes``, ``12 MB`` or ``1.3 GB``; 1 kB is 1000 bytes."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            number = num_bytes / size
            words = f"{number:.1f}" if number < 10 else f"{number:.0f}"
            return f"{words.removesuffix('.0')} {unit}"
    return f"{num_bytes:.0f} bytes"


def sizes_in_words(done: float, total: float | None) -> str:
    """Bytes done and total, as ``in_words`` of a ``Progress`` that counts bytes."""
    return size_in_words(done) + ("" if total is None else f" of {size_in_words(total)}")


class Progress:
    """Progress of some work: a bar on a terminal, an occasional log line elsewhere.

    Args:
        what: what is being done, such as "painting".
        total: units to do; None if not known yet.
        done: units already done before; ignored when the time left is estimated.
        unit: shown after the count, such as "videos".
        in_words: formats (done, total) instead of the count.
        every_s: minimum seconds between two log lines; or a function of the seconds spent.
        first_lines: how many of the first updates are always logged.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        *,
        done: float = 0,
        unit: str = "",
        in_words: Callable[[float, float | None], str] | None = None,
        every_s: float | Callable[[float], float] = LOG_EVERY_S,
        first_lines: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.console import Console  # imported here: slow, and not every command needs it
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.what, self.total, self.done, self.text = what, total, done, ""
        self._first, self._unit, self._in_words = done, unit, in_words or self._count
        self._every_s, self._first_lines = every_s, first_lines
        self._clock = clock
        self._started = self._logged_at = clock()
        self._is_unlogged = False
        console = Console(stderr=True)
        self._has_bar = console.is_terminal and total != 0
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}", markup=False),
        )  # fmt: skip
        self._bar = Bar(*columns, console=console, disable=not self._has_bar)
        self._task = self._bar.add_task(what, total=total, completed=int(done), text="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._is_unlogged:
            self._log()

    def advance(self, units: float = 1, note: str = "") -> None:
        """Report that ``units`` more are done."""
        self.update(self.done + units, note=note)

    def update(
        self,
        done: float,
        *,
        total: float | None = None,
        what: str | None = None,
        note: str = "",
        seconds_left: float | None = None,
    ) -> None:
        """Report that ``done`` units are done in total.

        Args:
            done: counted from 0.
            total: replaces the total, once it is known.
            what: replaces the description.
            note: appended to the text.
            seconds_left: replaces the estimate from the mean pace so far.
        """
        self.done = done
        self.what = self.what if what is None else what
        self.total = self.total if total is None else total
        spent = self._clock() - self._started
        if seconds_left is None and self.total is not None and done > self._first:
            seconds_left = spent / (done - self._first) * max(0.0, self.total - done)
        words = [self._in_words(done, self.total)]
        if self.total is not None and done >= self.total:
            words.append(f"in {duration_in_words(spent)}")
        elif seconds_left is not None:
            words.append(f"{duration_in_words(seconds_left)} left")
        self.text = ", ".join([*words, *([note] if note else [])])
        self._bar.update(
            self._task, completed=done, total=self.total, description=self.what, text=self.text
        )
        self._is_unlogged, self._first_lines = not self._has_bar, self._first_lines - 1
        every = self._every_s(spent) if callable(self._every_s) else self._every_s
        is_due = self._first_lines >= 0 or self._clock() - self._logged_at >= every
        if self._is_unlogged and is_due:
            self._log()

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _count(self, done: float, total: float | None) -> str:
        count = f"{done:.0f}" if total is None else f"{done:.0f}/{total:.0f}"
        return f"{count} {self._unit}".strip()

    def _log(self) -> None:
        self._logged_at, self._is_unlogged = self._clock(), False
        logger.info("%s: %s", self.what, self.text)


def track(steps: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the steps unchanged while showing progress."""
    with Progress(what, total) as progress:
        for step in steps:
            yield step
            progress.advance()
