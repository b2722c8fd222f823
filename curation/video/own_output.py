"""Folders that this project wrote: their videos are results, not raw videos."""

import json
import re
from pathlib import Path

_LEDGER = re.compile(r"ledger(-\d+-of-\d+)?\.sqlite")
_MOST_BYTES = 100_000_000  # of a record of jobs


def maker_of(folder: Path, names: set[str]) -> str | None:
    """The command that wrote a folder, by the names of its files; None: somebody else.

    Args:
        folder: to look at.
        names: of its files and sub-folders.
    """
    if any(_LEDGER.fullmatch(name) for name in names):
        return "make curate"
    if "jobs.json" in names and _is_record_of_jobs(folder / "jobs.json"):
        return "make tryon"
    if {"config.yaml", "checkpoints"} <= names:
        return "training"
    if {"metrics.json", "report.html"} <= names or "made_by.json" in names:
        return "make eval"
    if ".fitting-room" in names:
        return "make app"
    return None


def _is_record_of_jobs(path: Path) -> bool:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return True
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(
        isinstance(entry, dict) and {"request", "report"} <= entry.keys()
        for entry in content.values()
    )
