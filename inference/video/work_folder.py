"""The folder in which a job stores its unfinished work, so that it can be resumed."""

import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from datasets.storage import disk_errors_named, sweep, write_file


class WorkFolder:
    """A folder for a job's unfinished work, kept for the next one; None: temporary."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.is_temporary = path is None
        with disk_errors_named(Path(tempfile.gettempdir()) if path is None else Path(path)):
            self.path = Path(tempfile.mkdtemp(prefix="tryon-")) if path is None else Path(path)
            self.path.mkdir(parents=True, exist_ok=True)
        if self.is_temporary:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def section(self, name: str, identity: dict[str, Any]) -> Path:
        """A sub-folder for work of one identity; work of any other identity is deleted.

        Raises:
            DiskFull: there is no room for it.
        """
        folder, wanted = self.path / name, json.dumps(identity, indent=1, sort_keys=True)
        record = folder / "identity.json"
        if not record.is_file() or record.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            with disk_errors_named(folder):
                folder.mkdir(parents=True)
            write_file(record, wanted.encode())
        sweep(folder)
        return folder
