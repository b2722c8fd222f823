"""The VVT test set as public tools lay it out on disk, read and validated up front.

Layout (FW-GAN, Dong et al. 2019; folder names as public loaders expect them)::

    test_person_clothes_pose_tuple.txt     person id, clothes id, pose id per line
    lip_clothes_person/<id>/*cloth_front.jpg
    test_frames/<id>/*.png                 frame_NNN in the name; 256x192
"""

import re
from dataclasses import dataclass
from pathlib import Path

from configs.errors import DataError
from datasets.benchmarks.origins import check_is_here
from datasets.storage import listed

PAIRS_FILE = "test_person_clothes_pose_tuple.txt"
GARMENT_FOLDER = "lip_clothes_person"
FRAMES_FOLDER = "test_frames"
_FRAME_NUMBER = re.compile(r"frame_(\d+)")


@dataclass(frozen=True, kw_only=True)
class VvtItem:
    """One line of the pairs file: a person's video and the garment to try on."""

    person_id: str
    garment_id: str
    frame_paths: list[Path]
    garment_path: Path
    own_garment_path: Path

    @property
    def is_paired(self) -> bool:
        """Whether the garment is the one worn in the video."""
        return self.person_id == self.garment_id


def read_vvt(root: Path) -> list[VvtItem]:
    """Read the pairs of a VVT folder, in the order of its pairs file, each (person, garment) once.

    Args:
        root: the folder that holds the pairs file.

    Returns:
        One item per line, frames in the order of their numbers.

    Raises:
        DataError: the folder is incomplete; the message names the first missing file.
    """
    check_is_here("vvt", root)
    pairs = root / PAIRS_FILE
    if not pairs.is_file():
        raise DataError(f"VVT folder {root} is incomplete: {pairs} is missing")
    items: dict[tuple[str, str], VvtItem] = {}
    for number, line in enumerate(pairs.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise DataError(
                f"{pairs}, line {number}: {line!r} is not 'person_id clothes_id pose_id'"
            )
        person_id, garment_id = words[0], words[1]
        if (person_id, garment_id) not in items:
            items[person_id, garment_id] = VvtItem(
                person_id=person_id,
                garment_id=garment_id,
                frame_paths=frames_of(root, person_id),
                garment_path=_garment_of(root, garment_id),
                own_garment_path=_garment_of(root, person_id),
            )
    if not items:
        raise DataError(f"{pairs} names no pair")
    return list(items.values())


def frames_of(root: Path, person_id: str) -> list[Path]:
    """A person's frames in the order of their numbers; DataError names the first missing one."""
    folder = root / FRAMES_FOLDER / person_id
    numbered: dict[int, Path] = {}
    for path in listed(folder, "*.png"):
        found = _FRAME_NUMBER.search(path.name)
        if found:
            numbered[int(found.group(1))] = path
    if not numbered:
        raise DataError(f"VVT folder {root} is incomplete: {folder}/*frame_NNN*.png is missing")
    first = min(numbered)
    for number in range(first, max(numbered) + 1):
        if number not in numbered:
            absent = _FRAME_NUMBER.sub(
                lambda found, n=number: f"frame_{n:0{len(found[1])}d}", numbered[first].name
            )
            raise DataError(f"VVT folder {root} is incomplete: {folder / absent} is missing")
    return [numbered[number] for number in sorted(numbered)]


def _garment_of(root: Path, garment_id: str) -> Path:
    folder = root / GARMENT_FOLDER / garment_id
    found = listed(folder, "*cloth_front.jpg")
    if not found:
        raise DataError(f"VVT folder {root} is incomplete: {folder}/*cloth_front.jpg is missing")
    return found[0]
