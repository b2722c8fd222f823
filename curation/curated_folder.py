"""Opening a curated folder: its ledger, its settings, and looking up sources and clips by name."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.settings import CurateConfig

MIN_PREFIX = 6
"""Shortest prefix of a sha256 that is recognised as one."""
MAX_NAMED = 5
PICTURES = "explain"
"""Folder, in the curated one, of the pictures that `make curate-explain` shows, by clip_id."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """An open output folder."""

    root: Path
    config: CurateConfig  # of its last run
    ledger: Ledger


@contextmanager
def open_output(root: Path) -> Iterator[Output]:
    """Open a folder that ``curation.run`` wrote.

    Raises:
        DataError: the ledger is missing or not one of ours.
        ConfigError: its config.yaml is missing or was written by another version.
    """
    if not (root / "ledger.sqlite").is_file():
        raise DataError(
            f"{root} is not a curated folder (it has no ledger.sqlite); "
            "give the folder that `make curate` made"
        )
    config = replace(load_config(CurateConfig, root / "config.yaml"), out=str(root))
    with Ledger(root / "ledger.sqlite") as ledger:
        yield Output(root=root, config=config, ledger=ledger)


def output_argument(argv: Sequence[str], usage: str) -> tuple[Path, list[str], list[str]]:
    """``OUT NAME ... key=value ...`` as the folder, the names and the settings.

    A file called ``a=b.mp4`` is a name: settings are words like ``yes=true``.
    """
    if not argv or argv[0] in {"-h", "--help"}:
        raise ConfigError(f"the folder of a `make curate` is missing; usage: {usage}")
    words = list(argv[1:])
    settings = [word for word in words if word.partition("=")[2] in {"true", "false"}]
    return Path(argv[0]), [word for word in words if word not in settings], settings


def flag(settings: Sequence[str], accepted: str) -> bool:
    """Whether ``accepted=true`` is the last setting; any other key raises a ConfigError."""
    is_set = False
    for word in settings:
        key, _, value = word.partition("=")
        if key != accepted:
            raise ConfigError(f"{key!r} is not a setting of this command; known keys: {accepted}")
        is_set = value == "true"
    return is_set


def find_source(name: str, ledger: Ledger, sources: Sequence[SourceRow]) -> SourceRow:
    """The one source matched by a path, a name, or the beginning of a sha256.

    Raises:
        DataError: no match or several; near matches are listed.
    """
    found = matching_sources(name, ledger, sources)
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(name, [source.name for source in found])
    raise _unknown(name, [source.name for source in sources], "source")


def find_rows(
    name: str, ledger: Ledger, sources: Sequence[SourceRow], clips: Sequence[ClipRow]
) -> tuple[SourceRow, list[ClipRow]]:
    """A source with the clips matched by a name: one of them, or all clips of a source.

    Raises:
        DataError: no match or several; near matches are listed.
    """
    by_sha = {source.sha256: source for source in sources}
    exact = [clip for clip in clips if clip.clip_id == name]
    if exact:
        return by_sha[exact[0].source_sha256], exact
    found = matching_sources(name.removesuffix("_source"), ledger, sources)
    if len(found) == 1:
        return found[0], [clip for clip in clips if clip.source_sha256 == found[0].sha256]
    if found:
        raise _ambiguous(name, [source.name for source in found])
    begun = [c for c in clips if c.clip_id.startswith(name)] if len(name) >= MIN_PREFIX else []
    if len(begun) == 1:
        return by_sha[begun[0].source_sha256], begun
    if begun:
        raise _ambiguous(name, [clip.clip_id for clip in begun])
    known = [clip.clip_id for clip in clips] + [source.name for source in sources]
    raise _unknown(name, known, "clip or source")


def matching_sources(name: str, ledger: Ledger, sources: Sequence[SourceRow]) -> list[SourceRow]:
    """Sources matched by name, else path, else file name, else sha256."""
    by_name = [s for s in sources if name in (s.name, *s.also_named)]
    if by_name:
        return by_name
    path_sha = ledger.hash_at(Path(name))
    by_path = [source for source in sources if source.sha256 == path_sha]
    if by_path:
        return by_path
    by_file = [
        source
        for source in sources
        if name in {PurePosixPath(known).name for known in (source.name, *source.also_named)}
    ]
    if by_file:
        return by_file
    is_hash = len(name) >= MIN_PREFIX and set(name) <= set("0123456789abcdef")
    return [s for s in sources if s.sha256.startswith(name)] if is_hash else []


def _ambiguous(name: str, matches: list[str]) -> DataError:
    more = f" and {len(matches) - MAX_NAMED} more" if len(matches) > MAX_NAMED else ""
    listed = ", ".join(repr(match) for match in matches[:MAX_NAMED])
    return DataError(f"{name!r} is ambiguous: {listed}{more}; give one of these")


def _unknown(name: str, known: list[str], kind: str) -> DataError:
    by_file = {PurePosixPath(entry).name: entry for entry in known}
    close = difflib.get_close_matches(name, [*known, *by_file], n=MAX_NAMED, cutoff=0.5)
    near = list(dict.fromkeys(by_file.get(match, match) for match in close))
    hint = (
        f"similar names: {', '.join(repr(match) for match in near)}"
        if near
        else f"there are {len(known)} names, for example {known[0]!r}"
        if known
        else "the ledger is empty"
    )
    return DataError(f"no {kind} named {name!r} in this ledger; {hint}")
