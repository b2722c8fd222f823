"""SHA256.json: the hash of each weights file at its first use; changed files are rejected."""

import json
import logging
from pathlib import Path

from configs.errors import DataError
from datasets.storage import DiskFull, write_file

logger = logging.getLogger(__name__)

RECORDS_FILE = "SHA256.json"


def read_records(folder: Path) -> dict[str, str]:
    """File below ``folder`` -> sha256.

    Raises:
        DataError: SHA256.json exists but is not such a table.
    """
    path = folder / RECORDS_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not readable JSON ({error}); remove or repair it") from error
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise DataError(f"{path} is not a table of file and sha256; remove or repair it")
    return content


def check_record(folder: Path, file: str, sha256: str) -> None:
    """Compare a file's hash with that of its first use, or record it if this is the first.

    Raises:
        DataError: the file has changed; the message names both hashes.
    """
    records = read_records(folder)
    known = records.get(file)
    if known == sha256:
        return
    if known is not None:
        raise DataError(
            f"{folder / file} has changed: its sha256 is {sha256}, at first use it was {known}; "
            f"restore the first file, or remove its line from {folder / RECORDS_FILE} if the "
            "change is intended"
        )
    try:
        _write(folder, records | {file: sha256})
    except (OSError, DiskFull) as error:  # a team's read-only folder: its numbers stay usable
        logger.warning("the sha256 of %s is not recorded: %s", folder / file, error)


def forget_record(folder: Path, file: str) -> None:
    """Remove a file's line before it is fetched again."""
    records = read_records(folder)
    if records.pop(file, None) is not None:
        _write(folder, records)


def _write(folder: Path, records: dict[str, str]) -> None:
    """Write atomically: several processes of one evaluation may write at once."""
    text = json.dumps(dict(sorted(records.items())), indent=1) + "\n"
    write_file(folder / RECORDS_FILE, text.encode())
