"""Weights of learned metrics: found in the user's folder, checked, loaded.

A file is looked for in ``$WEIGHTS_DIR`` (``weights/`` when unset), LPIPS backbones also where torch
keeps its downloads. Nothing is downloaded here: ``make weights`` does that. A file that is not what
its name says, or another one than at its first use, is refused; its sha256 goes into metrics.json.
"""

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from configs.errors import DataError
from datasets.storage import file_sha256
from training.metrics.i3d import InceptionI3d
from training.metrics.lpips import Lpips
from training.metrics.resnext3d import ResNeXt3d101
from training.weights.catalogue import CATALOGUE, PublicWeights, weights_folder
from training.weights.records import check_record

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A file of weights as its publisher names it."""

    name: str
    file_name: str
    purpose: str
    source: str

    @property
    def how_to_get(self) -> str:
        """What to do where it is absent."""
        return (
            f"weights absent: `make weights FETCH={self.name}`, or put {self.file_name} "
            f"({self.source}) into {weights_folder()}/"
        )


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """A file of weights on this machine."""

    path: Path
    sha256: str


def _named(entry: PublicWeights) -> WeightsFile:
    (public,) = entry.files
    return WeightsFile(
        name=entry.name, file_name=public.file, purpose=entry.purpose, source=entry.source
    )


WEIGHTS = {name: _named(entry) for name, entry in CATALOGUE.items() if entry.group == "metrics"}


def find_weights(name: str) -> FoundWeights | None:
    """Look for a file by the name of its network; None where it is absent.

    Raises:
        DataError: its own name carries a hash and its content has another, or it has changed since
            its first use.
    """
    (public,) = CATALOGUE[name].files
    folder = weights_folder()
    for place in (folder, Path(torch.hub.get_dir()) / "checkpoints"):
        path = place / public.file
        if not path.is_file():
            continue
        digest = file_sha256(path)
        is_published = published(name, digest)
        if is_published == "no" and public.sha256 is None:
            raise DataError(
                f"{path} is damaged: its sha256 begins with {digest[:8]}, its name says "
                f"{public.sha256_start}"
            )
        if is_published == "no":
            logger.warning(
                "%s is not the published file (sha256 %s, published %s): its numbers compare with "
                "nobody else's",
                path,
                digest,
                public.sha256,
            )
        if place == folder:
            check_record(folder, public.file, digest)
        return FoundWeights(path=path, sha256=digest)
    return None


def published(name: str, sha256: str) -> str:
    """Whether a file's hash is the publisher's: "yes", "no", or "no hash is stated"."""
    (public,) = CATALOGUE[name].files
    stated = public.sha256_start
    if stated is None:
        return "no hash is stated"
    return "yes" if sha256.startswith(stated) else "no"


def load_i3d(path: Path) -> InceptionI3d:
    """InceptionI3d with the weights of a published file."""
    return _load(InceptionI3d(), _read(path), path)


def load_resnext(path: Path) -> ResNeXt3d101:
    """ResNeXt3d101 with the weights of a published file; its prefix ``module.`` is taken off."""
    content = _read(path)
    nested = content.get("state_dict", content)
    if not isinstance(nested, dict):
        raise DataError(f"{path} is no ResNeXt3d101: its state_dict is a {type(nested).__name__}")
    state = {key.removeprefix("module."): value for key, value in nested.items()}
    return _load(ResNeXt3d101(), state, path)


def load_lpips(net: str, path: Path) -> Lpips:
    """LPIPS with a backbone file of torchvision."""
    try:
        return Lpips(net, _read(path))
    except ValueError as error:
        raise DataError(f"{path} is not {WEIGHTS[net].file_name}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a readable file of weights: {first}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; a state dict is expected")
    return content


def _load(module: M, state: dict[str, Tensor], path: Path) -> M:
    expected = module.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    misshapen = sorted(
        key
        for key in expected.keys() & state.keys()
        if getattr(state[key], "shape", None) != expected[key].shape
    )
    for kind, keys in (
        ("lacks", missing),
        ("has the unknown key", unexpected),
        ("has another shape at", misshapen),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            name = type(module).__name__
            raise DataError(f"{path} is no {name}: it {kind} {keys[0]}{more}")
    module.load_state_dict(state)
    return module
