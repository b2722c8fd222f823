"""Which checkpoint paints: the one that is named, the newest run of your own, or the shipped model.

The shipped model is a folder as ``make export`` writes it. Its ``config.json`` states its limits.
"""

import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.errors import DataError
from configs.loading import find_shipped
from models.checkpoints import is_checkpoint
from models.weights.adapters import locate_adapter

SHIPPED = Path(__file__).parents[1] / "models" / "pretrained" / "tryon"
"""Where the model that comes with the project lies, if there is one."""
GIVEN, OWN, PRETRAINED = "given", "newest run", "shipped model"
_EXPECTED = "give a .ckpt file, the folder of a run or an exported model"
_KINDS = {"image": "a picture", "video": "a video"}
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
    found = [path for path in found if not _trains_adapters(path.parents[1])]
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


def find_adapter(given: str | Path) -> Path:
    """The file or folder of an adapter that is named.

    Args:
        given: a run's folder, a checkpoint, or a folder made by ``export ... lora=adapter``.

    Raises:
        DataError: there is none.
    """
    found = locate_adapter(Path(given))
    if found is None:
        raise DataError(
            f"lora {given} does not exist, or holds no adapter; give the folder of a run trained "
            "with lora.rank above 0, or one made by `make export CHECKPOINT=RUN OUT=FOLDER "
            "ARGS=lora=adapter`"
        )
    return found


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


def model_name(checkpoint: Path, lora: str | Path | None = None) -> str:
    """What a result calls its model: the run's name, without this machine's paths; and adapters."""
    if lora is not None:
        return f"{model_name(checkpoint)} + LoRA {model_name(find_adapter(lora))}"
    if checkpoint.parent.name == "checkpoints":
        return checkpoint.parent.parent.name
    return f"{checkpoint.parent.name}/{checkpoint.stem}"


def _find_given(given: Path) -> Path:
    given = find_shipped(given)
    for path in (given, Path(f"{given}.ckpt"), given / "checkpoints" / "last.ckpt"):
        if is_checkpoint(path):
            kind = (mimetypes.guess_type(path.name, strict=False)[0] or "").partition("/")[0]
            if kind in _KINDS:  # reading it as weights would take seconds
                raise DataError(f"checkpoint {path} is {_KINDS[kind]}; {_EXPECTED}")
            return path
    if locate_adapter(given) is not None:
        raise DataError(
            f"checkpoint {given} holds a LoRA adapter, not a model; give it as lora={given}, next "
            "to the checkpoint that it was trained on"
        )
    what = "holds no checkpoint" if given.exists() else "does not exist"
    raise DataError(
        f"checkpoint {given} {what}; {_EXPECTED}, or leave it out: the newest stage 3 of your own "
        "is used, or the model that ships"
    )


def _trains_adapters(run: Path) -> bool:
    """Whether a run's own settings say that it trains adapters, which are no model alone."""
    try:
        settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        return bool(settings["lora"]["rank"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        return False  # older runs have no such key; a damaged one is found when it is loaded
