"""File locks: one process at a time writes a folder or a file; others stop, or wait.

The system releases the lock of a killed process. A lock file is removed when its lock is released.
"""

import errno
import fcntl
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from configs.errors import DataError
from datasets.storage import disk_errors_named, fitting_name

logger = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def only_run(target: Path, named: Path | None = None) -> Iterator[None]:
    """Hold the lock of a file or folder that is being written; stop at once if another run does.

    Args:
        target: the file or folder; the lock is a hidden file next to it.
        named: what the message calls it; None: ``target``.

    Raises:
        DataError: another process holds the lock; the message names it.
    """
    path = target.with_name(fitting_name(f".{target.name}", ".lock"))
    with _locked(path, is_patient=False) as holder:
        if holder is not None:
            raise DataError(
                f"{named or target} is in use by {holder or 'another process'}; wait until that "
                "run ends, or give another OUT"
            )
        yield


@contextmanager
def one_at_a_time(path: Path, what: str) -> Iterator[None]:
    """Hold a lock, for parallel commands that need the same artifact: one makes it, others wait.

    Args:
        path: the lock file.
        what: the artifact's name, for the waiting process's message.
    """
    with _locked(path, is_patient=False) as holder:
        if holder is None:
            yield
            return
    logger.info("waiting: %s is making %s", holder or "another process", what)
    with _locked(path, is_patient=True):
        yield


def try_lock(file: IO[Any], is_patient: bool = False) -> bool:
    """Lock an open file until it is closed; False: another process holds its lock.

    A file system without locks is reported in the log and counts as locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        logger.warning(
            "%s: this file system has no locks; do not start a second run on it", file.name
        )
    return True


@contextmanager
def _locked(path: Path, is_patient: bool) -> Iterator[str | None]:
    """Yield None with the lock held, or else what its holder wrote into the file."""
    while True:
        file = _open(path)
        with file:
            if not try_lock(file, is_patient):
                file.seek(0)
                yield file.read().strip()
                return
            if not _is_still_there(file, path):  # its holder removed it meanwhile
                continue
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            try:
                yield None
            finally:
                path.unlink(missing_ok=True)
            return


def _open(path: Path) -> IO[str]:
    try:
        with disk_errors_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path.parent} cannot be written: {error.strerror}") from error


def _is_still_there(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
