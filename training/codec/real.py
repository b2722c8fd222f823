"""Real photos and videos that the codec learns from: a folder with the licences of its files.

``SOURCES.tsv`` in the folder has a header and the columns ``file`` (relative path) and
``licence``. Files without a licence that allows learning from them are left out; the record names
those that were used.
"""

import csv
import fnmatch
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from configs.errors import DataError
from datasets.pictures import read_picture
from inference.video.source import open_video
from training.codec.config import CodecTraining

logger = logging.getLogger(__name__)

SOURCES = "SOURCES.tsv"
FREE_LICENCES = ("cc0", "cc by", "apache", "mit", "bsd", "public domain")
"""Beginnings of licences that allow learning from a file, in lower case."""
_NOT_FREE = ("nc", "nd")
_PHOTOS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_LONGEST_SIDE = 800


@dataclass(frozen=True, kw_only=True, eq=False)
class RealFile:
    """A photo, or some frames of a video: RGB, with the file's name and licence."""

    name: str
    licence: str
    pictures: list[UInt8[np.ndarray, "h w 3"]]


def real_files(config: CodecTraining) -> tuple[list[RealFile], list[RealFile]]:
    """Files to learn from, and files to score on.

    Raises:
        DataError: no such folder, no list of licences in it, or nothing left to learn from; or a
            pattern of ``real_unseen`` that matches nothing.
    """
    if config.real is None:
        return [], []
    folder = Path(config.real)
    listed = {
        name: licence
        for name, licence in read_sources(folder).items()
        if _matches(name, config.real_files) and (folder / name).is_file()
    }
    barred = sorted(name for name, licence in listed.items() if not is_free(licence))
    if barred:
        logger.info("left out for want of a clear licence: %s", ", ".join(barred))
    usable = {name: licence for name, licence in listed.items() if is_free(licence)}
    for pattern in config.real_unseen:
        if not any(_matches(name, [pattern]) for name in usable):
            raise DataError(f"real_unseen: no file of {folder} that is used matches {pattern!r}")
    seen = [name for name in usable if not _matches(name, config.real_unseen)]
    if not seen:
        raise DataError(
            f"{folder / SOURCES} leaves no file to learn from: real_files is {config.real_files},"
            f" real_unseen {config.real_unseen}"
        )
    unseen = [name for name in usable if name not in seen]
    return (
        [_read(folder, name, usable[name], config.frames_per_video) for name in seen],
        [_read(folder, name, usable[name], 1) for name in unseen],
    )


def read_sources(folder: Path) -> dict[str, str]:
    """File -> licence, as the folder's SOURCES.tsv lists them.

    Raises:
        DataError: no folder, no list, or a list without the two columns.
    """
    path = folder / SOURCES
    if not path.is_file():
        raise DataError(
            f"real={folder} has no {SOURCES}; list its files there, tab-separated, under a header"
            " with the columns file and licence"
        )
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if not {"file", "licence"} <= set(rows.fieldnames or ()):
            raise DataError(f"{path} has no columns file and licence in its first line")
        return {row["file"]: (row["licence"] or "").strip() for row in rows}


def is_free(licence: str) -> bool:
    """Whether a licence is known to allow learning from a file: CC0, CC BY, Apache, MIT, BSD."""
    words = re.split(r"[^a-z0-9]+", licence.lower().removeprefix("photo "))
    named = any(words[: len(name.split())] == name.split() for name in FREE_LICENCES)
    return named and not set(words[:6]) & set(_NOT_FREE)


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _read(folder: Path, name: str, licence: str, num_frames: int) -> RealFile:
    path = folder / name
    if path.suffix.lower() in _PHOTOS:
        try:
            pictures = [read_picture(path)[0]]
        except DataError as error:
            raise DataError(
                f"{path} cannot be read as a picture; remove it from {SOURCES}"
            ) from error
    else:
        frames = [frame.image for frame in open_video(path).frames()]
        spots = (np.arange(num_frames) + 0.5) / num_frames * len(frames)
        pictures = [frames[int(spot)] for spot in sorted(set(spots.astype(int)))]
    return RealFile(name=name, licence=licence, pictures=[_at_most(one) for one in pictures])


def _at_most(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    scale = _LONGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (round(side * scale) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
