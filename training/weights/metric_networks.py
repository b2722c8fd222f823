"""Finds, checks and loads weights of learned metrics from the user's folder.

Files are searched in ``$WEIGHTS_DIR`` (``weights/`` when unset), LPIPS backbones also in torch's
download cache. Nothing is downloaded here: ``make weights`` does that. A file that is not what its
name says, or has changed since its first use, is rejected; its sha256 goes into metrics.json.
"""

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from configs.errors import DataError
from datasets.storage import file_sha256
from training.metrics.dinov2 import DinoVisionTransformer, published_state
from training.metrics.i3d import InceptionI3d
from training.metrics.lpips import Lpips
from training.metrics.resnext3d import ResNeXt3d101
from training.weights.catalogue import CATALOGUE, weights_folder
from training.weights.records import check_record
from training.weights.state_dicts import compare_shapes, read_state, shapes_of

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """A file of weights on this machine."""

    path: Path
    sha256: str


def absent(name: str) -> str:
    """Why a metric has no number, and how to get its weights."""
    return f"weights absent: {CATALOGUE[name].how_to_get}"


def find_weights(name: str) -> FoundWeights | None:
    """Find a file by the name of its network; None if it is missing.

    Raises:
        DataError: its own name carries a hash and its content has another, or it has changed since
            its first use.
    """
    (public,) = CATALOGUE[name].files
    folder = weights_folder()
    places = (folder, Path(torch.hub.get_dir()) / "checkpoints")
    for file, place in itertools.product((public.file, *CATALOGUE[name].instead), places):
        path = place / file
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
            check_record(folder, file, digest)
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
    return _load(InceptionI3d(), "an InceptionI3d", read_state(path), path)


def load_resnext(path: Path) -> ResNeXt3d101:
    """ResNeXt3d101 with the weights of a published file; its prefix ``module.`` is taken off."""
    state = {key.removeprefix("module."): value for key, value in read_state(path).items()}
    return _load(ResNeXt3d101(), "a ResNeXt3d101", state, path)


def load_dinov2(path: Path) -> DinoVisionTransformer:
    """DINOv2 ViT-B/14 with the weights of Hugging Face's file, or of the published one."""
    state = published_state(read_state(path))
    with torch.device("meta"):
        network = DinoVisionTransformer()
    compare_shapes(path, "DINOv2 ViT-B/14", shapes_of(network.state_dict()), shapes_of(state))
    network.load_state_dict(state, assign=True)
    return network


def load_lpips(net: str, path: Path) -> Lpips:
    """LPIPS with a backbone file of torchvision."""
    state = read_state(path)
    try:
        return Lpips(net, state)
    except ValueError as error:
        raise DataError(f"{path} is not {CATALOGUE[net].files[0].file}: {error}") from error


def _load(module: M, kind: str, state: dict[str, Tensor], path: Path) -> M:
    compare_shapes(path, kind, shapes_of(module.state_dict()), shapes_of(state))
    module.load_state_dict(state)
    return module
