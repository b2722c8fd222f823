"""A checkpoint of several files, one per rank: each device's shard, without gathering.

``X.ckpt/rank-00000.ckpt, ..., whole.json``. Sharded tensors are split along their first axis, in
rank order; the first rank's file has everything else. Any number of processes can read it: rows are
taken from the files that have them. The files are torch's, read with ``weights_only`` and
memory-mapped; ``whole.json``, written last, lists their sizes.
"""

import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from models.weights.files import read_torch_file

INDEX = "whole.json"
MARK = "rows of "
"""Prefix, before the tensor's key, of a sharded tensor's placeholder in the first rank's file."""


@dataclass(frozen=True)
class Rows:
    """A tensor in pieces along its first axis, not concatenated yet."""

    pieces: list[Tensor]

    def whole(self) -> Tensor:
        """All rows."""
        return torch.cat(self.pieces)

    def between(self, start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop``, reading no others."""
        taken: list[Tensor] = []
        first = 0
        for piece in self.pieces:
            last = first + len(piece)
            if first < stop and start < last:
                taken.append(piece[max(start - first, 0) : stop - first])
            first = last
        return torch.cat(taken) if taken else self.pieces[0][:0]


def is_sharded(path: Path) -> bool:
    """Whether a path is a sharded checkpoint."""
    return path.is_dir() and (path / INDEX).is_file()


def rank_file(folder: Path, rank: int) -> Path:
    """The file of one rank."""
    return folder / f"rank-{rank:05d}.ckpt"


def read_rows(folder: Path, only: Collection[str] = ()) -> dict[str, Any]:
    """The checkpoint's dict, its sharded tensors as ``Rows``.

    Args:
        folder: of the checkpoint.
        only: keys of the dict to read; empty: all.

    Raises:
        ValueError: a file is missing, damaged, or not of the size recorded in ``whole.json``.
    """
    sizes = _sizes(folder)
    files = [read_torch_file(rank_file(folder, rank)) for rank in range(len(sizes))]
    shards = [cast("dict[str, Tensor]", file["shards"]) for file in files]

    def put_together(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(MARK):
            key = value.removeprefix(MARK)
            return Rows([part[key] for part in shards if key in part])
        if isinstance(value, dict):
            return {k: put_together(v) for k, v in cast("dict[Any, Any]", value).items()}
        if isinstance(value, list):
            return [put_together(entry) for entry in cast("list[Any]", value)]
        return value

    content = cast("dict[str, Any]", files[0]["content"])
    return {k: put_together(v) for k, v in content.items() if not only or k in only}


def read_whole(path: str | Path, only: Collection[str] = ()) -> dict[str, Any]:
    """A checkpoint of one file or several, its tensors whole.

    Args:
        path: a file, or a folder of this layout.
        only: keys of the dict that are needed; a single file always returns all.

    Raises:
        ValueError: it cannot be read.
    """
    if Path(path).is_dir():
        return cast("dict[str, Any]", join_rows(read_rows(Path(path), only)))
    return read_torch_file(path)


def join_rows(value: Any) -> Any:
    """The same containers with every ``Rows`` concatenated."""
    if isinstance(value, Rows):
        return value.whole()
    if isinstance(value, Mapping):
        return {k: join_rows(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list):
        return [join_rows(entry) for entry in cast("list[Any]", value)]
    return value


def check_whole(path: Path) -> None:
    """Read every byte of a checkpoint and verify the checksums inside.

    Raises:
        ValueError: it is missing, truncated or damaged; the message says where.
    """
    files = [path]
    if path.is_dir():
        files = [rank_file(path, rank) for rank in range(len(_sizes(path)))]
    for file in files:
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise ValueError(f"{file} is truncated or damaged ({error})") from error
        if damaged is not None:
            raise ValueError(f"{file} is damaged in {damaged}")


def _sizes(folder: Path) -> dict[str, int]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        sizes = cast("dict[str, int]", index["bytes"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} is incomplete: it has no readable {INDEX}") from error
    for name, size in sizes.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            raise ValueError(f"{file} is missing or truncated")
    return sizes
