"""The folder of uploads and results: one sub-folder an item, random names, nothing that stays.

Nothing a person sends names a path here. The folder is emptied when it is opened and when it is
closed, so that neither a stop nor a crash leaves anybody's pictures behind.
"""

import fcntl
import logging
import secrets
import shutil
from pathlib import Path

from configs.errors import DataError
from inference.web.refusals import Refusal
from inference.web.settings import MEGABYTE, LimitsConfig

_MARKER = ".fitting-room"  # a folder without it is not ours to empty
_ID_BYTES = 16  # 128 random bits: not to be guessed

_logger = logging.getLogger(__name__)


class Store:
    """Owns a folder from ``open`` to ``close``.

    Args:
        folder: made if need be; must be empty or this store's own.
        limits: how full it and its disk may become.

    Raises:
        DataError: another server uses the folder, it holds files of something else, or it cannot
            be made.
    """

    def __init__(self, folder: str | Path, limits: LimitsConfig) -> None:
        self.folder = Path(folder).resolve()
        self._limits = limits
        self._expected = 0  # bytes of uploads that are still coming in
        marker = self.folder / _MARKER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not marker.exists() and any(self.folder.iterdir()):
                raise DataError(
                    f"folder={folder} holds files that are not the fitting room's; it is emptied "
                    "at every start, so give it a folder of its own"
                )
            self._lock = marker.open("a")
        except OSError as error:
            raise DataError(f"folder={folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise DataError(
                f"folder={folder} is used by another fitting room; stop it or name another folder"
            ) from error
        left = self._empty()
        if left:
            _logger.info("removed %d items that an earlier run left in %s", left, self.folder)

    def close(self) -> None:
        """Empty the folder and give it back; again does nothing: it may be another's by then."""
        if not self._lock.closed:
            self._empty()
            self._lock.close()

    def new_item(self) -> str:
        """A random name and its empty folder."""
        name = secrets.token_hex(_ID_BYTES)
        (self.folder / name).mkdir(mode=0o700)
        return name

    def path(self, item: str) -> Path:
        """The folder of an item that ``new_item`` named."""
        return self.folder / item

    def remove(self, item: str) -> None:
        """Delete an item's folder, if it is still there."""
        shutil.rmtree(self.folder / item, ignore_errors=True)

    def expect(self, num_bytes: int) -> None:
        """Set room aside for bytes that are about to come.

        Raises:
            Refusal: there is none.
        """
        free = shutil.disk_usage(self.folder).free - self._expected - num_bytes
        if free < 1000 * self._limits.free_gb * MEGABYTE:
            raise Refusal("The disk of this server is full; try again later.", 507)
        if self.size() + self._expected + num_bytes > 1000 * self._limits.folder_gb * MEGABYTE:
            raise Refusal("The fitting room is full; try again when others have left.", 507)
        self._expected += num_bytes

    def arrived(self, num_bytes: int) -> None:
        """What was expected is on the disk, or will not come."""
        self._expected -= num_bytes

    def size(self) -> int:
        """Bytes of all files."""
        total = 0
        for path in self.folder.rglob("*"):
            try:
                total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
            except FileNotFoundError:
                continue  # removed meanwhile
        return total

    def _empty(self) -> int:
        items = [path for path in self.folder.iterdir() if path.name != _MARKER]
        for path in items:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(items)
