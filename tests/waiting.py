"""Waiting for what another thread does; and what takes too long, on a busy machine too."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Look again and again; fail if it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@contextmanager
def cpu_at_most(seconds: float, what: object = "") -> Iterator[None]:
    """Fails if this process used more processor time, all threads together.

    Other programs do not change that, as they do the time on the wall. What waits for ever uses
    none: pytest-timeout ends it.
    """
    started = time.process_time()
    yield
    taken = time.process_time() - started
    assert taken < seconds, f"{what}: {taken:.1f} s of processor time"
