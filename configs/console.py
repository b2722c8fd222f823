"""What people are shown while they wait: how far it is, durations and sizes in words.

On a terminal that is a bar; elsewhere the same words are a line of the log now and then.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

LOG_EVERY_S = 30.0

T = TypeVar("T")
logger = logging.getLogger(__name__)


def duration_in_words(seconds: float) -> str:
    """Such as ``42 s``, ``4 min 12 s``, ``3 h 5 min`` or ``2.5 days``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{seconds / 86400:,.1f} days"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size_in_words(num_bytes: float) -> str:
    """Such as ``900 bytes``, ``12 MB`` or ``1.3 GB``, where 1 kB is 1000 bytes."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            number = num_bytes / size
            words = f"{number:.1f}" if number < 10 else f"{number:.0f}"
            return f"{words.removesuffix('.0')} {unit}"
    return f"{num_bytes:.0f} bytes"


def sizes_in_words(done: float, total: float | None) -> str:
    """How much of a file is here: ``in_words`` of a ``Progress`` that counts bytes."""
    return size_in_words(done) + ("" if total is None else f" of {size_in_words(total)}")


class Progress:
    """How far some work is: a bar on a terminal, elsewhere a line of the log now and then.

    Args:
        what: is being done, such as "painting".
        total: units to do; None: not known yet.
        done: units that were there before: they say nothing about the time left.
        unit: behind the count, such as "videos".
        in_words: writes (done, total); in place of the count.
        every_s: seconds between two lines of the log.
        first_lines: the log has a line after each of so many first updates, too.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        *,
        done: float = 0,
        unit: str = "",
        in_words: Callable[[float, float | None], str] | None = None,
        every_s: float = LOG_EVERY_S,
        first_lines: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.console import Console  # here: whoever shows nothing does not wait for it
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.what, self.total, self.done, self.told = what, total, done, ""
        self._first, self._unit, self._in_words = done, unit, in_words or self._count
        self._every_s, self._num_sure = every_s, first_lines
        self._clock = clock
        self._started = self._said = clock()
        self._is_news = False
        console = Console(stderr=True)
        self._has_bar = console.is_terminal and total != 0
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=20),
            TextColumn("{task.fields[told]}", markup=False),
        )  # fmt: skip
        self._bar = Bar(*columns, console=console, disable=not self._has_bar)
        self._task = self._bar.add_task(what, total=total, completed=int(done), told="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._is_news:
            self._say()

    def advance(self, units: float = 1, note: str = "") -> None:
        """So many more units are done."""
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
        """So many units are done in all.

        Args:
            done: counted from 0.
            total: where it has become known.
            what: is being done now.
            note: behind it all.
            seconds_left: where the caller knows better than the mean pace so far.
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
        self.told = ", ".join([*words, *([note] if note else [])])
        self._bar.update(
            self._task, completed=done, total=self.total, description=self.what, told=self.told
        )
        self._is_news, self._num_sure = not self._has_bar, self._num_sure - 1
        is_due = self._num_sure >= 0 or self._clock() - self._said >= self._every_s
        if self._is_news and is_due:
            self._say()

    def write(self, line: str) -> None:
        """A line of output above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _count(self, done: float, total: float | None) -> str:
        count = f"{done:.0f}" if total is None else f"{done:.0f}/{total:.0f}"
        return f"{count} {self._unit}".strip()

    def _say(self) -> None:
        self._said, self._is_news = self._clock(), False
        logger.info("%s: %s", self.what, self.told)


def track(steps: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The steps as they come, with how far they are."""
    with Progress(what, total) as progress:
        for step in steps:
            yield step
            progress.advance()
