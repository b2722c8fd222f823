"""Which checkpoint paints: the one that is named, the newest run of your own, or the shipped model.

The shipped model is a folder as ``make export`` writes it. Its ``config.json`` states its limits.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError
from models.checkpoints import is_checkpoint

SHIPPED = Path(__file__).parents[1] / "models" / "pretrained" / "tryon"
"""Where the model that comes with the project lies, if there is one."""
GIVEN, OWN, PRETRAINED = "given", "newest run", "shipped model"
_OWN_MODEL = "`make demo` trains a small one, docs/training.md says how to train a larger one"


@dataclass(frozen=True, kw_only=True)
class ChosenCheckpoint:
    """A checkpoint, and why it was taken.

    Attributes:
        path: of the checkpoint.
        origin: "given", "newest run" or "shipped model".
        sentence: one or two sentences for people, with the limits of the shipped model.
    """

    path: Path
    origin: str
    sentence: str


def shipped_model() -> Path | None:
    """The folder of the model that comes with the project; None if it has none."""
    return SHIPPED if is_checkpoint(SHIPPED) else None


def choose_checkpoint(given: str | Path | None, runs: Path) -> ChosenCheckpoint:
    """The checkpoint to use.

    Args:
        given: a file, a run's folder or an exported model; None: the newest stage 3 under ``runs``,
            or else the shipped model.
        runs: folder of the runs.

    Raises:
        DataError: the given one does not exist, or there is none at all.
    """
    if given:
        path = _find_given(Path(given))
        return ChosenCheckpoint(path=path, origin=GIVEN, sentence=f"Using the checkpoint {path}.")
    found = sorted(runs.glob("*stage3*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime)
    if found:
        sentence = f"Using the newest stage 3 of your own, {found[-1]}."
        return ChosenCheckpoint(path=found[-1], origin=OWN, sentence=sentence)
    shipped = shipped_model()
    if shipped is None:
        raise DataError(
            f"no checkpoint of stage 3 under {runs}/; `make demo` trains a small one, "
            "or give checkpoint=FILE"
        )
    limits = read_limits(shipped)
    sentence = (
        f"Using the model that ships with the project ({shipped}), since there is no stage 3 of "
        f"your own under {runs}/{'' if not limits else f'; its limits: {limits}'}. "
        f"To use your own: {_OWN_MODEL}."
    )
    return ChosenCheckpoint(path=shipped, origin=PRETRAINED, sentence=sentence)


def read_limits(folder: Path) -> str:
    """What an exported model's ``config.json`` says that it cannot do, without a final stop.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / "config.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return str(facts.get("limits", "")).strip().rstrip(".")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read, and a model made by `make export` has one; restore it (git "
            f"checkout {folder}), or give checkpoint=FILE: {error}"
        ) from error


def model_name(checkpoint: Path) -> str:
    """What a result calls its model: the run's name, without this machine's paths."""
    if checkpoint.parent.name == "checkpoints":
        return checkpoint.parent.parent.name
    return f"{checkpoint.parent.name}/{checkpoint.stem}"


def _find_given(given: Path) -> Path:
    for path in (given, Path(f"{given}.ckpt"), given / "checkpoints" / "last.ckpt"):
        if is_checkpoint(path):
            return path
    raise DataError(f"checkpoint {given} does not exist; `make demo` trains a small one")
