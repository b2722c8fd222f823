"""Score a checkpoint, or any method's results, on a benchmark.

    python -m training.evaluate configs/eval/synthetic.yaml name=demo checkpoint=FILE key=value ...
    python -m training.evaluate configs/eval/vvt.yaml name=theirs pred=FOLDER

Results of another method are ``FOLDER/<id>.mp4`` (or folders of frames), or are in
``FOLDER/paired`` and ``FOLDER/unpaired``. Output in ``runs/eval/<bench>-<name>/``: metrics.json,
report.html, predictions/. Run it again to resume: finished videos and scores are kept.
"""

import json
import logging
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.command import run_command
from configs.console import track
from configs.errors import ConfigError
from datasets.benchmarks.benchmark import Benchmark
from training.evaluation.baselines import BASELINES
from training.evaluation.config import EvaluationConfig, read_arguments
from training.evaluation.metrics_file import FILE, describe_missing, heading, value_text
from training.evaluation.predictions import GivenResults
from training.evaluation.report import Case, write_report
from training.evaluation.scoring import ItemScores
from training.evaluation.suite import MetricSuite, load_suite
from training.evaluation.summary import missing_items, perceptions, summarise
from training.evaluation.timing import EvaluationTimes
from training.evaluation.workers import (
    ItemScorer,
    baselines,
    checkpoint_results,
    make_method,
    measured_size,
    paint_all,
    score_all,
)
from training.metrics.catalogue import METRICS
from training.metrics.protocols import get_protocol

PACKAGES = ("torch", "torchmetrics", "torchvision", "numpy", "cv2", "av")
"""Packages whose versions are stored with the numbers; import names, since wheels have several."""
logger = logging.getLogger(__name__)


def evaluate(config: EvaluationConfig) -> dict[str, Any]:
    """Generate missing results, score everything, write metrics.json and report.html.

    Returns:
        The contents of metrics.json.

    Raises:
        ConfigError: there is nothing to score.
        DataError: the benchmark, a result or a file of weights is missing or wrong.
    """
    bench = Benchmark(Path(config.root), config.bench, config.subset)
    height, width = measured_size(config, bench)
    chosen = {pairing: bench.ids(pairing)[: config.max_items] for pairing in config.pairings}
    for pairing in [pairing for pairing, identities in chosen.items() if not identities]:
        logger.info("%s has no %s items", config.bench, pairing)
    chosen, made_by = _prepare_results(config, chosen)
    watch = EvaluationTimes()
    scored, suite = _score(config, chosen, watch)
    with watch.part("set distances and intervals"):
        pairings = {
            pairing: _summarise(config, pairing, chosen[pairing], items, suite)
            | {
                "missing": missing_items(bench, pairing),
                "conditions_made_by": perceptions(bench, chosen[pairing]),
            }
            for pairing, items in scored.items()
        }
    metrics = {
        "schema": 2,
        "benchmark": config.bench,
        "subset": config.subset,
        "name": config.name,
        "root": config.root,
        "resolution": {"height": height, "width": width},
        "protocol": suite.protocol.to_plain(),
        "weights": suite.weights_record(),
        "made_by": made_by,
        "versions": {"python": platform.python_version()}
        | {package: import_module(package).__version__ for package in PACKAGES},
        "metrics": [metric.to_plain() for metric in METRICS],
        "seconds": {name: round(spent, 3) for name, spent in sorted(watch.seconds.items())},
        "pairings": pairings,
    }
    config.folder.mkdir(parents=True, exist_ok=True)
    (config.folder / FILE).write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    method = make_method(config)

    def load_case(identity: str, pairing: str) -> Case:
        item = bench.load(identity, height, width)
        return Case(item=item, pairing=pairing, result=method(item, pairing).frames)

    write_report(config.folder / "report.html", metrics, load_case, config.shown_videos)
    return metrics


