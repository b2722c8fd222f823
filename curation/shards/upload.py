"""Finished shards, manifest, report, costs and a copy of the ledger, uploaded to an fsspec URL.

Curate, refilter and purge upload after packing. A file appears under its name only when complete;
one with the same content is not sent again.
"""

import json
import logging
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from curation.shards.shards import index_path
from curation.video.remote import open_place, remote_errors_named
from datasets.storage import TEMPORARY, file_sha256, listed

logger = logging.getLogger(__name__)

SENT = "sent.json"
"""At the URL: file -> sha256 of everything sent; written last."""
WHOLE_AT_ONCE = ("s3", "s3a", "gs", "gcs", "abfs", "az")
"""Object stores: an object appears only when its upload is complete."""
RESULTS = ("manifest.parquet", "report.html", "cost.json", "config.yaml")


def send(out: Path, url: str) -> int:
    """Upload what a run finished: shards with their indices, ``RESULTS``, and the ledger.

    Returns:
        Number of files sent; files with the same content are skipped.

    Raises:
        DataError: the URL cannot be written.
    """
    system, root = open_place(url)
    root = root.rstrip("/")
    with tempfile.TemporaryDirectory(prefix="curate-send-") as name, remote_errors_named(url):
        local = _results(out, Path(name))
        before = _sent(system, root)
        sent: dict[str, str] = {}
        num_sent = 0
        for file, path in local.items():
            sent[file] = _content(path, out)
            if before.get(file) == sent[file] and system.exists(f"{root}/{file}"):
                continue
            _put(system, path, f"{root}/{file}")
            num_sent += 1
        gone = sorted(before.keys() - sent.keys())
        record = Path(name) / SENT
        record.write_text(json.dumps({"sent": sent}, indent=1, sort_keys=True), "utf-8")
        if num_sent or gone or not before:
            _put(system, record, f"{root}/{SENT}")
        for file in gone:  # after the record, so that it never lists a removed file
            if system.exists(f"{root}/{file}"):
                system.rm_file(f"{root}/{file}")
    logger.info("%s: %d of %d files sent, %d removed", url, num_sent, len(local), len(gone))
    return num_sent


def _results(out: Path, folder: Path) -> dict[str, Path]:
    """Name at the URL -> local file, in the order of sending."""
    shards = listed(out / "shards", "*.tar")
    files = {f"shards/{path.name}": path for path in shards}
    files |= {f"shards/{index_path(path).name}": index_path(path) for path in shards}
    if (out / "shards" / "rejected.json").is_file():
        files["shards/rejected.json"] = out / "shards" / "rejected.json"
    files |= {name: out / name for name in RESULTS if (out / name).is_file()}
    copy = folder / "ledger.sqlite"
    with sqlite3.connect(out / "ledger.sqlite") as ours, sqlite3.connect(copy) as theirs:
        ours.backup(theirs)
    ours.close()
    theirs.close()
    files["ledger.sqlite"] = copy
    return files


def _content(path: Path, out: Path) -> str:
    """sha256 of a file; for a shard, the one in its index."""
    if path.suffix == ".tar":
        return str(json.loads(index_path(path).read_text("utf-8"))["sha256"])
    return file_sha256(path)


def _sent(system: Any, root: str) -> dict[str, str]:
    if not system.exists(f"{root}/{SENT}"):
        return {}
    return json.loads(system.cat_file(f"{root}/{SENT}"))["sent"]


def _put(system: Any, path: Path, target: str) -> None:
    """Upload a file so that readers never see half of it."""
    system.makedirs(target.rpartition("/")[0], exist_ok=True)
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if set(protocols) & set(WHOLE_AT_ONCE):
        system.put_file(str(path), target)
        return
    folder, _, name = target.rpartition("/")
    unfinished = f"{folder}/{TEMPORARY}{name}"
    system.put_file(str(path), unfinished)
    system.mv(unfinished, target)
