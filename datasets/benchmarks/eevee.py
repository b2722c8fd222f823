"""Eevee, full-shot and close-up test videos: its lists and folders, validated up front.

Layout, as published (Zeng et al. 2025, arXiv 2511.18957; the folder is spelled ``upper_bdoy``)::

    dresses_test.csv  lower_test.csv  upper_test.csv    Person, then the garment to put on
    <dresses|lower_body|upper_bdoy>/<id>/
        garment.png  garment_detail.png  person*.png
        video_0.mp4  video_0_mask.mp4  video_0_agnostic.mp4  video_0_densepose.mp4    full shot
        video_1.mp4  ...                                                              close-up

Read are the lists, ``garment.png``, the videos and their masks. Agnostic videos are composed from
video and mask here; the DensePose videos are coloured and lossy renderings, and are not read. The
authors' first release named some files differently (``NAMES``).

The paired task of a video puts on the garment of its own folder; unpaired, that of the folder which
the list names. No public code of the benchmark's own states more of a protocol.
"""

import csv
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import DataError
from datasets.benchmarks.origins import check_is_here

logger = logging.getLogger(__name__)

SUBSETS = {
    "dresses": ("overall", "dresses_test.csv", ("dresses",)),
    "lower_body": ("lower", "lower_test.csv", ("lower_body",)),
    "upper_body": ("upper", "upper_test.csv", ("upper_bdoy", "upper_body")),
}
"""Subset -> the part that is painted, its list, and accepted names of its folder."""
SHOTS = ("video_0", "video_1")
"""The full shot, and the close-up."""
NAMES = {
    "garment": ("garment.png", "in.png"),
    "mask": ("{shot}_mask.mp4", "{shot}_agnostic_mask.mp4"),
}
"""Names of a file: of today's release, then of the first one."""
GARMENT_COLUMNS = ("garment", "cloth", "clothes")
PERSON = "person"
NUM_FRAMES = 49
"""The first frames of each video are the clip, as in the authors' test code."""
ID_DIGITS = 5


@dataclass(frozen=True, kw_only=True)
class EeveeClip:
    """One test video and the garments to try on."""

    id: str  # dresses-00030-video_0
    subset: str
    shot: str
    category: str  # upper, lower or overall
    video_path: Path
    mask_path: Path  # 255 = to be painted
    own_garment_path: Path
    other_garments: dict[str, Path] = field(default_factory=dict)  # by the garment's id


def read_eevee(root: Path) -> list[EeveeClip]:
    """Read the three test lists of an Eevee folder, in their order, both shots of each person.

    Args:
        root: the folder that holds the lists.

    Raises:
        DataError: a list, column, folder, video, mask or picture is missing; the message names it.
    """
    check_is_here("eevee", root)
    clips: list[EeveeClip] = []
    for subset, (category, list_name, folders) in SUBSETS.items():
        pairs = _read_list(root, root / list_name)
        folder = next((root / name for name in folders if (root / name).is_dir()), None)
        if folder is None:
            raise _incomplete(root, f"{root / folders[0]}/ is missing{_or(folders[1:])}")
        for person, garments in pairs.items():
            place = _folder_of(root, folder, person, list_name)
            own = _file(root, place, NAMES["garment"])
            others = [_folder_of(root, folder, name, list_name) for name in garments]
            for shot in SHOTS:
                clips.append(
                    EeveeClip(
                        id=f"{subset}-{place.name}-{shot}",
                        subset=subset,
                        shot=shot,
                        category=category,
                        video_path=_file(root, place, (f"{shot}.mp4",)),
                        mask_path=_file(root, place, [n.format(shot=shot) for n in NAMES["mask"]]),
                        own_garment_path=own,
                        other_garments={
                            other.name: _file(root, other, NAMES["garment"])
                            for other in others
                            if other != place
                        },
                    )
                )
    return clips


def _read_list(root: Path, path: Path) -> dict[str, list[str]]:
    """Each person of a list with the garments to put on, in order."""
    if not path.is_file():
        inside = next((p.parent for p in sorted(root.glob(f"*/{path.name}"))), None)
        hint = f"; it is in {inside}, so give root={inside}" if inside else ""
        raise _incomplete(root, f"{path} is missing{hint}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    columns = [name.lower() for name in header]
    if PERSON not in columns:
        raise DataError(
            f"{path} has no column Person: its first line is {', '.join(header) or 'empty'}"
        )
    person_at, garment_at = columns.index(PERSON), _garment_column(path, header, columns)
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row] + [""] * (len(columns) - len(row))
        person = cells[person_at]
        garment = "" if garment_at is None else cells[garment_at]
        if not person:
            raise DataError(f"{path}, row {number}: Person is empty")
        garments = found.setdefault(person, [])
        if garment and garment not in garments:
            garments.append(garment)
    if not found:
        raise DataError(f"{path} names no person")
    return found


def _garment_column(path: Path, header: list[str], columns: list[str]) -> int | None:
    """Where the garment is: by its name, else the one other column; None: paired only."""
    named = [i for i, name in enumerate(columns) if name in GARMENT_COLUMNS]
    others = named or [i for i, name in enumerate(columns) if name != PERSON]
    if len(others) > 1:
        raise DataError(
            f"{path}: which column is the garment's is not clear from {', '.join(header)}; "
            "Person and Garment are accepted"
        )
    if not others:
        logger.warning("%s has no column but Person: it gives no unpaired items", path)
    return others[0] if others else None


def _folder_of(root: Path, folder: Path, name: str, list_name: str) -> Path:
    """The folder of an id, written with or without its leading zeros."""
    for spelled in (name, name.zfill(ID_DIGITS)):
        if Path(spelled).name == spelled and os.path.isdir(folder / spelled):  # False for any name
            return folder / spelled
    raise _incomplete(root, f"{list_name} names {name!r}, and {folder / name}/ is missing")


def _file(root: Path, folder: Path, names: tuple[str, ...] | list[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise _incomplete(root, f"{folder / names[0]} is missing{_or(names[1:])}")


def _or(names: tuple[str, ...] | list[str]) -> str:
    return f" (or {', '.join(names)})" if names else ""


def _incomplete(root: Path, what: str) -> DataError:
    return DataError(f"Eevee folder {root} is incomplete: {what}")
