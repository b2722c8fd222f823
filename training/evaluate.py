"""Score a checkpoint, or any method's results, on a benchmark.

    python -m training.evaluate configs/eval/synthetic.yaml name=demo checkpoint=FILE key=value ...
    python -m training.evaluate configs/eval/vvt.yaml name=theirs pred=FOLDER

Results of another method lie as ``FOLDER/<id>.mp4`` (or a folder of frames), or in the folders
``FOLDER/paired`` and ``FOLDER/unpaired``. Output, under ``runs/eval/<bench>-<name>/``:
metrics.json, report.html, predictions/. Run again: what was painted and scored stays.
"""

import json
import logging
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import MISSING
from rich.console import Console
from rich.progress import track
from rich.table import Table

from configs.command import run_command
from configs.errors import ConfigError, DataError
from configs.loading import load_config, split_arguments
from datasets.benchmarks import PAIRINGS, Benchmark, BenchmarkItem
from training.evaluation_report import Case, write_report
from training.metrics.baselines import BASELINES, Video
from training.metrics.catalogue import METRICS
from training.metrics.protocols import get_protocol
from training.metrics.results import check_result, find_result, read_result
from training.metrics.scoring import MethodScores, Scorer, summarise
from training.metrics.suite import load_suite
from training.predictions import CheckpointConfig, CheckpointResults

