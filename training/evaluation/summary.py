"""One pairing of metrics.json: a method's row from its items' scores, and missing items.

An item that preparation rejected (for example because its mask failed) has no sample. A mean over
the rest is a mean over easier videos, so every result states which are missing and why.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from configs.console import counted
from datasets.benchmarks.benchmark import Benchmark
from training.evaluation.intervals import block_interval, bootstrap_interval, jackknife_interval
from training.evaluation.scoring import REFERENCE, ItemScores
from training.evaluation.suite import MetricSuite
from training.metrics.catalogue import METRICS
from training.metrics.metric import NO_TRUTH, Metric

NOT_STATED = "not stated by the samples"


def summarise(method: str, items: Sequence[ItemScores], suite: MetricSuite) -> dict[str, Any]:
    """Each metric's value of a method with its 95 % interval, or the reason for having none."""
    has_truth = all(item.has_truth for item in items)
    summary: dict[str, Any] = {}
    for metric in METRICS:
        gap = suite.gap(metric)
        if metric.needs_truth and not has_truth:
            gap = NO_TRUTH
        if gap is not None:
            summary[metric.key] = {"gap": gap}
        elif metric.kind == "set":
            summary[metric.key] = _set_distance(metric, method, items)
        else:
            values = [item.videos[method].values.get(metric.key) for item in items]
            known = [value for value in values if value is not None]
            summary[metric.key] = (
                {
                    "value": float(np.mean(known)),
                    "interval": bootstrap_interval(known),
                    "num_videos": len(known),
                }
                if known
                else {"gap": metric.no_value}
            )
    return summary


def _set_distance(metric: Metric, method: str, items: Sequence[ItemScores]) -> dict[str, Any]:
    assert metric.distance is not None
    assert metric.needs is not None
    network = metric.needs
    ours = [torch.from_numpy(item.features[method][network]) for item in items]
    real = [torch.from_numpy(item.features[REFERENCE][network]) for item in items]
    first, second = torch.cat(ours), torch.cat(real)
    if min(len(first), len(second)) < 2:
        return {"gap": f"{counted(len(first), 'clip')}: a distance between sets needs two"}
    interval = block_interval if metric.is_unbiased else jackknife_interval
    return {
        "value": metric.distance(first, second),
        "interval": interval(ours, real, metric.distance),
        "num_clips": len(first),
    }


def perceptions(bench: Benchmark, identities: list[str]) -> list[dict[str, Any]]:
    """The models that made masks and DensePose: one record per kind, with its number of items."""
    counted: dict[str, int] = {}
    for identity in identities:
        backends = bench.record(identity).get("backends") or NOT_STATED
        name = json.dumps(backends, sort_keys=True)
        counted[name] = counted.get(name, 0) + 1
    return [{"models": json.loads(name), "num_items": count} for name, count in counted.items()]


def missing_items(bench: Benchmark, pairing: str) -> list[dict[str, str]]:
    """Requested items of a pairing that have no sample, each with its reason."""
    return [
        {"id": item.id, "source": item.source, "reason": item.code}
        for item in bench.rejected(pairing)
    ]
