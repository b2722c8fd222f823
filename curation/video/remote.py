"""Sources and results at an fsspec URL (``s3://bucket/raw``, ``gs://``, ``memory://``).

Work is done on local disks: videos are fetched into a cache folder, once each, before they are
curated; finished shards, manifest, report and a copy of the ledger are sent after packing, by
curate, refilter and purge alike. A file appears under its name only when it is whole, and what is
there with the same content stays.
"""

import hashlib
import json
import logging
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from curation.shards.shards import index_path
from datasets.storage import TEMPORARY, file_sha256, write_file

logger = logging.getLogger(__name__)

SENT = "sent.json"
"""At the URL: file -> sha256 of all that was sent; written last."""
FETCHED = ".fetched.json"
WHOLE_AT_ONCE = ("s3", "s3a", "gs", "gcs", "abfs", "az")
"""Object stores: an object is there when its upload ended, never before."""
STORE_ERRORS = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"))
"""What s3fs lets through as it comes, such as missing credentials, beside OSErrors of its own."""
RESULTS = ("manifest.parquet", "report.html", "config.yaml")


def is_remote(place: str) -> bool:
    """Whether this is a URL rather than a path."""
    return "://" in place


def open_place(url: str) -> tuple[Any, str]:
    """File system and path of a URL.

    Raises:
        ConfigError: nothing here speaks its protocol.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        protocol = url.partition("://")[0]
        raise ConfigError(f"{url}: {protocol}:// is not spoken here: {error}") from error


def fetch(url: str, cache: Path, is_wanted: Callable[[str], bool] | None = None) -> Path:
    """A local copy of all files below a URL; what is there unchanged is not fetched again.

    Args:
        url: a folder.
        cache: where copies of URLs lie, a folder for each.
        is_wanted: by the name below the URL; sidecars always come along. None: all.

    Returns:
        The copy's folder; files that left the URL have left it, too.

    Raises:
        DataError: the URL cannot be read, or holds no files.
    """
    system, root = open_place(url)
    folder = cache / hashlib.sha256(url.encode()).hexdigest()[:16]
    with remote_errors_named(url):
        found = {
            path[len(root) :].lstrip("/"): info
            for path, info in system.find(root, detail=True).items()
        }
    names = {name for name in found if name and not _is_hidden(name)}
    if not names:
        raise DataError(f"src={url} holds no files; give a folder with videos")
    folder.mkdir(parents=True, exist_ok=True)
    stamps_path = folder / FETCHED
    stamps = json.loads(stamps_path.read_text("utf-8")) if stamps_path.is_file() else {}
    for name in sorted(stamps.keys() - names):
        (folder / name).unlink(missing_ok=True)
        del stamps[name]
    num_fetched = 0
    for name in sorted(names):
        if is_wanted is not None and not name.endswith(".json") and not is_wanted(name):
            continue
        stamp = _stamp(found[name])
        if stamps.get(name) == stamp and (folder / name).is_file():
            continue
        with remote_errors_named(url), system.open(f"{root.rstrip('/')}/{name}", "rb") as file:
            write_file(folder / name, lambda out, file=file: shutil.copyfileobj(file, out, 1 << 20))
        stamps[name] = stamp
        num_fetched += 1
        write_file(stamps_path, json.dumps(stamps, sort_keys=True).encode())
    logger.info("%s: %d of %d files fetched into %s", url, num_fetched, len(names), folder)
    return folder


def send(out: Path, url: str) -> int:
    """Send what a run finished: shards with their indices, manifest, report, settings, ledger.

    Returns:
        How many files were sent; those with the same content stay.

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
        for file in gone:  # after the record, so that nobody is pointed at what is gone
            if system.exists(f"{root}/{file}"):
                system.rm_file(f"{root}/{file}")
    logger.info("%s: %d of %d files sent, %d removed", url, num_sent, len(local), len(gone))
    return num_sent


def _results(out: Path, folder: Path) -> dict[str, Path]:
    """Name at the URL -> local file, in the order in which they are sent."""
    shards = sorted((out / "shards").glob("*.tar"))
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
    """sha256 of a file; of a shard, the one its index holds."""
    if path.suffix == ".tar":
        return str(json.loads(index_path(path).read_text("utf-8"))["sha256"])
    return file_sha256(path)


def _sent(system: Any, root: str) -> dict[str, str]:
    if not system.exists(f"{root}/{SENT}"):
        return {}
    return json.loads(system.cat_file(f"{root}/{SENT}"))["sent"]


def _put(system: Any, path: Path, target: str) -> None:
    """Upload a file so that nobody sees half of it."""
    system.makedirs(target.rpartition("/")[0], exist_ok=True)
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if set(protocols) & set(WHOLE_AT_ONCE):
        system.put_file(str(path), target)
        return
    folder, _, name = target.rpartition("/")
    unfinished = f"{folder}/{TEMPORARY}{name}"
    system.put_file(str(path), unfinished)
    system.mv(unfinished, target)


def _stamp(info: dict[str, Any]) -> list[str]:
    """Size and whatever a store says of the content or its age."""
    known = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    return [str(info.get(key)) for key in known]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def remote_errors_named(url: str) -> Iterator[None]:
    """A store that says no is the user's to mend: one sentence."""
    try:
        yield
    except (OSError, sqlite3.Error, *_store_errors()) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{url} cannot be reached as asked: {reason}") from error


def _store_errors() -> list[type[Exception]]:
    """Of the libraries that a store brought along; nobody else's can have been raised."""
    loaded = [(sys.modules.get(module), name) for module, name in STORE_ERRORS]
    return [getattr(module, name) for module, name in loaded if module is not None]
