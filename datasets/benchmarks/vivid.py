"""ViViD-S, the 180 test clips of ViViD: its lists, read and validated up front.

Layout, as public code reads it::

    test_data_180.jsonl                    one clip per line with the garment worn (paired)
    test_data_180_unpaired.jsonl           the same clips with another garment; may be absent
    <subset>/videos/<video>                subset: upper_body, lower_body or dresses
    <subset>/images/<image>

A line gives video, image, subset and frame range ``[first, end)``, counted from 0::

    {"video": "1222020_detail.mp4", "image": "1222020_in_xl.jpg", "subdir": "upper_body",
     "front_seqs": [35, 99]}

Other names for these fields are accepted too (``FIELDS``).
"""

import itertools
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from configs.errors import DataError
from datasets.benchmarks.origins import check_is_here

logger = logging.getLogger(__name__)

LISTS = {
    "paired": ("test_data_180.jsonl", "test_data.jsonl", "paired.jsonl"),
    "unpaired": (
        "test_data_180_unpaired.jsonl",
        "test_data_unpaired.jsonl",
        "unpaired.jsonl",
    ),
}
"""File names of the two lists; the first is the public one."""
FIELDS = {
    "video": ("video", "video_path", "video_name"),
    "image": ("image", "image_path", "garment", "cloth"),
    "subset": ("subdir", "subset", "category"),
    "frame range": ("front_seqs", "front_seq", "frame_range", "frames"),
}
"""Fields of a line and their accepted names; the range may also be ``start`` and ``end``."""
CATEGORIES = {
    "upper_body": "upper", "upper": "upper", "lower_body": "lower", "lower": "lower",
    "dresses": "overall", "dress": "overall", "overall": "overall",
}  # fmt: skip
"""Subset -> the part of the outfit that is painted."""
NUM_FRAMES = 64
"""Frames of every published clip; clips of other lengths are accepted with a warning."""
MULTIPLE = 16
"""Sides of a clip are cropped to multiples of this, half of the rest on each side."""


@dataclass(frozen=True, kw_only=True)
class VividClip:
    """One clip and the garments to try on."""

    id: str
    video_path: Path
    subset: str  # as in the list
    category: str  # upper, lower or overall
    first: int
    end: int  # exclusive
    own_garment_path: Path
    other_garment_paths: list[Path] = field(default_factory=list)

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return self.end - self.first


@dataclass(frozen=True, kw_only=True)
class _Line:
    where: str
    video: Path
    image: Path
    subset: str
    first: int
    end: int

    @property
    def key(self) -> tuple[Path, int, int]:
        return self.video, self.first, self.end


def read_vivid(root: Path) -> list[VividClip]:
    """Read both lists of a ViViD-S folder, in the order of the paired list.

    Args:
        root: the folder that holds the lists.

    Raises:
        DataError: a list, field, video or image is missing or wrong; the message names it.
    """
    check_is_here("vivid_s", root)
    paired = _read_list(root, _find_list(root, "paired"))
    others: dict[tuple[Path, int, int], list[Path]] = {}
    unpaired = next((root / n for n in LISTS["unpaired"] if (root / n).is_file()), None)
    known = {line.key for line in paired}
    for line in [] if unpaired is None else _read_list(root, unpaired):
        if line.key not in known:
            raise DataError(
                f"{line.where}: no line of the paired list has frames {line.first} to "
                f"{line.end} of {line.video}, so the garment worn there is not known"
            )
        others.setdefault(line.key, []).append(line.image)
    stems = [line.video.stem for line in paired]
    clips: list[VividClip] = []
    for line in paired:
        stem = line.video.stem
        others_here = others.get(line.key, [])
        clips.append(
            VividClip(
                id=stem if stems.count(stem) == 1 else f"{line.subset}-{stem}-{line.first}",
                video_path=line.video,
                subset=line.subset,
                category=CATEGORIES[line.subset],
                first=line.first,
                end=line.end,
                own_garment_path=line.image,
                other_garment_paths=[path for path in others_here if path != line.image],
            )
        )
    num_other = sum(clip.num_frames != NUM_FRAMES for clip in clips)
    if num_other:
        logger.warning("%d of %d clips do not have %d frames", num_other, len(clips), NUM_FRAMES)
    return clips


