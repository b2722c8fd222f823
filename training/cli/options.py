"""What several sub-commands share: groups of the help, and how options are written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter, Token

START = Group.create_ordered("Begin")
DATA = Group.create_ordered("Data")
WEIGHTS = Group.create_ordered("Weights")
TRAINING = Group.create_ordered("Training")
USE = Group.create_ordered("Use and score")
CODE = Group.create_ordered("Work on the code")


def _as_typed(_: object, tokens: Sequence[Token]) -> str:
    return tokens[0].value


Typed = Annotated[Path | str, Parameter(converter=_as_typed, metavar="PATH")]
"""Text that shells complete as a file; it is kept as typed (it may be key=value, or a URL)."""
Config = Annotated[
    Path | str | None, Parameter(name=["--config", "-c"], converter=_as_typed, metavar="FILE")
]
Out = Annotated[
    Path | str | None, Parameter(name=["--out", "-o"], converter=_as_typed, metavar="PATH")
]
Folder = Annotated[Path | str, Parameter(name=["--out", "-o"], converter=_as_typed, metavar="PATH")]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]


def examples(*lines: str) -> str:
    """The end of a sub-command's help."""
    return "Examples:\n" + "\n".join(f"  viton-dit {line}" for line in lines)