USAGE = "python -m training.evaluate configs/eval/BENCH.yaml [name=N] [checkpoint=F | pred=D] ..."
PACKAGES = ("torch", "torchmetrics", "torchvision", "numpy", "opencv-python", "av")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is scored, against what and how."""

    bench: str = MISSING
    root: str = MISSING  # the prepared benchmark: holds shards/bench-*.tar
    name: str = "run"  # names the output folder and the row of the table
    checkpoint: str | None = None  # a training checkpoint that paints the results
    pred: str | None = None  # or: a folder with any method's results; wins over checkpoint
    painting: CheckpointConfig = field(default_factory=CheckpointConfig)
    protocol: str = "fixed"
    pairings: list[str] = field(default_factory=lambda: list(PAIRINGS))
    height: int | None = None  # resolution that is painted and measured; None: as stored
    width: int | None = None
    max_items: int | None = None  # the first so many; None: all
    shown_videos: int = 3  # best and worst cases in the report, each
    out: str = "runs/eval"

    def __post_init__(self) -> None:
        get_protocol(self.protocol)
        for pairing in self.pairings:
            if pairing not in PAIRINGS:
                raise ValueError(f"pairings: {pairing!r}; accepted: {', '.join(PAIRINGS)}")
        if not self.pairings:
            raise ValueError(f"pairings is empty; accepted: {', '.join(PAIRINGS)}")
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width are given together or not at all")
        for key in ("height", "width"):
            side = getattr(self, key)
            if side is not None and (side < 64 or side % 2):
                raise ValueError(f"{key} is {side}; an even number of at least 64 is accepted")
        if self.max_items is not None and self.max_items < 1:
            raise ValueError(f"max_items is {self.max_items}; at least 1, or null for all")

    @property
    def folder(self) -> Path:
        """Where the output goes."""
        return Path(self.out) / f"{self.bench}-{self.name}"


Method = Callable[[BenchmarkItem, str], Video]


def evaluate(config: EvaluationConfig) -> dict[str, Any]:
    """Paint what is missing, score everything, write metrics.json and report.html.

    Returns:
        What metrics.json holds.

    Raises:
        ConfigError: nothing to score is given.
        DataError: the benchmark, a result or a file of weights is missing or wrong.
    """
    bench = Benchmark(Path(config.root), config.bench)
    height, width = bench.resolution()
    if config.height is not None and config.width is not None:
        height, width = config.height, config.width
    chosen = {pairing: bench.ids(pairing)[: config.max_items] for pairing in config.pairings}
    method, chosen, made_by = _choose_method(config, chosen)
    suite = load_suite(get_protocol(config.protocol))
    scorer = Scorer(suite, Path(config.out) / "cache")
    methods: dict[str, Method] = {config.name: method, **BASELINES}

    pairings: dict[str, Any] = {}
    for pairing, identities in chosen.items():
        if identities:
            pairings[pairing] = _score_pairing(
                pairing, identities, bench, (height, width), methods, scorer
            )
        else:
            logger.info("%s has no %s items", config.bench, pairing)
    metrics = {
        "schema": 2,
        "benchmark": config.bench,
        "name": config.name,
        "root": config.root,
        "resolution": {"height": height, "width": width},
        "protocol": suite.protocol.to_plain(),
        "weights": suite.weights_record(),
        "made_by": made_by,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "metrics": [metric.to_plain() for metric in METRICS],
        "pairings": pairings,
    }
    config.folder.mkdir(parents=True, exist_ok=True)
    (config.folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")

    def load_case(identity: str, pairing: str) -> Case:
        item = bench.load(identity, height, width)
        return Case(item=item, pairing=pairing, result=method(item, pairing))

    write_report(config.folder / "report.html", metrics, load_case, config.shown_videos)
    return metrics


def _score_pairing(
    pairing: str,
    identities: list[str],
    bench: Benchmark,
    size: tuple[int, int],
    methods: dict[str, Method],
    scorer: Scorer,
) -> dict[str, Any]:
    """One pass over the benchmark: each item is decoded once for all methods and metrics."""
    reference = MethodScores(scorer)
    scores = {name: MethodScores(scorer) for name in methods}
    num_truths = num_frames = 0
    console = Console(stderr=True)
    for identity in track(identities, f"{pairing}: painting and scoring", console=console):
        item = bench.load(identity, *size)
        truth = item.truth(pairing)
        num_truths += truth is not None
        num_frames += len(item.video)
        reference.add_features(item.video if truth is None else truth)
        for name, method in methods.items():
            scores[name].add(method(item, pairing), item, pairing)
    has_truth = num_truths == len(identities)
    return {
        "truth": _describe_truth(pairing, has_truth),
        "has_truth": has_truth,
        "num_videos": len(identities),
        "num_frames": num_frames,
        "num_clips": reference.num_clips,
        "rows": [
            {
                "method": name,
                "is_baseline": name in BASELINES,
                "scores": summarise(scores[name], reference, has_truth),
                "videos": [video.to_plain() for video in scores[name].videos],
            }
            for name in methods
        ],
    }


def _describe_truth(pairing: str, has_truth: bool) -> str:
    if pairing == "paired":
        return "the source itself: the garment that is worn is put on again"
    if has_truth:
        return "the same motion in the target garment, known to this benchmark: frames are compared"
    return "none: set distances compare with the source videos, colour with the garment's picture"


def _choose_method(
    config: EvaluationConfig, chosen: dict[str, list[str]]
) -> tuple[Method, dict[str, list[str]], dict[str, Any]]:
    if config.pred is not None:
        folders = _result_folders(Path(config.pred), config.pairings)
        chosen = {pairing: chosen[pairing] for pairing in folders}
        for pairing, folder in folders.items():
            for identity in chosen[pairing]:
                find_result(folder, identity)  # every one, before any work

        def read_given(item: BenchmarkItem, pairing: str) -> Video:
            path = find_result(folders[pairing], item.id)
            return check_result(read_result(path), item.video, item.id, path)

        return read_given, chosen, {"pred": config.pred}
    if config.checkpoint is None:
        raise ConfigError("nothing to score: give checkpoint=FILE or pred=FOLDER")
    results = CheckpointResults(
        Path(config.checkpoint), config.painting, config.folder / "predictions"
    )
    return results.paint, chosen, results.made_by


def _result_folders(root: Path, pairings: list[str]) -> dict[str, Path]:
    """Which folder holds which pairing's results; a flat folder is taken as the first pairing's."""
    if not root.is_dir():
        raise DataError(f"pred={root} is no folder")
    nested = {pairing: root / pairing for pairing in pairings if (root / pairing).is_dir()}
    if nested:
        return nested
    if len(pairings) > 1:
        logger.info("%s is flat: taken as %s results (pairings=[...] says else)", root, pairings[0])
    return {pairings[0]: root}


def print_table(metrics: dict[str, Any]) -> None:
    """The tables on the terminal."""
    console = Console()
    for pairing, content in metrics["pairings"].items():
        table = Table(title=f"{metrics['benchmark']}, {pairing}: {content['num_videos']} videos")
        rows = content["rows"]
        shown = [
            metric
            for metric in metrics["metrics"]
            if any("value" in row["scores"][metric["key"]] for row in rows)
        ]
        table.add_column("method")
        for metric in shown:
            table.add_column(f"{metric['label']} {'↑' if metric['is_higher_better'] else '↓'}")
        for row in rows:
            table.add_row(row["method"], *[_cell(row["scores"][m["key"]]) for m in shown])
        console.print(table)


def _cell(score: dict[str, Any]) -> str:
    return f"{score['value']:.4g}" if "value" in score else "-"


def main(argv: list[str]) -> None:
    """Read the settings, evaluate, say where the report lies."""
    path, overrides = split_arguments(argv, USAGE)
    config = load_config(EvaluationConfig, path, overrides)
    metrics = evaluate(config)
    print_table(metrics)
    for name, record in metrics["weights"].items():
        if "absent" in record:
            sys.stdout.write(f"{name}: {record['absent']}\n")
    sys.stdout.write(f"report: {(config.folder / 'report.html').resolve().as_uri()}\n")


if __name__ == "__main__":
    run_command(main)
