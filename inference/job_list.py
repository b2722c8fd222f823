"""A list of try-on jobs from a CSV, read and checked before any work.

A CSV has a header and one job per line. ``video`` and ``garment`` are required; relative paths
start at the CSV's folder::

    video,garment,out,category,person,seed,label
    anna.mp4,shirt.jpg,,upper,,0,
    group.mp4,dance.mp4@3.2,group-2.mp4,overall,2,1,AI-generated
"""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, DataError
from datasets.storage import fitting_name
from inference.checkpoint_choice import choose_checkpoint, find_adapter
from inference.conditions.given import GivenConditions
from inference.conditions.worn_garment import GarmentSource
from inference.errors import GarmentUnreadable, VideoUnreadable
from inference.out_path import check_out
from inference.tryon_config import CHOICES, USAGE, TryOnConfig, check_choice, read_job
from inference.video.source import require_video

COLUMNS = (
    "video", "garment", "out", "category", "person", "seed", "label", "garment_kind", "mask",
    "densepose",
)  # fmt: skip
LIST_OUT = "runs/tryon"
"""Where a list's results go unless ``out`` names a folder."""
PICTURE_MARKS = {b"\xff\xd8\xff": (".jpg", ".jpeg", ".jpe", ".jfif"), b"\x89PNG": (".png",)}
"""How JPEG and PNG files begin, and end their names: a raw MJPEG video begins like a JPEG."""
ANIMATED = (b"acTL", b"IDAT")
"""Chunks of an animated PNG, which is a video: the first comes before the second."""
_DIGITS = 25  # of a number that is certainly too large


@dataclass(frozen=True, kw_only=True)
class TryOnJob:
    """One video and garment; the fields are the pipeline's arguments."""

    video: Path
    garment: str
    out: Path
    category: str = "upper"
    margin: str | None = None
    person: int | None = None
    seed: int = 0
    label: str = ""
    garment_kind: str = "auto"
    paste_back: bool = True
    given: GivenConditions | None = None


def read_inputs(argv: list[str]) -> TryOnConfig:
    """The settings of a job or a list: what it needs is named, and the files exist.

    No video is decoded, so that this takes no time (``viton-dit`` calls it before imports).

    Raises:
        ConfigError: a setting is refused or missing.
        DataError: a file does not exist, or the result cannot be written.
    """
    config = read_job(argv)
    if config.checkpoint:
        choose_checkpoint(config.checkpoint, Path(config.runs))
    if config.lora:
        find_adapter(config.lora)
    if config.jobs:
        check_outs(read_jobs(Path(config.jobs), Path(config.out or LIST_OUT), config))
        return config
    for name in ("video",) if config.preview else ("video", "garment", "out"):
        if not getattr(config, name):
            raise ConfigError(f"{name} is missing; usage: {USAGE}")
    require_video(config.video)
    if _is_picture(Path(config.video)):
        raise VideoUnreadable(
            f"video {config.video} is a picture; give the video first, then the garment"
        )
    if not config.preview:
        files = inputs_of(Path(config.video), config.garment, config.given)
        if not files[1].is_file():
            what = "is a folder" if files[1].is_dir() else "does not exist"
            raise GarmentUnreadable(f"garment {files[1]} {what}; give an image file")
        check_out(Path(config.out), *files)
    return config


