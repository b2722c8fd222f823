"""One folder curated by many runs: ``job_part=I/N`` works off a part, a run without it finishes.

For arrays of jobs on a cluster whose machines share the disk. Every part has a ledger of its own
(SQLite has one writer); tracks and signals are content-addressed, so all write below one OUT.
The finishing run takes the parts' ledgers over, does what is missing, and packs.
"""

import hashlib
import logging
import re
from pathlib import Path

from configs.errors import ConfigError
from curation.ledger import Ledger
from datasets.locks import only_run

logger = logging.getLogger(__name__)

MAIN = "ledger.sqlite"
_WORD = re.compile(r"(\d+)/(\d+)")


def parse_part(word: str) -> tuple[int, int]:
    """``3/8`` as (3, 8): the fourth of eight.

    Raises:
        ConfigError: another form, or a number out of range.
    """
    match = _WORD.fullmatch(word)
    if match is None or not int(match[1]) < int(match[2]):
        raise ConfigError(f"job_part is {word!r}; I/N with 0 <= I < N is accepted, such as 0/8")
    return int(match[1]), int(match[2])


def is_in_part(name: str, part: tuple[int, int]) -> bool:
    """Whether a file belongs to a part, by the hash of its name below SRC (nothing is read)."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % part[1] == part[0]


def ledger_path(out: Path, part: tuple[int, int] | None) -> Path:
    """Where a run keeps its ledger."""
    return out / (MAIN if part is None else f"ledger-{part[0]}-of-{part[1]}.sqlite")


def begin_part(ledger: Ledger, out: Path) -> None:
    """Let a part know what the folder's own ledger knows already."""
    if (out / MAIN).is_file():
        ledger.absorb(out / MAIN, is_newer=False)


def take_over_parts(ledger: Ledger, out: Path) -> int:
    """Everything that parts did goes into the folder's own ledger; how many parts there were."""
    parts = sorted(out.glob("ledger-*-of-*.sqlite"))
    for path in parts:
        with only_run(path, out):  # a part at work would go on writing into what is removed here
            ledger.absorb(path, is_newer=True)
    for path in parts:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if parts:
        logger.info("took over the ledgers of %d parts", len(parts))
    return len(parts)