def _score(
    config: EvaluationConfig, chosen: dict[str, list[str]], watch: EvaluationTimes
) -> tuple[dict[str, list[ItemScores]], MetricSuite]:
    """Scores of all items of all pairings in the benchmark's order; generates missing results."""
    jobs = [(pairing, index) for pairing in chosen for index in range(len(chosen[pairing]))]
    if config.num_processes:
        if config.pred is None:
            for _ in track(paint_all(config, chosen, jobs), len(jobs), "painting"):
                pass
        suite = load_suite(get_protocol(config.protocol), "cpu")
        steps = score_all(config, chosen, jobs)
    else:
        scorer = ItemScorer(config, chosen)
        suite = scorer.suite
        steps = (scorer.score(*job) for job in jobs)
    scored: dict[str, list[ItemScores]] = {pairing: [] for pairing in chosen if chosen[pairing]}
    what = "scoring" if config.pred is not None or config.num_processes else "painting and scoring"
    for (pairing, _), scores in zip(jobs, track(steps, len(jobs), what), strict=True):
        scored[pairing].append(scores)
        watch.add(scores.seconds)
    return scored, suite


def _summarise(
    config: EvaluationConfig,
    pairing: str,
    identities: list[str],
    items: list[ItemScores],
    suite: MetricSuite,
) -> dict[str, Any]:
    """One pairing of metrics.json: its size and a row per method."""
    has_truth = all(item.has_truth for item in items)
    return {
        "truth": _describe_truth(pairing, has_truth),
        "has_truth": has_truth,
        "num_videos": len(identities),
        "num_frames": sum(item.num_frames for item in items),
        "num_clips": sum(item.num_clips for item in items),
        "rows": [
            {
                "method": name,
                "is_baseline": name in BASELINES,
                "scores": summarise(name, items, suite),
                "videos": [item.videos[name].to_plain() for item in items],
            }
            for name in (config.name, *baselines(config))
        ],
    }


def _describe_truth(pairing: str, has_truth: bool) -> str:
    if pairing == "paired":
        return "the source itself: the garment that is worn is put on again"
    if has_truth:
        return "the same motion in the target garment, known to this benchmark: frames are compared"
    return "none: set distances compare with the source videos, colour with the garment's picture"


def _prepare_results(
    config: EvaluationConfig, chosen: dict[str, list[str]]
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The pairings to score, and the record of the method for metrics.json."""
    if config.pred is not None:
        given = GivenResults(Path(config.pred), config.pairings, config.segment_frames)
        chosen = {pairing: chosen[pairing] for pairing in given.folders}
        given.check(chosen)
        return chosen, {"pred": config.pred, "paste_back": "not known: results were given"}
    if config.checkpoint is None:
        raise ConfigError("nothing to score: give checkpoint=FILE or pred=FOLDER")
    made_by = checkpoint_results(config).start()
    return chosen, made_by | {"paste_back": config.painting.paste_back}


def print_table(metrics: dict[str, Any]) -> None:
    """The tables on the terminal."""
    console = Console()
    for pairing, content in metrics["pairings"].items():
        table = Table(title=f"{metrics['benchmark']}, {pairing}: {content['num_videos']} videos")
        if content["missing"]:
            table.caption = describe_missing(content["missing"])
        rows = content["rows"]
        table.add_column("metric")
        for row in rows:
            table.add_column(row["method"])
        for metric in metrics["metrics"]:
            scores = [row["scores"][metric["key"]] for row in rows]
            if any("value" in score for score in scores):
                table.add_row(heading(metric), *map(value_text, scores))
        console.print(table)


def main(argv: list[str]) -> None:
    """Read the settings, evaluate, print the report's address."""
    config = read_arguments(argv)
    metrics = evaluate(config)
    print_table(metrics)
    for name, record in metrics["weights"].items():
        if "absent" in record:
            sys.stdout.write(f"{name}: {record['absent']}\n")
    sys.stdout.write(f"report: {(config.folder / 'report.html').resolve().as_uri()}\n")


if __name__ == "__main__":
    run_command(main)
