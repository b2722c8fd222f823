"""Fetches public weights: downloaded, checked, recorded, and only then given their final name."""

import logging
from dataclasses import dataclass
from pathlib import Path

from configs.console import Progress, sizes_in_words
from configs.errors import ConfigError, DataError
from datasets.storage import file_sha256, put_in_place
from training.weights.catalogue import (
    CATALOGUE,
    GROUPS,
    PublicFile,
    PublicWeights,
    weights_folder,
)
from training.weights.checks import check_weights
from training.weights.download import Unfinished, download
from training.weights.records import check_record, forget_record

logger = logging.getLogger(__name__)

FETCHING = ".fetching"


@dataclass(frozen=True, kw_only=True)
class State:
    """Which files of an entry are present."""

    entry: PublicWeights
    here: tuple[PublicFile, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all of its files are present."""
        return len(self.here) == len(self.entry.files)


def choose(words: str) -> list[PublicWeights]:
    """Entries by name or group, separated by commas; ``all`` for all.

    Raises:
        ConfigError: a name that does not exist.
    """
    chosen: dict[str, PublicWeights] = {}
    for word in filter(None, (part.strip() for part in words.split(","))):
        matching = [e for e in CATALOGUE.values() if word in (e.name, e.group, "all")]
        if not matching:
            known = ", ".join(["all", *GROUPS, *CATALOGUE])
            raise ConfigError(f"no weights are called {word!r}; there are {known}")
        chosen |= {entry.name: entry for entry in matching}
    if not chosen:
        raise ConfigError(f"no name is given; there are {', '.join(['all', *GROUPS, *CATALOGUE])}")
    return list(chosen.values())


def states() -> list[State]:
    """Which files of every entry are present; no file is opened."""
    folder = weights_folder()
    return [
        State(
            entry=entry,
            here=tuple(public for public in entry.files if (folder / public.file).is_file()),
        )
        for entry in CATALOGUE.values()
    ]


def fetch(entries: list[PublicWeights], mirror: str | None = None) -> list[Path]:
    """Fetch missing files of some entries; existing files are checked and kept.

    Returns:
        The files that were fetched.

    Raises:
        DataError: some could not be fetched or were wrong, one sentence per file. The others are
            fetched anyway.
    """
    folder = weights_folder()
    fetched: list[Path] = []
    faults: list[str] = []
    for entry in entries:
        absent = [public for public in entry.files if not (folder / public.file).is_file()]
        try:
            for public in absent:
                _download(public, folder, mirror)
            if absent:
                fetched += _take_in(entry, absent, folder)
            else:
                verify(entry)
                logger.info("%s: present and correct", entry.name)
        except DataError as error:
            faults.append(f"{entry.name}: {error}")
        except OSError as error:
            faults.append(f"{entry.name}: {folder} cannot be written ({error})")
    _remove_empty(folder / FETCHING)
    if faults:
        raise DataError("\n       ".join(faults))
    return fetched


def verify(entry: PublicWeights) -> None:
    """Check an entry's files against their hashes, keys and shapes.

    Raises:
        DataError: one is missing, changed, or wrong.
    """
    folder = weights_folder()
    for public in entry.files:
        if not (folder / public.file).is_file():
            raise DataError(f"{folder / public.file} does not exist: {entry.how_to_get}")
    check_weights(entry, folder)
    for public in entry.files:
        path = folder / public.file
        digest = file_sha256(path)
        stated = public.sha256_start
        if stated is not None and not digest.startswith(stated):
            logger.warning("%s is not the published file: %s, published %s", path, digest, stated)
        check_record(folder, public.file, digest)


def _download(public: PublicFile, folder: Path, mirror: str | None) -> None:
    """Download one file to the folder of partial files, and check it against its stated facts."""
    unfinished = Unfinished(path=folder / FETCHING / public.file)
    address = public.url(mirror)
    here = unfinished.num_bytes(address)[0]
    try:
        with Progress(public.file, public.num_bytes, done=here, in_words=sizes_in_words) as bar:
            download(address, unfinished, lambda here, total: bar.update(here, total=total))
    except DataError as error:
        raise DataError(f"{error}; or put it into {folder}/ by hand") from error
    size = unfinished.path.stat().st_size
    if public.num_bytes is not None and size != public.num_bytes:
        unfinished.discard()
        raise DataError(
            f"{address} gave {size} bytes, its publisher states {public.num_bytes}; it was not kept"
        )
    stated = public.sha256_start
    if stated is not None:
        digest = file_sha256(unfinished.path)
        if not digest.startswith(stated):
            unfinished.discard()
            raise DataError(
                f"{address} gave a file of sha256 {digest}, its publisher states {stated}; it was "
                "not kept"
            )


def _take_in(entry: PublicWeights, files: list[PublicFile], folder: Path) -> list[Path]:
    """Check the new files together with the existing ones, and give them their final names."""
    fetching = folder / FETCHING
    if len(files) == len(entry.files):
        try:
            check_weights(entry, fetching)
        except DataError as error:
            for public in files:
                Unfinished(path=fetching / public.file).discard()
            raise DataError(f"{error}; it was not kept") from error
    for public in files:
        unfinished = Unfinished(path=fetching / public.file)
        digest = file_sha256(unfinished.path)
        forget_record(folder, public.file)  # of a file that was removed since then
        final = folder / public.file
        final.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(unfinished.path, final)
        unfinished.note.unlink(missing_ok=True)
        check_record(folder, public.file, digest)
    return [folder / public.file for public in files]


def _remove_empty(fetching: Path) -> None:
    for path in sorted(fetching.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if fetching.is_dir() and not any(fetching.iterdir()):
        fetching.rmdir()
