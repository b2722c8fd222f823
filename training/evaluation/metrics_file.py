"""metrics.json of an evaluation: reading it with checks, and formatting its entries."""

import json
from pathlib import Path
from typing import Any

from configs.console import counted
from configs.errors import DataError

FILE = "metrics.json"


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json, or the one in a folder.

    Raises:
        DataError: it does not exist, or is something else.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} does not exist")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict) or "protocol" not in content or "pairings" not in content:
        raise DataError(f"{file} is not a metrics.json of an evaluation")
    return content


def heading(metric: dict[str, Any]) -> str:
    """A metric's label with an arrow in the better direction."""
    return f"{metric['label']} {'↑' if metric['is_higher_better'] else '↓'}"


def value_text(score: dict[str, Any], absent: str = "-") -> str:
    """A score's value, or ``absent`` if there is none."""
    return f"{score['value']:.4g}" if "value" in score else absent


def describe_missing(missing: list[dict[str, str]]) -> str:
    """One sentence that names the items without a sample."""
    named = ", ".join(f"{item['id']} ({item['reason']})" for item in missing)
    count = counted(len(missing), "item is", "items are")
    return f"{count} missing from this benchmark, so from every mean: {named}"
