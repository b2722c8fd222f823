"""A fingerprint of a chain's step: its commands, settings, and the code that makes data.

An ablation puts fingerprints into names, so that nothing resumes from output of other settings or
another renderer. The demo's names stay the same: its fingerprints are stored in the folders.
"""

import hashlib
import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from configs.loading import find_config, read_plain
from datasets.storage import add_files, move_aside, writing
from datasets.synthetic.dataset import renderer_sources

logger = logging.getLogger(__name__)

MARK = ".made_from"
CURATION = Path(__file__).parents[2] / "curation" / "versions.py"
"""Read as text: training imports nothing of curation."""


def fingerprint(commands: Sequence[tuple[str, ...]]) -> str:
    """Hash of commands, of every YAML that they name, and of the code that makes their data.

    That is the renderer's source, and curation's versions. Networks and training are not hashed:
    every commit would otherwise retrain everything. Comments in a YAML change nothing.

    Args:
        commands: the words after ``python -m``, in order.
    """
    digest = hashlib.sha256()
    for words in commands:
        digest.update(shlex.join(words).encode())
        for word in words:
            path = find_config(word)
            if path.suffix == ".yaml" and path.is_file():
                digest.update(json.dumps(read_plain(path), sort_keys=True).encode())
        if words[0] == "datasets.synthetic":
            add_files(digest, *renderer_sources())
        if words[0] == "curation.run":
            add_files(digest, CURATION)
    return digest.hexdigest()[:16]


def claim(folder: Path, mark: str) -> bool:
    """Keep a folder with this fingerprint; one with another is moved aside and reported.

    Returns:
        Whether it exists and can be resumed.
    """
    file = folder / MARK
    if file.is_file() and file.read_text(encoding="utf-8") == mark:
        return True
    if folder.exists():
        aside = move_aside(folder)
        logger.warning(
            "%s was made by other settings or older code: moved to %s, and made again",
            folder, aside,
        )  # fmt: skip
    with writing(folder) as aside:  # a killed run leaves no folder without its mark
        aside.mkdir()
        (aside / MARK).write_text(mark, encoding="utf-8")
    return False
