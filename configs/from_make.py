"""What the Makefile was given becomes a command's arguments, without passing through a shell.

The Makefile exports each of its inputs, as typed, as ``MAKE_INPUT_<name>``. A recipe names a module
and patterns of words: ``src={SRC}`` becomes ``src=dances #2``, or nothing where SRC is not given;
``{OUT:data/dance}`` has a default; ``{ARGS}`` is split into words as a shell would split it, with
nothing filled in. The process then becomes ``python -m module words``.

Uses the standard library alone: ``--refuse`` runs before anything is installed.
"""

import difflib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence

from configs.front_door import CALLED_BY, MAKE

PREFIX = "MAKE_INPUT_"
NAMED = PREFIX + "_NAMED"  # names given on the command line, for one goal; else empty
RENAMED = {"bench": "HOLD_OUT", "real": "PICTURES (of make codec; a clip to dress is REAL)"}
"""Inputs by the names that they had before; no two of today's differ by case alone."""
_PLACE = re.compile(r"\{(\w+)(?::([^}]*))?\}")


def words_of(patterns: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The arguments that a recipe's patterns give.

    Args:
        patterns: words with at most one ``{NAME}`` or ``{NAME:default}`` each.
        environment: values by ``MAKE_INPUT_<name>``; empty counts as not given.

    Raises:
        ValueError: a variable is given that no pattern reads, or ARGS has an open quote.
    """
    words: list[str] = []
    read: list[str] = []
    for pattern in patterns:
        place = _PLACE.search(pattern)
        if place is None:
            words.append(pattern)
            continue
        name, default = place.groups()
        read.append(name)
        value = environment.get(PREFIX + name, "") or default
        if name == "ARGS":
            words += _split(value or "")
        elif value:
            words.append(pattern[: place.start()] + value + pattern[place.end() :])
    for name in environment.get(NAMED, "").split():
        if name not in read:
            raise ValueError(f"{_advice(name, read)}; this target reads {', '.join(read)}")
    return words


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(
            f"ARGS={text} has a quote or a backslash without its end; quote a value that holds "
            """one: ARGS='src="Anna'\\''s dances"'"""
        ) from error


def _advice(name: str, known: Sequence[str]) -> str:
    """What to type instead of a variable that is not read."""
    if name in RENAMED:
        return f"{name}= is now {RENAMED[name]}"
    alike = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), alike, n=1, cutoff=0.7)
    if close:
        return f"{name}= is not read; did you mean {alike[close[0]]}=?"
    return f'{name}= is not read; a setting of a YAML file is given as ARGS="{name.lower()}=..."'


def main(argv: Sequence[str]) -> int:
    """``MODULE PATTERN ...`` runs a command; ``--refuse NAME -- KNOWN ...`` prints advice."""
    if argv[0] == "--refuse":
        print(_advice(argv[1], argv[3:]))
        return 0
    try:
        words = words_of(argv[1:], os.environ)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    kept[CALLED_BY] = MAKE
    os.execve(sys.executable, [sys.executable, "-m", argv[0], *words], kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
