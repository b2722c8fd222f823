"""The folder of uploads and results: one randomly named sub-folder per item, nothing permanent.

Nothing that a person sends is used as a path. The folder is emptied when it is opened and when it
is closed, so a crash leaves files only until the next start.
"""

import logging
import secrets
import shutil
from pathlib import Path

from configs.errors import DataError
from datasets.locks import try_lock
from inference.errors import RequestError
from inference.web.settings import MEGABYTE, AppLimits

_MARKER = ".fitting-room"  # a folder without it is never emptied
_ID_BYTES = 16  # 128 random bits: cannot be guessed

_logger = logging.getLogger(__name__)


class Store:
    """Owns a folder from ``open`` to ``close``.

    Args:
        folder: created if absent; must be empty or this store's own.
        limits: how full it and its disk may become.

    Raises:
        DataError: another server uses the folder, it holds files of something else, or it cannot
            be made.
    """

    def __init__(self, folder: str | Path, limits: AppLimits) -> None:
        self.folder = Path(folder).resolve()
        self._limits = limits
        self._reserved = 0  # bytes of uploads that are still being received
        marker = self.folder / _MARKER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not marker.exists() and any(self.folder.iterdir()):
                raise DataError(
                    f"folder={folder} holds files of something else, and the fitting room empties "
                    "its folder at every start; give it a folder of its own"
                )
            self._lock = marker.open("a")
        except OSError as error:
            raise DataError(f"folder={folder} cannot be used: {error.strerror}") from error
        if not try_lock(self._lock):
            self._lock.close()
            raise DataError(
                f"folder={folder} is used by another fitting room; stop it or name another folder"
            )
        left = self._empty()
        if left:
            _logger.info("removed %d items that an earlier run left in %s", left, self.folder)

    def close(self) -> None:
        """Empty and unlock the folder. A second call does nothing: others may own it by then."""
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

    def reserve(self, num_bytes: int) -> None:
        """Reserve space for an upload.

        Raises:
            RequestError: there is too little.
        """
        free = shutil.disk_usage(self.folder).free - self._reserved - num_bytes
        if free < 1000 * self._limits.free_gb * MEGABYTE:
            raise RequestError("The disk of this server is full; try again later.", 507)
        if self.size() + self._reserved + num_bytes > 1000 * self._limits.folder_gb * MEGABYTE:
            raise RequestError("The fitting room is full; try again when others have left.", 507)
        self._reserved += num_bytes

    def release(self, num_bytes: int) -> None:
        """Give up a reservation: the upload is on the disk, or has failed."""
        self._reserved -= num_bytes

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
