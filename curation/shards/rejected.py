"""``shards/rejected.json``: the benchmark items that could not be prepared, by their ids.

A score over the remaining items must say which ones are missing: readers of the shards read this
file too (``datasets.benchmarks.benchmark.Benchmark.rejected``).
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from curation.ledger import SourceRow
from curation.shards.catalogue import CatalogueEntry
from datasets.storage import write_file

logger = logging.getLogger(__name__)

REJECTED_FILE = "rejected.json"
SCHEMA = 1


def write_rejected(
    folder: Path, entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow]
) -> None:
    """Write the file next to the shards; remove it if no benchmark video was rejected."""
    lost = rejected_items(entries, sources)
    path = folder / REJECTED_FILE
    if not any(lost.values()):
        path.unlink(missing_ok=True)
        return
    names = sorted({item["id"] for items in lost.values() for item in items})
    logger.warning("not prepared, and listed in %s: %s", path, ", ".join(names))
    text = json.dumps({"schema": SCHEMA, "rejected": lost}, indent=1, sort_keys=True).encode()
    write_file(path, text)


def rejected_items(
    entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow]
) -> dict[str, list[dict[str, Any]]]:
    """Pairing -> items of benchmark videos without a kept clip: id, source, code, evidence.

    Published test sets define their items' ids; a filmed video's item has the file's name.
    """
    kept = {entry.source.sha256 for entry in entries if entry.is_kept}
    lost: dict[str, list[dict[str, Any]]] = {"paired": [], "unpaired": []}
    for source in sorted(sources, key=lambda source: source.name):
        if source.sidecar.get("split") != "bench" or source.sha256 in kept:
            continue
        code, evidence = source.code, source.evidence
        if code is None:
            clips = [entry.clip for entry in entries if entry.source.sha256 == source.sha256]
            code = clips[0].code if clips else "no_clip"
            evidence = clips[0].evidence if clips else {}
        for pairing, ids in _ids(source).items():
            lost[pairing] += [
                {"id": name, "source": source.name, "code": code, "evidence": evidence}
                for name in ids
            ]
    return lost


def _ids(source: SourceRow) -> dict[str, list[str]]:
    known = source.facts.get("ids")
    if isinstance(known, dict):
        return known
    stem = PurePosixPath(source.name).stem
    return {"paired": [stem], "unpaired": [stem] if source.sidecar.get("target_garment") else []}