def read_jobs(path: Path, folder: Path, defaults: TryOnConfig) -> list[TryOnJob]:
    """The jobs of a CSV.

    Args:
        path: the CSV.
        folder: for results whose line has no ``out``.
        defaults: for columns that are missing or empty.

    Raises:
        ConfigError: no such file, an unknown column, an invalid value, or two jobs with one out.
    """
    if not path.is_file():
        raise ConfigError(f"jobs={path} does not exist; give a CSV with columns video,garment")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        with io.StringIO(text, newline="") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [(reader.line_num, row) for row in reader]
        if "\0" in text:
            raise ConfigError(f"jobs={path} holds zero bytes; save it as a CSV in UTF-8")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"jobs={path} cannot be read as a CSV: {error}") from error
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or not {"video", "garment"} <= set(header):
        raise ConfigError(
            f"jobs={path} has the columns {', '.join(header) or '(none)'}; video and garment are "
            f"required, {', '.join(COLUMNS[2:])} are accepted"
        )
    jobs: list[TryOnJob] = []
    taken: dict[Path, int] = {}
    for line, row in rows:
        job = _read_row({key: (row[key] or "").strip() for key in header}, path, line, folder,
                        defaults)  # fmt: skip
        place = Path(os.path.realpath(job.out.parent), job.out.name)  # whatever its spelling
        if place in taken:
            raise ConfigError(
                f"{path}, line {line}: {job.out} is also the result of line {taken[place]}; "
                "give one of them another out"
            )
        taken[place] = line
        jobs.append(job)
    if not jobs:
        raise ConfigError(f"jobs={path} has a header and no job; add one job per line")
    return jobs


def check_outs(jobs: Sequence[TryOnJob]) -> None:
    """Reject results that could not be written, or would replace what any of the jobs reads.

    Raises:
        ConfigError, DataError: see ``check_out``.
    """
    read: dict[tuple[int, int], Path] = {}
    for job in jobs:
        for path in inputs_of(job.video, job.garment, job.given):
            if (place := _file_at(path)) is not None:
                read[place] = path
    for job in jobs:
        place = _file_at(job.out)
        if place in read and place != _file_at(job.video):
            raise DataError(
                f"out={job.out} is {read[place]}, which this list reads; name another file"
            )
        check_out(job.out, job.video)


def _is_picture(path: Path) -> bool:
    """Whether a file is a JPEG or PNG that does not move, by its name and its first bytes."""
    with path.open("rb") as file:
        start = file.read(2**16)
    named = any(
        start.startswith(mark) and path.suffix.lower() in endings
        for mark, endings in PICTURE_MARKS.items()
    )
    animation, pixels = (start.find(chunk) for chunk in ANIMATED)
    return named and not 0 <= animation < (pixels if pixels >= 0 else len(start))


def inputs_of(video: Path, garment: str, given: GivenConditions | None) -> list[Path]:
    """All files that a job reads, the video first."""
    files = [video, GarmentSource.read(garment).path]
    return files if given is None else [*files, given.mask, given.densepose]


def _file_at(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever its name; None: there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _read_row(
    row: dict[str, str], path: Path, line: int, folder: Path, defaults: TryOnConfig
) -> TryOnJob:
    where = f"{path}, line {line}"
    for name in ("video", "garment"):
        if not row[name]:
            raise ConfigError(f"{where}: {name} is empty")
    values: dict[str, Any] = {
        name: row.get(name) or getattr(defaults, name) for name in COLUMNS[3:]
    }
    for name in ("category", "garment_kind"):
        check_choice(name, values[name], CHOICES[name], f"{where}: ")
    for name, least, most in (("person", 1, 10**6), ("seed", 0, 2**63 - 1)):
        if isinstance(values[name], str):
            digits = values[name]
            if not digits.isdecimal() or not least <= int(digits[:_DIGITS]) <= most:
                raise ConfigError(
                    f"{where}: {name}={digits[:40]!r}; a whole number from {least} to {most} is "
                    "expected"
                )
            values[name] = int(digits)
    base = path.parent
    video, garment = base / row["video"], str(base / row["garment"])
    named = fitting_name(f"{video.stem}--{Path(row['garment']).stem}", ".mp4")
    out = folder / (row.get("out") or named)
    mask, densepose = values.pop("mask"), values.pop("densepose")
    if (mask is None) != (densepose is None):
        raise ConfigError(f"{where}: give mask and densepose together, or neither")
    given = None
    if mask is not None and densepose is not None:
        given = GivenConditions(
            mask=base / mask, densepose=base / densepose,
            densepose_format=defaults.densepose_format,
        )  # fmt: skip
    return TryOnJob(
        video=video, garment=garment, out=out, given=given, paste_back=defaults.paste_back,
        margin=None if given else defaults.agnostic.margin, **values,
    )  # fmt: skip
