"""Times the parts of an evaluation."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class EvaluationTimes:
    """Seconds by part; the time of a nested part is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time the body of the ``with`` block."""
        start = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def take(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        taken = dict(self.seconds)
        self.seconds.clear()
        return taken

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add other seconds by part."""
        for name, spent in seconds.items():
            self.seconds[name] += spent
