"""Results of any method: a folder with one video (or folder of frames) per benchmark item."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from configs.console import counted
from configs.errors import DataError
from datasets.pictures import read_picture
from datasets.storage import listed
from datasets.video.upright import upright_frames

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_NUMBER = re.compile(r"\d+")


def find_result(folder: Path, identity: str) -> Path:
    """The file or frame folder of one item, found by its id only.

    Pairing two sorted listings would shift every later pair if one file is missing.

    Raises:
        DataError: it does not exist; the message names the id.
    """
    for suffix in VIDEO_SUFFIXES:
        if (folder / f"{identity}{suffix}").is_file():
            return folder / f"{identity}{suffix}"
    if (folder / identity).is_dir():
        return folder / identity
    raise DataError(
        f"{folder} has no result for {identity!r}: {identity}.mp4 or a folder {identity}/ of frames"
    )


def read_result(path: Path) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a result as RGB, decoded sequentially, so that any encoding is read correctly.

    Raises:
        DataError: nothing can be read, or frames differ in size.
    """
    frames = _read_folder(path) if path.is_dir() else _read_video(path)
    if not frames:
        raise DataError(f"{path} holds no frame")
    if len({frame.shape for frame in frames}) > 1:
        raise DataError(f"{path} holds frames of several sizes")
    return np.stack(frames)


def check_result(
    frames: UInt8[np.ndarray, "t h w 3"],
    expected: UInt8[np.ndarray, "t2 h2 w2 3"],
    identity: str,
    path: Path,
) -> UInt8[np.ndarray, "t2 h2 w2 3"]:
    """The result if its number of frames and size are as expected; DataError otherwise."""
    if len(frames) != len(expected):
        raise DataError(
            f"{path}: {identity!r} has {counted(len(frames), 'frame')}; the benchmark's video has "
            f"{len(expected)}"
        )
    if frames.shape != expected.shape:
        height, width = frames.shape[1:3]
        raise DataError(
            f"{path}: {identity!r} is {height}x{width} (height x width), scored at "
            f"{expected.shape[1]}x{expected.shape[2]}; give height={height} width={width}, or "
            "results of that size: frames are never resized"
        )
    return frames


def _read_video(path: Path) -> list[np.ndarray]:
    return list(upright_frames(path))


def _read_folder(path: Path) -> list[np.ndarray]:
    files = [file for file in listed(path) if file.suffix.lower() in IMAGE_SUFFIXES]
    frames: list[np.ndarray] = []
    for file in sorted(files, key=_natural):
        frames.append(read_picture(file)[0])
    return frames


def _natural(path: Path) -> tuple[list[int], str]:
    """Natural sort key: frame_2 before frame_10."""
    return [int(number) for number in _NUMBER.findall(path.stem)], path.name
