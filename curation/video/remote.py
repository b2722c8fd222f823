"""Sources at an fsspec URL (``s3://bucket/raw``, ``gs://``, ``memory://``).

Work is done on local disks: videos are fetched into a cache folder, once each, before they are
curated. A file appears under its name only when it is whole, and an unchanged one is kept.
"""

import hashlib
import json
import logging
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from datasets.storage import write_file

logger = logging.getLogger(__name__)

FETCHED = ".fetched.json"
STORE_ERRORS = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"))
"""What s3fs lets through as it comes, such as missing credentials, beside OSErrors of its own."""


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
