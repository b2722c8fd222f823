"""Sources that failed through no fault of their own, and how often they are tried again.

A time limit, a memory limit and a crash tell of the machine as much as of the video: the next run
tries again, a few times, and at once when the limits were changed.
"""

from dataclasses import asdict
from typing import Any

from curation.ledger import SourceRow
from curation.workers.executor import FAILURES, LimitsConfig


def is_to_try_again(row: SourceRow, limits: LimitsConfig) -> bool:
    """Whether a failed source has attempts left under these limits."""
    if row.code not in FAILURES:
        return False
    return _attempts(row, limits) < limits.max_attempts


def facts_of_failure(before: SourceRow | None, limits: LimitsConfig) -> dict[str, Any]:
    """What the ledger remembers of a failure: how many there were under these limits."""
    count = 0 if before is None or before.code not in FAILURES else _attempts(before, limits)
    return {"attempts": count + 1, "limits": asdict(limits)}


def _attempts(row: SourceRow, limits: LimitsConfig) -> int:
    if row.facts.get("limits") != asdict(limits):
        return 0
    return int(row.facts.get("attempts", 0))
