"""Where the time of a run goes: CPU and wall seconds by step, kept with what they made."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from curation.ledger import ClipRow, SourceRow

STEPS = (
    "first pass", "arbiter", "people in samples", "decode clip", "people", "densepose", "parsing",
    "agnostic", "garments", "encode tracks", "write tracks",
)  # fmt: skip
"""In order of work; a stage that is not named here comes last."""


class Stopwatch:
    """Adds up seconds by step, ``{step: [CPU s of this process, wall s]}``.

    Wall time beyond CPU time is waiting: for the disk, for a GPU, for a busy machine.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Everything inside counts for ``step``."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            spent = self.seconds.setdefault(step, [0.0, 0.0])
            spent[0] += time.process_time() - cpu
            spent[1] += time.perf_counter() - wall


def seconds_by_step(
    sources: Iterable[SourceRow], clips: Iterable[ClipRow]
) -> dict[str, list[float]]:
    """CPU and wall seconds that all sources and clips took when they were made, by step."""
    total: dict[str, list[float]] = {}
    records = [source.facts for source in sources] + [clip.record for clip in clips]
    for record in records:
        for step, (cpu, wall) in (record.get("seconds") or {}).items():
            spent = total.setdefault(step, [0.0, 0.0])
            spent[0] += cpu
            spent[1] += wall
    order = {step: index for index, step in enumerate(STEPS)}
    return dict(sorted(total.items(), key=lambda item: order.get(item[0], len(order))))
