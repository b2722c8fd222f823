"""The values that decided about a clip as text, and kept clips that are near a threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

from curation.clip import AT_LEAST, LESS, MORE, Check
from curation.shards.catalogue import CatalogueEntry

IN_WORDS = {AT_LEAST: "at least", MORE: "more than", LESS: "less than"}


def evidence_text(check: Check, evidence: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """The value that failed and its threshold first, then the other evidence; zeros are omitted.

    ``sources``: clip_id -> name of its video, for clips that the evidence refers to.
    """
    parts: list[str] = []
    if check.threshold is not None:
        value = evidence.get(check.signal, check.value)
        limit = f"{IN_WORDS.get(str(check.rule), 'at most')} {_number(check.threshold)} is required"
        parts.append(f"{_measure(check.signal, value)} ({limit})")
    for name, value in evidence.items():
        is_first = check.threshold is not None and check.signal.endswith(name)
        if not (is_first or name.startswith(("min", "max")) or value in (0, None)):
            parts.append(
                _measure(name, sources.get(value, value) if isinstance(value, str) else value)
            )
    return ", ".join(parts)


def nearly_turned(
    checked: Sequence[tuple[CatalogueEntry, Sequence[Check]]],
) -> list[tuple[CatalogueEntry, str]]:
    """Kept clips that a threshold 10% stricter would have rejected, nearest first."""
    found: list[tuple[float, CatalogueEntry, str]] = []
    for entry, checks in checked:
        near = [c for c in checks if c.code and c.is_near and c.is_passed and not is_whole(c)]
        if entry.is_kept and near:
            closest = min(near, key=distance_to_limit)
            word = IN_WORDS.get(str(closest.rule), "at most")
            text = f"{closest.signal} {_number(closest.value)}, {word} {_number(closest.threshold)}"
            found.append((distance_to_limit(closest), entry, f"{text} ({closest.key})"))
    found.sort(key=lambda item: (item[0], item[1].clip.clip_id))
    return [(entry, text) for _, entry, text in found]


def is_whole(check: Check) -> bool:
    """Whether it is a share that cannot be larger than 1."""
    return check.rule == AT_LEAST and check.value == 1.0 and (check.threshold or 0.0) <= 1.0


def distance_to_limit(check: Check) -> float:
    """Distance from the threshold, relative to it."""
    assert isinstance(check.value, int | float)
    assert check.threshold is not None
    return abs(check.value - check.threshold) / max(abs(check.threshold), 1e-9)


def _measure(name: str, value: Any) -> str:
    if value is None:
        return name.replace("_", " ")
    words = name.removesuffix("_s").replace("_", " ")
    return f"{words} {_number(value)}{' s' if name.endswith('_s') else ''}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
