"""CPU and wall seconds of each step, stored with the source or clip that it produced."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from configs.console import duration_in_words

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


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What all videos of a folder took so far."""

    source_s: float  # length of the decoded videos
    cpu_s: float
    wall_s: float  # summed over the workers
    steps: dict[str, list[float]]  # ``seconds_by_step``

    @property
    def cpu_per_source(self) -> float:
        """CPU hours per hour of source video."""
        return self.cpu_s / self.source_s

    def in_words(self, cores: Sequence[int]) -> str:
        """One line: the cost, and what an hour of video takes on each number of ``cores``."""
        shares = ", ".join(
            f"{duration_in_words(3600 * self.cpu_per_source / count)} on {count}" for count in cores
        )
        return (
            f"An hour of source video costs {self.cpu_per_source:.2g} CPU hours: {shares} "
            f"core{'' if cores[-1] == 1 else 's'}, if all of them are used."
        )

    def as_record(self) -> dict[str, Any]:
        """``cost.json``: seconds, and CPU hours per hour of source video."""
        return {
            "source_s": round(self.source_s, 3),
            "cpu_s": round(self.cpu_s, 3),
            "wall_s": round(self.wall_s, 3),
            "cpu_h_per_source_h": round(self.cpu_per_source, 4),
            "steps": {step: [round(s, 3) for s in spent] for step, spent in self.steps.items()},
        }


def run_cost(
    sources: Iterable[Mapping[str, Any]], clips: Iterable[Mapping[str, Any]]
) -> RunCost | None:
    """Cost of a folder by the facts of its sources and the records of its clips; None: unknown.

    Sources whose pass was not measured count neither as video nor as time.
    """
    measured = [facts for facts in sources if facts.get("seconds") and facts.get("duration_s")]
    source_s = sum(float(facts["duration_s"]) for facts in measured)
    if not source_s:
        return None
    steps = seconds_by_step([*measured, *clips])
    cpu_s, wall_s = (sum(spent[kind] for spent in steps.values()) for kind in (0, 1))
    return RunCost(source_s=source_s, cpu_s=cpu_s, wall_s=wall_s, steps=steps)
