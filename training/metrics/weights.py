"""Where the weights of learned metrics lie, what they are for, and how to get the absent ones.

A file is looked for in ``$WEIGHTS_DIR`` (``weights/`` when unset), LPIPS backbones also where torch
keeps its downloads. Nothing is downloaded here. A file that is not what its name says is refused;
its sha256 goes into metrics.json.
"""

import hashlib
import os
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from configs.errors import DataError
from training.metrics.i3d import InceptionI3d
from training.metrics.lpips import Lpips
from training.metrics.resnext3d import ResNeXt3d101

M = TypeVar("M", bound=nn.Module)

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")


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
        return f"weights absent: put {self.file_name} ({self.source}) into {weights_folder()}/"


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """A file of weights on this machine."""

    path: Path
    sha256: str


WEIGHTS = {
    entry.name: entry
    for entry in (
        WeightsFile(
            name="i3d",
            file_name="i3d.pt",
            purpose="VFID-I3D and KVD",
            source="Hugging Face repository zhengchong/VFID",
        ),
        WeightsFile(
            name="resnext",
            file_name="resnext-101.pth",
            purpose="VFID-ResNeXt",
            source="Hugging Face repository zhengchong/VFID",
        ),
        WeightsFile(
            name="alex",
            file_name="alexnet-owt-7be5be79.pth",
            purpose="LPIPS, AlexNet",
            source="torchvision's AlexNet_Weights.IMAGENET1K_V1",
        ),
        WeightsFile(
            name="squeeze",
            file_name="squeezenet1_1-b8a52dc0.pth",
            purpose="LPIPS, SqueezeNet",
            source="torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1",
        ),
        WeightsFile(
            name="vgg",
            file_name="vgg16-397923af.pth",
            purpose="LPIPS, VGG-16",
            source="torchvision's VGG16_Weights.IMAGENET1K_V1",
        ),
    )
}


def weights_folder() -> Path:
    """The folder that the user keeps weights in."""
    return Path(os.environ.get("WEIGHTS_DIR") or "weights")


def find_weights(name: str) -> FoundWeights | None:
    """Look for a file by the name of its network; None where it is absent.

    Raises:
        DataError: the file's own name carries a hash, and its content has another.
    """
    entry = WEIGHTS[name]
    for folder in (weights_folder(), Path(torch.hub.get_dir()) / "checkpoints"):
        path = folder / entry.file_name
        if not path.is_file():
            continue
        digest = _sha256(path)
        named = _HASH_IN_NAME.search(path.name)
        if named and not digest.startswith(named[1]):
            raise DataError(
                f"{path} is damaged: its sha256 begins with {digest[:8]}, its name says {named[1]}"
            )
        return FoundWeights(path=path, sha256=digest)
    return None


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
