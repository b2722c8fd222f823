"""Weights files on disk: their hash, for the record."""

import hashlib
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=16)
def file_sha256(path: str) -> str | None:
    """sha256 of a file, read once per process; None when it is no file."""
    file = Path(path)
    if not file.is_file():
        return None
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
