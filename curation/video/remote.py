"""Sources at an fsspec URL (``s3://bucket/raw``, ``gs://``, ``memory://``).

Videos are fetched once each into a local cache folder before they are curated. A file appears under
its name only when complete, and an unchanged one is kept.
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
"""Exceptions that s3fs passes through, such as missing credentials, besides its OSErrors."""


def is_remote(place: str) -> bool:
    """Whether this is a URL rather than a path."""
    return "://" in place


def open_place(url: str) -> tuple[Any, str]:
    """File system and path of a URL.

    Raises:
        ConfigError: unsupported protocol.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        protocol = url.partition("://")[0]
        raise ConfigError(f"{url}: unsupported protocol {protocol}://: {error}") from error


def fetch(url: str, cache: Path, is_wanted: Callable[[str], bool] | None = None) -> Path:
    """A local copy of all files below a URL; unchanged files are not fetched again.

    Args:
        url: a folder.
        cache: cache folder, with one folder per URL.
        is_wanted: filter on the name below the URL; sidecars are always fetched. None: all.

    Returns:
        The copy's folder; files removed at the URL are removed here too.

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
        raise DataError(f"src={url} contains no files; give a folder with videos")
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
    """Size and whatever a store reports about content or age."""
    known = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    return [str(info.get(key)) for key in known]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def remote_errors_named(url: str) -> Iterator[None]:
    """Report a failing store as one sentence: it is for the user to fix."""
    try:
        yield
    except (OSError, sqlite3.Error, *_store_errors()) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{url} cannot be reached: {reason}") from error


def _store_errors() -> list[type[Exception]]:
    """Of the libraries that a store imported; no others can have been raised."""
    loaded = [(sys.modules.get(module), name) for module, name in STORE_ERRORS]
    return [getattr(module, name) for module, name in loaded if module is not None]
