"""Cache of metric values by content: files are named by a hash of frames, settings and weights.

A video is scored once: by this run, a resumed run or the evaluation of another method. A changed
result is scored again.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.storage import write_file


class ContentStore:
    """A folder of numbers and features; several processes may write to it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self, digest: str) -> dict[str, Any]:
        """Stored values of a video by name; empty if there are none."""
        path = self.folder / "scores" / f"{digest}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def save_numbers(self, digest: str, numbers: dict[str, Any]) -> None:
        """Replace the stored values of a video."""
        write_file(self.folder / "scores" / f"{digest}.json", json.dumps(numbers).encode())

    def features(self, digest: str) -> np.ndarray | None:
        """Features (clips, dim) float32; None if there are none."""
        path = self.folder / "features" / f"{digest}.npy"
        return np.load(path, allow_pickle=False) if path.is_file() else None

    def save_features(self, digest: str, features: np.ndarray) -> None:
        """Store features (clips, dim)."""
        path = self.folder / "features" / f"{digest}.npy"
        write_file(path, lambda file: np.save(file, features))


def digest_of(parts: Sequence[np.ndarray | str | int | float | bool | list[int] | None]) -> str:
    """sha256 of arrays (with their shapes) and plain settings, in the given order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(f"{json.dumps(part)};".encode())
    return digest.hexdigest()