def clip_frames(path: Path, first: int, end: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames ``first`` to ``end`` (exclusive) of a video, in presentation order, RGB.

    Sides are cropped to multiples of 16 about the centre. A video that ends before ``end`` gives
    fewer frames.

    Raises:
        DataError: the video is missing or cannot be read.
    """
    from datasets.video.upright import upright_frames

    if not path.is_file():
        raise DataError(f"benchmark video {path} is missing")
    frames = [_cut(frame) for frame in itertools.islice(upright_frames(path), first, end)]
    if not frames:
        raise DataError(f"{path} has no frame {first}; the benchmark names frames {first} to {end}")
    return np.stack(frames)


def frame_rate(path: Path) -> float:
    """Frames per second according to the video's header; 25 if it has no rate.

    Raises:
        DataError: the file cannot be read as a video.
    """
    return video_header(path)[0]


def video_header(path: Path) -> tuple[float, tuple[int, int]]:
    """Frames per second, 25 if there is no rate, and coded (height, width) of a video.

    Raises:
        DataError: the file cannot be read as a video.
    """
    from datasets.video.reader import UnreadableVideoError, open_video, rate_of

    try:
        container, stream = open_video(path)
    except UnreadableVideoError as error:
        raise DataError(f"{path} cannot be read as a video: {error.detail}") from error
    with container:
        return float(rate_of(stream)), (int(stream.height), int(stream.width))


def _cut(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = (side // MULTIPLE * MULTIPLE for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _find_list(root: Path, pairing: str) -> Path:
    for name in LISTS[pairing]:
        if (root / name).is_file():
            return root / name
    found = ", ".join(sorted(path.name for path in root.glob("*.jsonl"))) or "no .jsonl"
    raise DataError(
        f"ViViD-S folder {root} is incomplete: {root / LISTS[pairing][0]} is missing (there is "
        f"{found})"
    )


def _read_list(root: Path, path: Path) -> list[_Line]:
    lines: dict[tuple[object, ...], _Line] = {}
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8: {error}") from error
    for number, text in enumerate(texts, start=1):
        if text.strip():
            line = _read_line(root, f"{path}, line {number}", text)
            lines.setdefault((*line.key, line.image), line)
    if not lines:
        raise DataError(f"{path} names no clip")
    return list(lines.values())


def _read_line(root: Path, where: str, text: str) -> _Line:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{where} is a {type(content).__name__}; an object is expected")
    subset = str(_field(content, "subset", where))
    if subset not in CATEGORIES:
        raise DataError(f"{where}: subset is {subset!r}; {', '.join(CATEGORIES)} are accepted")
    first, end = _frame_range(content, where)
    video, image = (str(_field(content, name, where)) for name in ("video", "image"))
    return _Line(
        where=where,
        video=_file(root, subset, "videos", video, where),
        image=_file(root, subset, "images", image, where),
        subset=subset,
        first=first,
        end=end,
    )


def _field(content: dict[str, Any], wanted: str, where: str) -> Any:
    for name in FIELDS[wanted]:
        if name in content:
            return content[name]
    raise DataError(
        f"{where} does not say its {wanted}: it has {', '.join(content) or 'no field'}; accepted "
        f"names are {', '.join(FIELDS[wanted])}"
    )


def _frame_range(content: dict[str, Any], where: str) -> tuple[int, int]:
    if "start" in content and "end" in content:
        given: Any = [content["start"], content["end"]]
    else:
        given = _field(content, "frame range", where)
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
        given = given[0]
    is_pair = isinstance(given, list) and [type(side) for side in given] == [int, int]
    if not is_pair or not 0 <= given[0] < given[1]:
        raise DataError(
            f"{where}: frame range is {given!r}; [first, end) is accepted, two whole numbers from 0"
        )
    return given[0], given[1]


def _file(root: Path, subset: str, kind: str, name: str, where: str) -> Path:
    places = (root / subset / kind / name, root / kind / name, root / name)
    found = next((path for path in places if os.path.isfile(path)), None)  # False for any name
    if found is None:
        raise DataError(f"{where}: ViViD-S folder {root} is incomplete: {places[0]} is missing")
    return found
