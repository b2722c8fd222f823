"""``manifest.parquet``: one row per candidate clip, and one per source without any.

Column names are a contract (docs/architecture.md): tools outside this repository read them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.ledger import SourceRow
from curation.shards.catalogue import CatalogueEntry
from datasets.storage import write_file

SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("scene_start_s", pa.float64()),  # the cut itself; null if no scene was examined
        ("scene_end_s", pa.float64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("status", pa.string()),  # kept or rejected
        ("reason", pa.string()),  # the reject code; null when kept
        ("num_people", pa.int32()),
        ("shard", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("fps", pa.float64()),
        ("num_frames", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("crop", pa.list_(pa.int32())),  # top, left, height, width of the upright source
        ("rotation", pa.int32()),
        ("source_fps", pa.float64()),
        ("source_height", pa.int32()),
        ("source_width", pa.int32()),
        ("garment_frame", pa.int32()),
        ("licence", pa.string()),
        ("url", pa.string()),
        ("evidence", pa.string()),  # JSON: the numbers that rejected it, next to their thresholds
        ("scores", pa.string()),  # JSON: signal name -> value
        ("backends", pa.string()),  # JSON: role -> model
    ]
)
_FROM_RECORD = (
    "scene_start_s", "scene_end_s", "start_s", "end_s", "num_people", "fps", "num_frames",
    "height", "width", "crop", "rotation", "source_fps", "source_height", "source_width",
    "garment_frame",
)  # fmt: skip


def manifest_rows(
    entries: Sequence[CatalogueEntry], sources: Sequence[SourceRow], shard_of: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows in order of clip_id."""
    rows = [_clip_row(entry, shard_of) for entry in entries]
    rows += [_source_row(source) for source in sources if source.code is not None]
    return sorted(rows, key=lambda row: row["clip_id"])


def write_manifest(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the parquet file, atomically."""
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    write_file(path, lambda file: pq.write_table(table, file))


def _clip_row(entry: CatalogueEntry, shard_of: dict[str, str]) -> dict[str, Any]:
    record = entry.clip.record
    return {
        "clip_id": entry.clip.clip_id,
        "source": entry.source.name,
        "source_sha256": entry.source.sha256,
        **{name: record.get(name) for name in _FROM_RECORD},
        "status": entry.clip.status,
        "reason": entry.clip.code,
        "shard": shard_of.get(entry.clip.clip_id),
        "split": entry.split,
        "group": entry.group,
        "licence": entry.source.sidecar.get("licence"),
        "url": entry.source.sidecar.get("url"),
        "evidence": _json(entry.clip.evidence),
        "scores": _json(record.get("scores") or {}),
        "backends": _json(record.get("backends") or {}),
    }


def _source_row(source: SourceRow) -> dict[str, Any]:
    return {
        "clip_id": f"{source.sha256[:16]}_source",
        "source": source.name,
        "source_sha256": source.sha256,
        "status": "rejected",
        "reason": source.code,
        "group": source.group,
        "licence": source.sidecar.get("licence"),
        "url": source.sidecar.get("url"),
        "evidence": _json(source.evidence),
        "scores": "{}",
        "backends": "{}",
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
