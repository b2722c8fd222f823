"""What a benchmark holds beside its pictures: who made its masks, and which items are missing.

An item that preparation rejected (its mask failed, say) has no sample. A mean over the rest is a
mean over easier videos, so every result states what is missing and why.
"""

import json
from typing import Any

from datasets.benchmarks.benchmark import Benchmark

NOT_STATED = "not stated by the samples"


def perceptions(bench: Benchmark, identities: list[str]) -> list[dict[str, Any]]:
    """Which models made masks and DensePose: one record for each kind, with its number of items."""
    counted: dict[str, int] = {}
    for identity in identities:
        backends = bench.record(identity).get("backends") or NOT_STATED
        name = json.dumps(backends, sort_keys=True)
        counted[name] = counted.get(name, 0) + 1
    return [{"models": json.loads(name), "num_items": count} for name, count in counted.items()]


def missing_items(bench: Benchmark, pairing: str) -> list[dict[str, str]]:
    """Items of a pairing that were asked for and have no sample, each with its reason."""
    return [
        {"id": item.id, "source": item.source, "reason": item.code}
        for item in bench.rejected(pairing)
    ]


def describe_missing(missing: list[dict[str, str]]) -> str:
    """One sentence that names the items without a sample."""
    named = ", ".join(f"{item['id']} ({item['reason']})" for item in missing)
    count = "1 item is" if len(missing) == 1 else f"{len(missing)} items are"
    return f"{count} missing from this benchmark, so from every mean: {named}"
