"""What a chain's step was made from, as a mark: commands, settings, and the code that makes data.

An ablation puts marks into names, so that nothing goes on from what other settings or another
renderer made. The demo's names stay the same: its marks lie in the folders.
"""

import hashlib
import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from configs.loading import read_plain
from datasets.storage import add_files, move_aside
from datasets.synthetic.dataset import renderer_sources

logger = logging.getLogger(__name__)

MARK = ".made_from"
CURATION = Path(__file__).parents[2] / "curation" / "versions.py"
"""Read as text: training imports nothing of curation."""


def fingerprint(commands: Sequence[tuple[str, ...]]) -> str:
    """Hash of commands, of every YAML that they name, and of the code that makes their data.

    That is the renderer's source, and curation's versions. Networks and training are not hashed:
    every commit would train all anew. Comments in a YAML change nothing.

    Args:
        commands: words behind ``python -m``, in their order.
    """
    digest = hashlib.sha256()
    for words in commands:
        digest.update(shlex.join(words).encode())
        for word in words:
            path = Path(word)
            if path.suffix == ".yaml" and path.is_file():
                digest.update(json.dumps(read_plain(path), sort_keys=True).encode())
        if words[0] == "datasets.synthetic":
            add_files(digest, *renderer_sources())
        if words[0] == "curation.run":
            add_files(digest, CURATION)
    return digest.hexdigest()[:16]


def claim(folder: Path, mark: str) -> bool:
    """Keep a folder for what has this mark; one that has not is moved aside, in one sentence.

    Returns:
        Whether it is there from before, to go on with.
    """
    file = folder / MARK
    if file.is_file() and file.read_text(encoding="utf-8") == mark:
        return True
    if folder.exists():
        aside = move_aside(folder)
        logger.warning(
            "%s was not made by these settings and this code: it lies in %s now and is made anew",
            folder, aside,
        )  # fmt: skip
    folder.mkdir(parents=True)
    file.write_text(mark, encoding="utf-8")
    return False
