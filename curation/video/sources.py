"""Raw videos below a folder: each identified by its content, with the values of its sidecar.

A sidecar is ``<stem>.json`` next to the video, with optional keys licence, url, group, split
(train, val, bench), truth (a video of the same motion in the target garment), truth_mask (where
that garment is) and target_garment (a picture). Files named by a sidecar are not sources, nor is
any other ``.json``.
"""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from configs.checks import check_choices
from configs.errors import ConfigError, DataError
from curation.video.frame_folders import frames_sha256, frames_stamp, numbered
from curation.video.own_output import maker_of
from curation.video.sidecars import Sidecar, read_sidecar
from datasets.shards import SPLITS
from datasets.storage import file_sha256

logger = logging.getLogger(__name__)

MAX_NAMED = 5
"""Folders named in one message."""
LAYOUTS = ("videos", "viton_hd", "dresscode")


@dataclass(frozen=True, kw_only=True)
class SourcesConfig:
    """Which files of SRC are sources, and metadata that applies to all of them.

    Patterns are shell patterns (fnmatch), matched against the name below SRC, with forward slashes;
    ``*`` also matches slashes. A video's sidecar takes precedence.
    """

    layout: str = "videos"  # or photographs with products: curation/image_pairs.py
    include: list[str] = field(default_factory=list)  # empty: every file
    exclude: list[str] = field(default_factory=list)
    splits: dict[str, str] = field(default_factory=dict)  # pattern -> train, val, bench
    licence: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        check_choices(self, layout=LAYOUTS)
        for pattern, split in self.splits.items():
            if split not in SPLITS:
                raise ConfigError(
                    f"splits: {pattern!r} is {split!r}; accepted: {', '.join(SPLITS)}"
                )

    def takes(self, name: str) -> bool:
        """Whether a file is a source, by its name below SRC."""
        is_included = not self.include or any(_matches(name, p) for p in self.include)
        return is_included and not any(_matches(name, p) for p in self.exclude)

    def describe(self, name: str, sidecar: "Sidecar") -> "Sidecar":
        """A sidecar completed by the metadata that applies to all."""
        split = next((s for p, s in self.splits.items() if _matches(name, p)), None)
        return replace(
            sidecar,
            split=sidecar.split or split,
            licence=sidecar.licence or self.licence,
            url=sidecar.url or self.url,
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file, identified by its content; ``path`` and ``name`` are metadata."""

    path: Path
    name: str  # below SRC, with forward slashes
    sha256: str
    num_bytes: int
    sidecar: Sidecar
    truth_path: Path | None = None
    target_path: Path | None = None
    companions_sha256: str | None = None  # of truth and target, which are part of the clip
    also_named: tuple[str, ...] = ()  # further files with the same bytes

    @property
    def group(self) -> str:
        """What splits keep together: the sidecar's group, or this file alone."""
        return self.sidecar.group or self.sha256


def find_sources(
    root: Path,
    hash_of: Callable[[Path], str],
    is_wanted: Callable[[str], bool] | None = None,
    config: SourcesConfig | None = None,
) -> list[Source]:
    """All source files below ``root``, each content once, in order of name.

    A folder of numbered pictures is one source (``frame_folders``).

    Args:
        root: folder to walk; hidden files and folders are skipped, and what this project wrote.
        hash_of: sha256 of a file or a folder of frames (the ledger caches unchanged ones).
        is_wanted: filter on the name below ``root``; others are not read. None: all.
        config: which files count; None: all.

    Raises:
        DataError: ``root`` is missing, not a folder, empty, or an output of ours; a sidecar is not
            readable.
    """
    check_folder(root)
    config = config or SourcesConfig()
    files = [path for path in _walk(root) if path.is_dir() or path.is_file()]
    if not files:
        raise DataError(f"src={root} contains no files; give a folder with videos")
    videos = [path for path in files if path.suffix.lower() != ".json"]
    stems = {_key(path) for path in videos}
    sidecars = {
        _key(path): path for path in files if path.suffix.lower() == ".json" and _key(path) in stems
    }
    read = {key: read_sidecar(path) for key, path in sidecars.items()}
    companions = {
        os.path.realpath(sidecars[key].parent / named)
        for key, sidecar in read.items()
        for named in (sidecar.truth, sidecar.truth_mask, sidecar.target_garment)
        if named is not None
    }
    by_content: dict[str, Source] = {}
    for path in videos:
        name = path.relative_to(root).as_posix()
        if os.path.realpath(path) in companions or not config.takes(name):
            continue
        if is_wanted is not None and not is_wanted(name):
            continue
        sidecar = config.describe(name, read.get(_key(path), Sidecar()))
        source = _describe(path, root, sidecar, hash_of)
        first = by_content.setdefault(source.sha256, source)
        if first is not source:
            by_content[source.sha256] = _merge(first, source)
    if not by_content and is_wanted is None:
        filtered = " that sources.include accepts" if config.include else ""
        raise DataError(f"src={root} contains no video{filtered}; give a folder with videos")
    return sorted(by_content.values(), key=lambda source: source.name)


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _key(path: Path) -> tuple[Path, str]:
    """What a video and its sidecar share."""
    return path.parent, _composed(_stem(path))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(_composed(name), _composed(pattern))


def _composed(name: str) -> str:
    """A name as others compare it: a Mac writes the letter é as two characters."""
    return unicodedata.normalize("NFC", name)


def _merge(first: Source, second: Source) -> Source:
    """Two files with the same bytes as one source: the one with a sidecar comes first."""
    main, other = first, second
    if first.sidecar == Sidecar() and second.sidecar != Sidecar():
        main, other = second, first
    return replace(main, also_named=(*main.also_named, other.name, *other.also_named))


def check_folder(root: Path, out: Path | None = None) -> None:
    """Reject anything but a folder, and one that is also the output, before anything is written."""
    if not root.is_dir():
        raise DataError(f"src={root} is not a folder; give one with videos")
    if not any(root.iterdir()):
        raise DataError(f"src={root} contains no files; give a folder with videos")
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigError(f"out={out} is a file; give a folder: a new one, or an earlier OUT")
    if out is not None and out.exists() and out.samefile(root):
        raise ConfigError(f"out={out} is the folder with the raw videos itself; give another OUT")


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, or of a folder's frames."""
    if path.is_dir():
        return frames_sha256(path)
    return file_sha256(path)


def _walk(root: Path) -> list[Path]:
    """Files and folders of frames below ``root``, each folder once, whatever links lead to it.

    Links are followed after the folders that really lie there, so those keep their own names.
    """
    found: list[Path] = []
    ours: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        for walked, subfolders, names in os.walk(waiting.pop(0), onerror=_unreadable):
            folder, status = Path(walked), os.stat(walked)
            place = status.st_dev, status.st_ino
            subfolders[:] = sorted(subfolders)
            maker = None if place in seen else maker_of(folder, {*subfolders, *names})
            if maker is not None and folder == root:
                raise DataError(
                    f"src={root} is the output of {maker}; give a folder with raw videos only"
                )
            if maker is not None:
                ours.append(f"{folder.relative_to(root).as_posix()} ({maker})")
            if place in seen or maker is not None:
                subfolders.clear()
                continue
            seen.add(place)
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            waiting += [folder / name for name in subfolders if (folder / name).is_symlink()]
            inside = [folder / name for name in sorted(names) if not name.startswith(".")]
            frames = set(numbered(inside))
            found += [folder] if frames and folder != root else []
            found += [path for path in inside if path not in frames or folder == root]
    if ours:
        more = f" and {len(ours) - MAX_NAMED} more" if len(ours) > MAX_NAMED else ""
        logger.warning(
            "left out, since this project wrote them: %s%s", ", ".join(ours[:MAX_NAMED]), more
        )
    return sorted(found)


def _unreadable(error: OSError) -> None:
    logger.warning("%s cannot be read and is left out: %s", error.filename, error.strerror)


def stamp_of(path: Path) -> tuple[int, int]:
    """(bytes, modification time in ns) of a file or a folder of frames."""
    if path.is_dir():
        return frames_stamp(path)
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _describe(path: Path, root: Path, sidecar: Sidecar, hash_of: Callable[[Path], str]) -> Source:
    paths = [
        (path.parent / named) if named else None
        for named in (sidecar.truth, sidecar.target_garment)
    ]
    for companion in paths:
        if companion is not None and not os.path.isfile(companion):  # False for any name
            raise DataError(
                f"{path.with_name(_stem(path))}.json names {companion}, which does not exist"
            )
    hashes = [hash_of(companion) for companion in paths if companion is not None]
    return Source(
        path=path,
        name=path.relative_to(root).as_posix(),
        sha256=hash_of(path),
        num_bytes=stamp_of(path)[0],
        sidecar=sidecar,
        truth_path=paths[0],
        target_path=paths[1],
        companions_sha256=hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None,
    )
