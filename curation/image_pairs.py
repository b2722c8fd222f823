"""Photographs of people with the product they wear: samples of one frame, for stages 1 and 2.

VITON-HD: ``{train,test}/image/ID.jpg``, ``{train,test}/cloth/ID.jpg``, ``{train,test}_pairs.txt``.
DressCode: ``{upper_body,lower_body,dresses}/images/ID_0.jpg`` (the person) and ``ID_1.jpg`` (the
product), ``train_pairs.txt`` and ``test_pairs_unpaired.txt`` in each. Only images, products and the
lists of pairs are read; parses and poses that come with such sets are ignored and made again by the
same models as for videos. The product photograph is the sample's garment; test sets become
``bench``.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from configs.errors import DataError
from curation.benchmark import BenchSample, FramesJob
from curation.video.sources import SourcesConfig
from datasets.storage import file_sha256

logger = logging.getLogger(__name__)

STILL_FPS = 30.0
"""Photographs have no frame rate; a track of one frame needs one."""
DRESSCODE = {"upper_body": "upper", "lower_body": "lower", "dresses": "overall"}


def pair_jobs(root: Path, config: SourcesConfig, deciding: Callable[..., str]) -> list[FramesJob]:
    """One job per photograph, each content once, in order of names.

    Raises:
        DataError: the folder has another layout, or a listed file is missing.
    """
    read = _viton_hd if config.layout == "viton_hd" else _dresscode
    jobs = _each_once([_job(root, item, config, deciding) for item in read(root)])
    if not jobs:
        raise DataError(f"src={root} is not in {config.layout} layout: no list of pairs was found")
    return sorted(jobs, key=lambda job: job.name)


def _each_once(jobs: list[FramesJob]) -> list[FramesJob]:
    """Drop photographs with the same bytes; between train and test, test keeps it."""
    ordered = sorted(jobs, key=lambda job: (job.sidecar["split"] != "bench", job.name))
    kept: dict[str, FramesJob] = {}
    again = [job.name for job in ordered if kept.setdefault(job.sha256, job) is not job]
    if again:
        logger.warning(
            "skipped %d photographs that are listed twice or have the same content as another, "
            "such as %s", len(again), again[0],
        )  # fmt: skip
    return list(kept.values())


class _Pair:
    """A photograph, the garment worn in it, and the garment to put on (test sets only)."""

    def __init__(
        self, person: Path, product: Path, target: Path | None, category: str, is_test: bool
    ) -> None:
        self.person, self.product, self.target = person, product, target
        self.category, self.is_test = category, is_test


def _viton_hd(root: Path) -> Iterator[_Pair]:
    for split in ("train", "test"):
        for person, garment in _read_pairs(root / f"{split}_pairs.txt"):
            folder, is_test = root / split, split == "test"
            yield _Pair(
                folder / "image" / person,
                folder / "cloth" / person,
                folder / "cloth" / garment if is_test and garment != person else None,
                "upper",
                is_test,
            )


def _dresscode(root: Path) -> Iterator[_Pair]:
    for name, category in DRESSCODE.items():
        folder = root / name / "images"
        for person, garment in _read_pairs(root / name / "train_pairs.txt"):
            yield _Pair(folder / person, folder / garment, None, category, False)
        for person, garment in _read_pairs(root / name / "test_pairs_unpaired.txt"):
            worn = person.replace("_0.", "_1.")
            yield _Pair(folder / person, folder / worn, folder / garment, category, True)


def _read_pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(person, garment) of each line; empty if there is no such list."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if len(words) < 2:
            if words:
                raise DataError(f"{path}, line {number}: {line!r}; expected PERSON.jpg GARMENT.jpg")
            continue
        yield words[0], words[1]


def _job(root: Path, pair: _Pair, config: SourcesConfig, deciding: Callable[..., str]) -> FramesJob:
    for path in (pair.person, pair.product, pair.target):
        if path is not None and not path.is_file():
            raise DataError(f"{path} does not exist, but a list of pairs names it")
    name = pair.person.relative_to(root).as_posix()
    garments = [path for path in (pair.product, pair.target) if path is not None]
    digest = file_sha256(pair.person)
    identity = pair.person.stem
    return FramesJob(
        name=name,
        pictures=[pair.person],
        frame_range=None,
        fps=STILL_FPS,
        category=pair.category,
        samples=[
            BenchSample(bench_id=identity, own_garment=pair.product, target=pair.target, record={})
        ],
        ids={"paired": [identity], "unpaired": [identity] if pair.target else []},
        sha256=digest,
        fingerprint=deciding(pair.category, file_sha256(*garments)),
        sidecar={
            "split": "bench" if pair.is_test else None,
            "licence": config.licence,
            "url": config.url,
        },
        is_filtered=True,
    )
