"""Atomic writes, and the hashes that identify files.

Everything is written under a temporary name, flushed to disk and then renamed, so a kill at any
moment leaves no partial file under a final name. There are two kinds of temporary names:
``.writing-HOST@PID-RANDOM`` belongs to one process; those of dead processes are removed by
``sweep``, and by the first write into their folder;
``NAME.part`` is resumed by a later run or written by several processes together.
"""

import errno
import hashlib
import json
import os
import platform
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from configs.errors import DataError

TEMPORARY = ".writing-"
PART = ".part"
MAX_NAME_BYTES = 255
"""Longest file name of common file systems."""
ABANDONED_S = 86_400
"""Temporary files of another machine that are older than this are considered abandoned."""
_OWN = uuid.uuid4().hex
"""Begins the random part of this process's temporary names: a restarted container has the machine
and the process number of the one that was killed."""


class DiskFull(DataError):  # noqa: N818 (named by what is wrong, as others that people see)
    """The disk is full or read-only; ``plain`` is the message for users of the web app."""

    plain = "The disk of this machine is full or cannot be written."


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the same folder, for a file, folder or link.

    It replaces ``path`` if the block ends without an error; otherwise it is removed.

    Raises:
        DiskFull: the disk is full or read-only.
    """
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent.absolute())
        temporary = path.with_name(_temporary_name())
        try:
            yield temporary
            put_in_place(temporary, path)
        finally:
            remove(temporary)


def write_file(path: Path, content: bytes | Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically.

    Args:
        path: its folder is created if needed.
        content: the bytes, or a function that writes them.

    Raises:
        DiskFull: the disk is full or read-only.
    """
    with writing(path) as temporary, temporary.open("wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content)


def put_in_place(finished: Path, path: Path) -> None:
    """Flush a finished file or folder to disk and rename it, replacing ``path``."""
    _flush(finished)
    if _is_folder(path) or (_is_folder(finished) and path.exists()):
        remove(path)
    finished.replace(path)
    _flush_folder(path.parent)


def move_aside(path: Path) -> Path:
    """Rename ``path`` to the first free ``NAME-before-N``, and return the new path."""
    aside = next(
        place
        for number in range(1, 10_000)
        if not (place := path.with_name(f"{path.name}-before-{number}")).exists()
    )
    path.rename(aside)
    return aside


def remove(path: Path) -> None:
    """Delete a file, link or folder if it exists."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def store_folder(root: Path, files: Mapping[str, bytes]) -> str:
    """Write a folder named after its content under ``root``, once, and return its name there."""
    digest = content_name(files)
    name = f"{digest[:2]}/{digest}"
    final = root / name
    if not final.is_dir():
        with disk_errors_named(final):
            _write_folder(root, final, files)
    return name


def _write_folder(root: Path, final: Path, files: Mapping[str, bytes]) -> None:
    temporary = root / _temporary_name()  # directly in root, where ``sweep(root)`` finds it
    temporary.mkdir(parents=True)
    try:
        for member in sorted(files):
            (temporary / member).write_bytes(files[member])
        _flush(temporary)
        final.parent.mkdir(exist_ok=True)
        try:
            temporary.rename(final)
        except OSError:
            if not final.is_dir():  # another worker wrote the same clip meanwhile
                raise
        _flush_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """What lies in a folder, sorted, without hidden names.

    macOS writes a hidden ``._NAME`` next to every NAME on disks of other systems.

    Args:
        folder: to look into, not below.
        pattern: of the names, as for ``Path.glob``.
    """
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def fitting_name(stem: str, ending: str) -> str:
    """A file name, shortened to what file systems take; equal stems give equal names.

    Args:
        stem: any length.
        ending: kept whole.
    """
    name = stem + ending
    if len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    room = MAX_NAME_BYTES - len(os.fsencode(ending)) - len(digest) - 1
    return f"{os.fsencode(stem)[:room].decode(errors='ignore')}-{digest}{ending}"


def sweep(folder: Path) -> None:
    """Remove partial files that killed runs left directly in ``folder``.

    Files of live processes are kept, and so are files that another machine changed less than a day
    ago: on a cluster many machines write to one folder.
    """
    for path in folder.glob(f"{TEMPORARY}*"):
        if _is_being_written(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@lru_cache(maxsize=4096)
def _sweep_once(folder: Path) -> None:
    """``sweep``, the first time that this process writes there."""
    sweep(folder)


def content_name(files: Mapping[str, bytes]) -> str:
    """Name of a folder with this content: the sha256 of names, lengths and bytes."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()


def add_files(digest: Any, *paths: Path) -> None:
    """Feed the bytes of files, in order, to a hash of ``hashlib``."""
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)


def file_sha256(*paths: Path) -> str:
    """sha256 of a file's bytes, or of several files' concatenated bytes, in hex."""
    digest = hashlib.sha256()
    add_files(digest, *paths)
    return digest.hexdigest()


def sha256_if_file(path: Path) -> str | None:
    """sha256 of a file's bytes; None if there is no such file."""
    return file_sha256(path) if os.path.isfile(path) else None


@lru_cache(maxsize=16)
def sha256_read_once(path: Path) -> str | None:
    """``sha256_if_file``, cached in the process: for weights, which every record names."""
    return sha256_if_file(path)


def settings_sha256(settings: Any, *paths: Path) -> str:
    """sha256 of JSON-serialisable settings, followed by the content of files."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    add_files(digest, *paths)
    return digest.hexdigest()


@contextmanager
def disk_errors_named(where: Path) -> Iterator[None]:
    """Turn errors of a full or read-only disk into ``DiskFull``, one sentence for the user."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise
        raise DiskFull(
            f"{where} cannot be written ({error}); make room and rerun the same command"
        ) from error
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        is_full = error.errno != errno.EROFS
        advice = "make room and rerun the same command" if is_full else "name another folder"
        raise DiskFull(f"{where} cannot be written ({error.strerror}); {advice}") from error


def _temporary_name() -> str:
    """A unique name with the machine and process that are writing."""
    return f"{TEMPORARY}{platform.node()}@{os.getpid()}-{_OWN}{uuid.uuid4().hex}"


def _is_being_written(path: Path) -> bool:
    host, _, rest = path.name.removeprefix(TEMPORARY).rpartition("@")
    process, _, random = rest.partition("-")
    if not host or not process.isdecimal():
        return False
    if host != platform.node():
        try:
            return time.time() - path.stat().st_mtime < ABANDONED_S
        except FileNotFoundError:
            return False
    if int(process) == os.getpid():
        return random.startswith(_OWN)
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _flush(path: Path) -> None:
    """Flush a file, or a folder with all its content, to disk."""
    if path.is_symlink():
        return
    if path.is_dir():
        for member in path.iterdir():
            _flush(member)
        _flush_folder(path)
    else:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do not support it
            raise
    finally:
        os.close(handle)
