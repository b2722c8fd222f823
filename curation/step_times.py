"""CPU and wall seconds of each step, stored with the source or clip that it produced."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

STEPS = (
    "first pass", "arbiter", "people in samples", "decode clip", "people", "densepose", "parsing",
    "agnostic", "labels", "garments", "encode tracks", "write tracks",
)  # fmt: skip
"""In order of execution; other stages come last."""


class StepTimes:
    """Adds up seconds by step, ``{step: [CPU s of this process, wall s]}``.

    Wall time beyond CPU time is waiting: for the disk, a GPU, or a busy machine.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Count the time spent inside for ``step``."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            spent = self.seconds.setdefault(step, [0.0, 0.0])
            spent[0] += time.process_time() - cpu
            spent[1] += time.perf_counter() - wall


def seconds_by_step(records: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """CPU and wall seconds by step, summed over all records of sources and clips that have them."""
    total: dict[str, list[float]] = {}
    for record in records:
        for step, (cpu, wall) in (record.get("seconds") or {}).items():
            spent = total.setdefault(step, [0.0, 0.0])
            spent[0] += cpu
            spent[1] += wall
    order = {step: index for index, step in enumerate(STEPS)}
    return dict(sorted(total.items(), key=lambda item: order.get(item[0], len(order))))
