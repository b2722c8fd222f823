"""Sources that failed through no fault of their own, and how often they are retried.

A time limit, a memory limit and a crash depend on the machine as much as on the video: the next run
retries, up to ``max_attempts`` times, and always if the limits changed.
"""

from dataclasses import asdict
from typing import Any

from curation.ledger import SourceRow
from curation.workers.executor import FAILURES, LimitsConfig


def is_to_try_again(row: SourceRow, limits: LimitsConfig) -> bool:
    """Whether a failed source has attempts left under these limits."""
    return row.code in FAILURES and _attempts(row, limits) < limits.max_attempts


def facts_of_failure(before: SourceRow | None, limits: LimitsConfig) -> dict[str, Any]:
    """What the ledger stores about a failure: the number of attempts under these limits."""
    count = 0 if before is None or before.code not in FAILURES else _attempts(before, limits)
    return {"attempts": count + 1, "limits": asdict(limits)}


def _attempts(row: SourceRow, limits: LimitsConfig) -> int:
    if row.facts.get("limits") != asdict(limits):
        return 0
    return int(row.facts.get("attempts", 0))
