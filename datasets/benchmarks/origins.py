"""Where published benchmarks come from, under which terms, and how they lie on disk.

No benchmark is downloaded: each has terms that only its user can accept.
"""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from configs.errors import DataError

LINE = 92
"""Columns of the text, after ``error: `` a terminal of 100."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkOrigin:
    """What somebody needs to know who does not have a benchmark yet."""

    title: str
    source: str
    terms: str
    layout: tuple[str, ...]  # paths below the folder


ORIGINS = {
    "vvt": BenchmarkOrigin(
        title="VVT",
        source="FW-GAN (Dong et al., ICCV 2019), whose authors have it; a challenge used it: "
        "https://competitions.codalab.org/competitions/23472",
        terms="no licence was found; ask the authors before you use it",
        layout=(
            "test_person_clothes_pose_tuple.txt    person id, clothes id, pose id per line",
            "lip_clothes_person/<id>/*cloth_front.jpg",
            "test_frames/<id>/*frame_NNN*.png",
        ),
    ),
    "vivid_s": BenchmarkOrigin(
        title="ViViD-S",
        source="videos and images: the data set alibaba-yuanjing-aigclab/ViViD on Hugging Face "
        "(Fang et al. 2024); the lists: CatV2TON's authors, who chose the 180 clips",
        terms="the card of ViViD is tagged apache-2.0; rights of the people and shops in the "
        "pictures are not part of that",
        layout=(
            "test_data_180.jsonl, test_data_180_unpaired.jsonl (may be absent)",
            "<upper_body|lower_body|dresses>/videos/*.mp4",
            "<upper_body|lower_body|dresses>/images/*.jpg",
        ),
    ),
    "eevee": BenchmarkOrigin(
        title="Eevee",
        source="the repository JianhaoZeng/Eevee on Hugging Face (Zeng et al. 2025, "
        "arXiv 2511.18957): cat Eevee.zip.part* > Eevee.zip, and unzip it",
        terms="no licence was found in its code or description; ask the authors before you use it",
        layout=(
            "dresses_test.csv, lower_test.csv, upper_test.csv    columns: Person, garment",
            "<dresses|lower_body|upper_bdoy>/<id>/garment.png",
            "<dresses|lower_body|upper_bdoy>/<id>/video_0.mp4, video_0_mask.mp4    full",
            "<dresses|lower_body|upper_bdoy>/<id>/video_1.mp4, video_1_mask.mp4    close",
        ),
    ),
}
"""By the name that ``BENCH`` takes. "No licence was found" means what it says: none in the code
repository, its description or on the data set's page, as far as they could be read."""


def check_is_here(name: str, root: Path) -> None:
    """Refuse a published benchmark whose folder does not exist; others pass.

    Raises:
        DataError: with its origin, terms and layout.
    """
    origin = ORIGINS.get(name)
    if origin is None or root.is_dir():
        return
    title = origin.title
    lines = (
        f"{title} folder {root} does not exist, and {title} is not downloaded for you.",
        *textwrap.wrap(f"From: {origin.source}.", LINE, break_on_hyphens=False),
        *textwrap.wrap(f"Terms: {origin.terms}.", LINE, break_on_hyphens=False),
        "Layout:",
        *(f"  {root}/{line}" for line in origin.layout),
        f"Then run `make curate BENCH={name}` once. If it lies elsewhere, set DATA_ROOT,",
        f"or give root=FOLDER (`make eval BENCH={name}`) and bench_root=FOLDER (`make curate`).",
    )
    raise DataError("\n".join(lines))
