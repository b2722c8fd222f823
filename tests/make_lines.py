"""A command line for make, as the words of ``viton-dit`` that its recipe runs."""

import re
import shlex
from pathlib import Path

from configs.from_make import PREFIX, words_of

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"
RECIPES = dict(
    re.findall(
        r"^([a-z][a-z0-9-]*):.*\n\t@\$\(CLI\) (.*)$",
        MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE,
    )
)  # fmt: skip
"""What each target passes to ``viton-dit``."""


def typed_words(line: str) -> tuple[str, dict[str, str]]:
    """The target of a line such as ``make curate SRC=raw`` and its variables."""
    program, target, *given = shlex.split(line, comments=True)
    assert program == "make", line
    return target, {name: value for name, _, value in (word.partition("=") for word in given)}


def called_words(line: str) -> list[str]:
    """What ``viton-dit`` is called with for a line that starts with ``make``."""
    target, given = typed_words(line)
    environment = {PREFIX + name: value for name, value in given.items()}
    environment[PREFIX + "_NAMED"] = " ".join(given)
    return words_of(RECIPES[target].split(), environment)
