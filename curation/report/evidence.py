"""The numbers that decided about a clip, in words, and which clips a threshold nearly turned."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation.checks import AT_LEAST, MORE, Check, clip_checks
from curation.settings import CurateConfig
from curation.shards.catalogue import CatalogueEntry

THRESHOLDS = {
    "height": "min_person_height", "longest_moving_s": "min_duration_s",
    "longest_stretch_s": "min_duration_s", "largest_area": "max_area",
    "share_of_frames": "min_garment_share", "garment_area": "min", "duration_s": "max_s",
}  # fmt: skip
"""Number -> its threshold, where that is not called min_NUMBER or max_NUMBER."""


def evidence_text(evidence: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """What was asked first, with its threshold; then what else was measured. Zeros are left out.

    Args:
        evidence: of a verdict.
        sources: clip_id -> name of its video, for clips that are pointed at.
    """
    asked: list[str] = []
    told: list[str] = []
    used: set[str] = set()
    for name, value in evidence.items():
        names = (f"min_{name}", f"max_{name}", THRESHOLDS.get(name, ""))
        limit = next((other for other in names if other in evidence), None)
        if limit is not None and isinstance(value, int | float):
            word = "at most" if limit.startswith("max") else "at least"
            asked.append(f"{_measure(name, value)} ({word} {_number(evidence[limit])} is asked)")
            used |= {name, limit}
    for name, value in evidence.items():
        if name not in used and value != 0:
            told.append(_measure(name, sources.get(value, value) if _is_name(value) else value))
    return ", ".join(asked + told)


def nearly_turned(
    entries: Sequence[CatalogueEntry], config: CurateConfig
) -> list[tuple[CatalogueEntry, str]]:
    """Kept clips that a threshold a tenth stricter would have let go, the nearest first."""
    found: list[tuple[float, CatalogueEntry, str]] = []
    for entry in entries:
        if not entry.is_kept:
            continue
        checks = clip_checks(entry, config, None)
        near = [c for c in checks if c.is_near and c.is_passed and not _is_whole(c)]
        if near:
            closest = min(near, key=_distance)
            word = "at least" if closest.rule in (AT_LEAST, MORE) else "at most"
            told = f"{closest.signal} {_number(closest.value)}, {word} {_number(closest.threshold)}"
            found.append((_distance(closest), entry, f"{told} ({closest.key})"))
    found.sort(key=lambda item: (item[0], item[1].clip.clip_id))
    return [(entry, told) for _, entry, told in found]


def _is_whole(check: Check) -> bool:
    """Whether it is a share that cannot be larger."""
    return check.rule == AT_LEAST and check.value == 1.0 and (check.threshold or 0.0) <= 1.0


def _distance(check: Check) -> float:
    """From the threshold, as a share of it."""
    assert isinstance(check.value, int | float)
    assert check.threshold is not None
    return abs(check.value - check.threshold) / max(abs(check.threshold), 1e-9)


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _measure(name: str, value: Any) -> str:
    words = name.removesuffix("_s").replace("_", " ")
    return f"{words} {_number(value)}{' s' if name.endswith('_s') else ''}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
