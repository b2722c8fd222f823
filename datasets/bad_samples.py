"""Bad shards and samples: skipped, named, counted; a run stops when there are too many.

A bad sample shifts no other: sample n of the run takes the next readable clip in its epoch's order
instead (``ClipDataset``). That depends on the files alone, not on which process reads them.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from configs.console import counted
from configs.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One sample that cannot be read; with an empty key, whatever a damaged shard has lost."""

    shard: str
    key: str
    reason: str

    @property
    def name(self) -> str:
        """Shard and key; the same key may occur in two roots."""
        return f"{self.shard}: sample {self.key!r}" if self.key else self.shard


class UnreadableClipError(DataError):
    """A clip that cannot be read; holds the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.name} cannot be read ({fault.reason})")
        self.fault = fault

    @classmethod
    def of(cls, shard: object, key: str, error: BaseException) -> "UnreadableClipError":
        """Wrap an error raised while reading, as one line."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(Fault(shard=str(shard), key=key, reason=reason))


class Tally:
    """Counts the bad samples met in this process and stops the run when there are too many.

    Args:
        num_clips: clips in all roots, readable or not.
        max_share: share of them that may be bad.
    """

    def __init__(self, num_clips: int, max_share: float) -> None:
        self.num_clips, self.max_share = num_clips, max_share
        self.counts: Counter[str] = Counter()

    def add(self, faults: Iterable[Fault]) -> None:
        """Count faults in the order they were met; each is logged once.

        Raises:
            DataError: too many clips are bad.
        """
        new = [fault for fault in faults if self._is_new(fault)]
        bad = len(self.counts)
        if new and bad > self.max_share * self.num_clips:
            raise DataError(
                f"{bad} of {counted(self.num_clips, 'clip')} cannot be read, more than "
                f"data.max_bad_share = {self.max_share:g} allows; the last one is "
                f"{new[-1].name} ({new[-1].reason})"
            )

    def _is_new(self, fault: Fault) -> bool:
        self.counts[fault.name] += 1
        if self.counts[fault.name] > 1:
            return False
        logger.warning(
            "%s is skipped: %s (%d of %d clips are bad so far)",
            fault.name, fault.reason, len(self.counts), self.num_clips,
        )  # fmt: skip
        return True

    def log_summary(self) -> None:
        """Log each bad sample with how often it was met; nothing if there are none."""
        if self.counts:
            named = "; ".join(f"{name}, {_times(count)}" for name, count in self.counts.items())
            logger.warning("%d clips could not be read and were replaced: %s",
                           len(self.counts), named)  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume the counts of a checkpoint; faults found again at startup count once."""
        for name, count in state["counts"].items():
            self.counts[name] = max(self.counts[name], int(count))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
