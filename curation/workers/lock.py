"""One run at a time per output folder: a second run stops at once and says which one is running.

The lock is on the ledger's file, so that the parts of one folder (``job_part=I/N``), each with a
ledger of its own, run side by side. The system releases it when a process is killed.
"""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import DataError
from datasets.storage import disk_errors_named


@contextmanager
def only_run(ledger: Path) -> Iterator[None]:
    """Hold the lock of a ledger.

    Raises:
        DataError: another process holds it.
    """
    path = ledger.with_name(f".{ledger.name}.lock")
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise DataError(
                f"{ledger.parent} is in use by {holder}; wait until that run ends, or give another "
                "out=DIR"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
