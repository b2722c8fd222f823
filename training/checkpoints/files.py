"""``runs/<name>/checkpoints/``: which files exist, which one is loaded, which are kept.

``step-00000500.ckpt`` is a file, or a folder with one file per rank. ``last.ckpt`` and
``best.ckpt`` point to one of them. A checkpoint is renamed to its final name once it is on disk.
"""

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from configs.errors import ConfigError
from configs.loading import find_shipped
from datasets.storage import PART, put_in_place, remove, sweep, write_file, writing
from models.checkpoints import is_checkpoint
from models.weights.sharded import check_whole, read_whole

logger = logging.getLogger(__name__)

LAST, BEST = "last.ckpt", "best.ckpt"
SCORES = "scores.json"
_STEP = re.compile(r"step-(\d+)\.ckpt")


class WholeFiles(CheckpointIO):
    """Writes directly to disk and syncs; reads one file or a folder of shards."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write without the in-memory copy that Lightning makes."""
        with Path(path).open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load to the CPU; sharded tensors are assembled."""
        return read_whole(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a file or folder."""
        remove(Path(path))


def step_file(folder: Path, step: int) -> Path:
    """The path of a step's checkpoint."""
    return folder / f"step-{step:08d}.ckpt"


def step_of(path: Path) -> int | None:
    """The step in a checkpoint's name; None for other files."""
    found = _STEP.fullmatch(path.name)
    return None if found is None else int(found[1])


def list_steps(folder: Path) -> dict[int, Path]:
    """Checkpoints, newest first."""
    found = {step_of(path): path for path in folder.glob("step-*.ckpt")}
    steps = sorted((step for step in found if step is not None), reverse=True)
    return {step: found[step] for step in steps}


def locate_checkpoint(path: Path) -> Path | None:
    """Resolve a path to a checkpoint; None if there is none.

    The path is a file, with or without ``.ckpt``; an exported or converted model; or a run's folder
    or its ``checkpoints`` folder, whose last checkpoint is used. ``models/pretrained/...`` is found
    in every folder.
    """
    path = find_shipped(path)
    named = path.with_name(f"{path.name}.ckpt")
    for place in (path, named, path / LAST, path / "checkpoints" / LAST):
        if is_checkpoint(place):
            return place
    return None


def find_checkpoint(path: Path) -> Path:
    """Resolve a path to a checkpoint.

    Raises:
        ConfigError: there is none.
    """
    found = locate_checkpoint(path)
    if found is not None:
        return found
    if path.is_dir():
        raise ConfigError(f"checkpoint {path} is a folder without checkpoints/{LAST}")
    raise ConfigError(
        f"checkpoint {path} does not exist; give a .ckpt file, or the folder of a run or an export"
    )


def newest_readable(folder: Path) -> Path | None:
    """The newest checkpoint that can be read completely; None if there is none.

    A damaged one is reported in a warning, and the next older one is tried.
    """
    candidates = list(list_steps(folder).values())
    last = folder / LAST
    if last.is_file() and last.resolve() not in {path.resolve() for path in candidates}:
        candidates.insert(0, last)  # older versions wrote only this one
    for path in candidates:
        try:
            check_whole(path)
        except ValueError as error:
            logger.warning("%s; trying an older checkpoint", error)
            continue
        return path
    return None


def forget_newer(folder: Path, step: int) -> None:
    """Delete checkpoints newer than the one that a run resumes from: they are damaged."""
    for newer, path in list_steps(folder).items():
        if newer > step:
            logger.warning("%s is damaged; deleting it", path)
            remove(path)
    if step_file(folder, step).exists():
        point(folder / LAST, step_file(folder, step))


def finish(pending: Path, final: Path) -> None:
    """Rename a written checkpoint to its final name and point ``last.ckpt`` to it."""
    put_in_place(pending, final)
    point(final.parent / LAST, final)


def point(link: Path, target: Path) -> None:
    """Point a name to a checkpoint in the same folder."""
    with writing(link) as aside:
        aside.symlink_to(target.name)


def read_scores(folder: Path) -> dict[int, float]:
    """The validation score of each checkpoint; higher is better."""
    path = folder / SCORES
    if not path.is_file():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return {int(step): float(value) for step, value in stored.items()}


def write_scores(folder: Path, metric: str, scores: dict[int, float]) -> None:
    """Replace the scores and point ``best.ckpt`` to the best checkpoint that exists."""
    content = json.dumps({"metric": metric, "scores": scores}, indent=1)
    write_file(folder / SCORES, content.encode())
    there = [step for step in scores if step_file(folder, step).exists()]
    if there:
        best = max(there, key=lambda step: (scores[step], step))
        point(folder / BEST, step_file(folder, best))


def prune(folder: Path, keep_last: int, keep_best: int) -> None:
    """Delete all but the newest and the best checkpoints, and unfinished files."""
    steps = list_steps(folder)
    scores = read_scores(folder)
    best = sorted((step for step in steps if step in scores), key=lambda s: (scores[s], s))
    kept = {*list(steps)[:keep_last], *best[max(0, len(best) - keep_best) :]}
    for step, path in steps.items():
        if step not in kept:
            remove(path)
    for path in folder.glob(f"*{PART}"):
        remove(path)
    sweep(folder)
