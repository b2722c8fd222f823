"""Compare two evaluations, if they measured the same thing.

    python -m training.evaluation.compare A/metrics.json B/metrics.json

For per-video metrics the paired difference on the same videos has its own 95 % interval: the same
videos are hard for both methods, so it is far narrower than the intervals of the two means.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError
from training.evaluation.intervals import Interval, bootstrap_interval
from training.evaluation.metrics_file import heading, read_metrics, value_text

USAGE = "python -m training.evaluation.compare A/metrics.json B/metrics.json"


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Second minus first, over the videos that have the number in both."""

    mean: float
    interval: Interval | None  # 95 %, bootstrap over videos; None for fewer than two
    num_videos: int
    is_higher_better: bool

    @property
    def better(self) -> int | None:
        """Index of the method whose advantage excludes zero (0 or 1); None if neither."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return None
        return int((self.mean > 0) == self.is_higher_better)


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Why two evaluations cannot be compared; empty if they can."""
    found: list[str] = []
    for key in ("schema", "benchmark", "subset", "resolution"):
        if first.get(key) != second.get(key):
            found.append(f"{key}: {first.get(key)} and {second.get(key)}")
    if found and found[0].startswith("schema"):
        return [f"{found[0]}; evaluate the older one again (its scores are kept)"]
    for key in sorted(first["protocol"].keys() | second["protocol"].keys()):
        a, b = first["protocol"].get(key), second["protocol"].get(key)
        if a != b:
            found.append(f"protocol, {key}: {a!r} and {b!r}")
    for name in sorted(first["weights"].keys() & second["weights"].keys()):
        a, b = (side["weights"][name].get("sha256") for side in (first, second))
        if a and b and a != b:
            found.append(f"weights {name}: sha256 {a[:12]} and {b[:12]}")
    versions = [{m["key"]: m.get("version") for m in side["metrics"]} for side in (first, second)]
    for key in sorted(versions[0].keys() & versions[1].keys()):
        if versions[0][key] != versions[1][key]:
            found.append(f"metric {key}: version {versions[0][key]} and {versions[1][key]}")
    for pairing in sorted(first["pairings"].keys() & second["pairings"].keys()):
        a, b = (
            {video["id"] for video in side["pairings"][pairing]["rows"][0]["videos"]}
            for side in (first, second)
        )
        if a != b:
            found.append(f"{pairing}: {len(a ^ b)} videos are in one only, such as {min(a ^ b)!r}")
    if not first["pairings"].keys() & second["pairings"].keys():
        found.append(
            f"pairings: {', '.join(first['pairings'])} and {', '.join(second['pairings'])}"
        )
    return found


def paired_difference(
    metric: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> PairedDifference | None:
    """The paired difference of two rows over the same videos in one metric of metrics.json.

    None for distances between sets, and if no video has the number in both.
    """
    values = [
        {video["id"]: video["values"].get(metric["key"]) for video in row["videos"]}
        for row in (first, second)
    ]
    found = [
        values[1][identity] - value
        for identity, value in values[0].items()
        if value is not None and values[1].get(identity) is not None
    ]
    if not found:
        return None
    return PairedDifference(
        mean=float(np.mean(found)),
        interval=bootstrap_interval(found),
        num_videos=len(found),
        is_higher_better=metric["is_higher_better"],
    )


def comparison(first: dict[str, Any], second: dict[str, Any]) -> list[Table]:
    """One table per pairing that both have.

    Raises:
        ConfigError: they measured different things; the message names them.
    """
    found = differences(first, second)
    if found:
        raise ConfigError(f"these evaluations cannot be compared: {'; '.join(found)}")
    tables: list[Table] = []
    for pairing in first["pairings"]:
        if pairing not in second["pairings"]:
            continue
        table = Table(title=f"{first['benchmark']}, {pairing}")
        table.add_column("metric")
        rows = [side["pairings"][pairing]["rows"][0] for side in (first, second)]
        for row in rows:
            table.add_column(row["method"])
        table.add_column("difference on the same videos")
        second_metrics = {metric["key"] for metric in second["metrics"]}
        for metric in first["metrics"]:
            if metric["key"] not in second_metrics:
                continue
            cells = [_cell(row["scores"][metric["key"]]) for row in rows]
            difference = paired_difference(metric, rows[0], rows[1])
            table.add_row(
                heading(metric),
                *cells,
                _verdict(difference, [r["method"] for r in rows]),
            )
        tables.append(table)
    return tables


def _cell(score: dict[str, Any]) -> str:
    interval = score.get("interval")
    spread = f" ({interval[0]:.4g} .. {interval[1]:.4g})" if interval else ""
    return f"{value_text(score)}{spread}"


def _verdict(difference: PairedDifference | None, names: list[str]) -> str:
    if difference is None:
        return "-"
    spread = ""
    if difference.interval is not None:
        spread = f" [{difference.interval[0]:+.3g}, {difference.interval[1]:+.3g}]"
    found = f"{difference.mean:+.3g}{spread}"
    if difference.better is None:
        return f"{found}: undecided"
    return f"{found}: {names[difference.better]} is better"


def main(argv: list[str]) -> None:
    """Compare two files."""
    if len(argv) != 2:
        raise ConfigError(f"expected two files; usage: {USAGE}")
    console = Console()
    for table in comparison(read_metrics(Path(argv[0])), read_metrics(Path(argv[1]))):
        console.print(table)


if __name__ == "__main__":
    run_command(main)
