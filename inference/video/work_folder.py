"""The folder in which a job keeps what it has made so far, so that it can go on after a stop."""

import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from datasets.storage import sweep, write_file


class WorkFolder:
    """A folder for what a job has made so far.

    Args:
        path: kept after the job, and taken up again by the next; None: a temporary one that goes
            with this object.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.is_temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="tryon-")) if path is None else Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_temporary:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def section(self, name: str, identity: dict[str, Any]) -> Path:
        """A folder in it for work of one identity; work of another is deleted."""
        folder, wanted = self.path / name, json.dumps(identity, indent=1, sort_keys=True)
        record = folder / "identity.json"
        if not record.is_file() or record.read_text(encoding="utf-8") != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_file(record, wanted.encode())
        sweep(folder)
        return folder
