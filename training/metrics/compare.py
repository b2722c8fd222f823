"""Put two evaluations beside each other, if they measured the same thing.

python -m training.metrics.compare A/metrics.json B/metrics.json
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError, DataError

USAGE = "python -m training.metrics.compare A/metrics.json B/metrics.json"


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json, or the one in a folder."""
    file = path / "metrics.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file} does not exist")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict) or "protocol" not in content or "pairings" not in content:
        raise DataError(f"{file} is no metrics.json of an evaluation")
    return content


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Why two evaluations cannot be compared; empty where they can."""
    found: list[str] = []
    for key in ("benchmark", "resolution"):
        if first[key] != second[key]:
            found.append(f"{key}: {first[key]} and {second[key]}")
    for key in sorted(first["protocol"].keys() | second["protocol"].keys()):
        a, b = first["protocol"].get(key), second["protocol"].get(key)
        if a != b:
            found.append(f"protocol, {key}: {a!r} and {b!r}")
    for name in sorted(first["weights"].keys() & second["weights"].keys()):
        a, b = (side["weights"][name].get("sha256") for side in (first, second))
        if a and b and a != b:
            found.append(f"weights {name}: sha256 {a[:12]} and {b[:12]}")
    for pairing in sorted(first["pairings"].keys() & second["pairings"].keys()):
        a, b = (
            {video["id"] for video in side["pairings"][pairing]["rows"][0]["videos"]}
            for side in (first, second)
        )
        if a != b:
            found.append(f"{pairing}: {len(a ^ b)} videos are in one only, such as {min(a ^ b)!r}")
    return found


def comparison(first: dict[str, Any], second: dict[str, Any]) -> list[Table]:
    """One table a pairing that both have.

    Raises:
        ConfigError: they measured different things; the message says which.
    """
    found = differences(first, second)
    if found:
        raise ConfigError(f"these evaluations do not compare: {'; '.join(found)}")
    tables: list[Table] = []
    for pairing in first["pairings"]:
        if pairing not in second["pairings"]:
            continue
        table = Table(title=f"{first['benchmark']}, {pairing}")
        table.add_column("metric")
        rows = [side["pairings"][pairing]["rows"][0] for side in (first, second)]
        for row in rows:
            table.add_column(row["method"])
        for metric in first["metrics"]:
            arrow = "↑" if metric["is_higher_better"] else "↓"
            cells = [_cell(row["scores"][metric["key"]]) for row in rows]
            table.add_row(f"{metric['label']} {arrow}", *cells)
        tables.append(table)
    return tables


def _cell(score: dict[str, Any]) -> str:
    if "value" not in score:
        return "-"
    interval = score.get("interval")
    spread = f" ({interval[0]:.4g} .. {interval[1]:.4g})" if interval else ""
    return f"{score['value']:.4g}{spread}"


def main(argv: list[str]) -> None:
    """Compare two files."""
    if len(argv) != 2:
        raise ConfigError(f"two files are compared; usage: {USAGE}")
    console = Console()
    for table in comparison(read_metrics(Path(argv[0])), read_metrics(Path(argv[1]))):
        console.print(table)


if __name__ == "__main__":
    run_command(main)
