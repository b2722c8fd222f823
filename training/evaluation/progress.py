"""How far an evaluation is: a bar on a terminal, a line every half minute in a log."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
LOG_EVERY_S = 30.0
logger = logging.getLogger(__name__)


def progress(steps: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The steps as they come, with the time that is left."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(steps, what, total=total, console=console)
        return
    start = last = time.monotonic()
    for done, step in enumerate(steps, start=1):
        yield step
        now = time.monotonic()
        if now - last >= LOG_EVERY_S and done < total:
            left = (now - start) / done * (total - done)
            logger.info("%s: %d of %d, about %s left", what, done, total, _duration(left))
            last = now


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
