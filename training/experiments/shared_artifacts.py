"""A lock for parallel commands that need the same artifact: one makes it, the other waits."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


@contextmanager
def one_at_a_time(lock: Path, what: str) -> Iterator[None]:
    """Hold a file lock; the system releases the lock of a killed process.

    Args:
        lock: a file, created if it does not exist.
        what: the artifact's name, for the waiting process's message.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("waiting: another process is making %s", what)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
