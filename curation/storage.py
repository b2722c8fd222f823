"""Files that are whole or absent: written under another name, flushed to disk, then renamed.

A clip's tracks live in a folder named by the hash of its content, so writing the same clip twice
is writing it once, and a kill at any moment leaves nothing half done under a final name.
"""

import errno
import hashlib
import os
import platform
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from configs.errors import DataError

TEMPORARY = ".writing-"
ABANDONED_S = 86_400
"""Temporary files of another machine that are older than this are nobody's."""


def _temporary_name() -> str:
    """A name that says who is writing: ``.writing-HOST@PID-RANDOM``."""
    return f"{TEMPORARY}{platform.node()}@{os.getpid()}-{uuid.uuid4().hex}"


@contextmanager
def disk_errors_named(where: Path) -> Iterator[None]:
    """A full disk is the user's to mend: one sentence, and nothing half done."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise
        raise DataError(
            f"{where} cannot be written ({error}); make room and run the same again"
        ) from error
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise DataError(
            f"{where} cannot be written ({error.strerror}); make room and run the same again"
        ) from error


def write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Let ``fill`` write a file, which appears under its name only when it is complete."""
    with disk_errors_named(path):
        _write_file(path, fill)


def _write_file(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name())
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def content_name(files: Mapping[str, bytes]) -> str:
    """Name of a folder with this content: sha256 over names, lengths and bytes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()


def store_folder(root: Path, files: Mapping[str, bytes]) -> str:
    """Write a content-addressed folder below ``root`` and return its name below it."""
    digest = content_name(files)
    name = f"{digest[:2]}/{digest}"
    final = root / name
    if not final.is_dir():
        with disk_errors_named(final):
            _write_folder(root, final, files)
    return name


def _write_folder(root: Path, final: Path, files: Mapping[str, bytes]) -> None:
    temporary = root / _temporary_name()
    temporary.mkdir(parents=True)
    try:
        for member in sorted(files):
            with (temporary / member).open("wb") as file:
                file.write(files[member])
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(temporary)
        final.parent.mkdir(exist_ok=True)
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():  # another worker wrote the same clip meanwhile
                raise
        _sync_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what killed runs left half written directly below ``root``.

    What a process that lives is writing stays, and so does what another machine began to write
    less than a day ago: on a cluster many write below one folder.
    """
    for path in root.glob(f"{TEMPORARY}*"):
        if _is_being_written(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_being_written(path: Path) -> bool:
    host, _, rest = path.name.removeprefix(TEMPORARY).rpartition("@")
    process = rest.partition("-")[0]
    if not host or not process.isdecimal():
        return False
    if host != platform.node():
        try:
            return time.time() - path.stat().st_mtime < ABANDONED_S
        except FileNotFoundError:
            return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
