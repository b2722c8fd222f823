"""What several sub-commands share: groups of the help, and how options are written."""

from typing import Annotated

from cyclopts import Group, Parameter

START = Group.create_ordered("Begin")
DATA = Group.create_ordered("Data")
WEIGHTS = Group.create_ordered("Weights")
TRAINING = Group.create_ordered("Training")
USE = Group.create_ordered("Use and score")

Config = Annotated[str | None, Parameter(name=["--config", "-c"])]
Out = Annotated[str | None, Parameter(name=["--out", "-o"])]
Folder = Annotated[str, Parameter(name=["--out", "-o"])]
Flag = Annotated[bool, Parameter(negative=())]


def examples(*lines: str) -> str:
    """The end of a sub-command's help."""
    return "Examples:\n" + "\n".join(f"  viton-dit {line}" for line in lines)
