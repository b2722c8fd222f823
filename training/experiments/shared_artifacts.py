"""Two commands side by side that need the same: one makes it, the other waits and finds it made."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def one_at_a_time(lock: Path, what: str) -> Iterator[None]:
    """Wait until no other process works on the same; the system takes a killed one's lock back.

    Args:
        lock: a file, made where it is not there.
        what: is made, for the message of the one who waits.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting: another process makes %s", what)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
