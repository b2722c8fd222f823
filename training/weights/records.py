"""SHA256.json: what each file of weights was at its first use, so that a changed one is refused."""

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
        DataError: SHA256.json is there but is no such table.
    """
    path = folder / RECORDS_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not readable JSON ({error}); remove it or mend it") from error
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise DataError(f"{path} is no table of file and sha256; remove it or mend it")
    return content


def check_record(folder: Path, file: str, sha256: str) -> None:
    """Hold a file's hash against that of its first use, or record it if this is the first.

    Raises:
        DataError: the file is another one than it was; both hashes are named.
    """
    records = read_records(folder)
    known = records.get(file)
    if known == sha256:
        return
    if known is not None:
        raise DataError(
            f"{folder / file} has changed: its sha256 is {sha256}, at first use it was {known}; "
            f"put the first file back, or take its line out of {folder / RECORDS_FILE} if the "
            "change is meant"
        )
    try:
        _write(folder, records | {file: sha256})
    except (OSError, DiskFull) as error:  # a team's read-only folder: its numbers stay usable
        logger.warning("the sha256 of %s is not recorded: %s", folder / file, error)


def forget_record(folder: Path, file: str) -> None:
    """Take a file's line out: it is about to be fetched anew."""
    records = read_records(folder)
    if records.pop(file, None) is not None:
        _write(folder, records)


def _write(folder: Path, records: dict[str, str]) -> None:
    """Whole or not at all: several processes of one evaluation may write at once."""
    text = json.dumps(dict(sorted(records.items())), indent=1) + "\n"
    write_file(folder / RECORDS_FILE, text.encode())
