"""Checks keys and shapes of a weights file before it gets its final name.

Weights of metrics are loaded by their own loaders. Trunks and the autoencoder are too large to be
built for a check: their keys and shapes are compared with networks on the ``meta`` device.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from safetensors import SafetensorError, safe_open

from configs.errors import DataError
from models.stdit import STDiT, STDiTConfig
from models.weights import trunk_formats
from training.weights.catalogue import PublicWeights
from training.weights.metric_networks import (
    load_dinov2,
    load_i3d,
    load_lpips,
    load_resnext,
)
from training.weights.state_dicts import Shapes, compare_shapes, read_state, shapes_of


def check_weights(entry: PublicWeights, folder: Path) -> None:
    """Check the files of an entry in ``folder``.

    Raises:
        DataError: one is not what it should be; the message names it and the first wrong key.
    """
    for public in entry.files:
        path = folder / public.file
        if entry.name == "i3d":
            load_i3d(path)
        elif entry.name == "resnext":
            load_resnext(path)
        elif entry.name == "dinov2":
            load_dinov2(path)
        elif entry.group == "metrics":
            load_lpips(entry.name, path)
        elif entry.name == "people":
            check_people(path)
        elif entry.name.startswith("opensora"):
            check_trunk(path, STDiTConfig(), trunk_formats.OPEN_SORA)
        elif entry.name == "pixart":
            check_trunk(path, STDiTConfig(), trunk_formats.PIXART)
        elif path.suffix == ".safetensors":
            check_autoencoder(path)
        elif path.suffix == ".json":
            _read_mapping(path, json.loads)
        elif path.suffix == ".yaml":
            _read_mapping(path, yaml.safe_load)
        elif path.suffix == ".pkl":
            _check_pickle(path)


def check_trunk(path: Path, config: STDiTConfig, kind: str) -> None:
    """Check that a trunk has exactly the declared keys and shapes; no weight is read.

    Args:
        path: Open-Sora v1's file, or PixArt-alpha's.
        config: sizes of the trunk.
        kind: which of the two it must be (``models.weights.trunk_formats``).
    """
    with torch.device("meta"):
        own = shapes_of(STDiT(config).state_dict())
    try:
        found = trunk_formats.recognise(read_state(path, "meta"), str(path))
        trunk_formats.check_trunk(found, own, str(path))
    except ValueError as error:
        raise DataError(str(error)) from error
    if found.kind != kind:
        described = trunk_formats.DESCRIPTIONS
        raise DataError(f"{path} is {described[found.kind]}, not {described[kind]}")


def check_people(path: Path) -> None:
    """Check that a file has exactly the keys and shapes of Keypoint R-CNN; no weight is read."""
    from torchvision.models.detection import KeypointRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    with torch.device("meta"):
        backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None)
        expected = shapes_of(KeypointRCNN(backbone, num_classes=2).state_dict())
    found = shapes_of(read_state(path, "meta"))
    compare_shapes(path, "torchvision's Keypoint R-CNN", expected, found)


def check_autoencoder(path: Path) -> None:
    """Check the autoencoder's weights against the ``config.json`` next to them.

    Attention keys are not checked: diffusers knows their older names.
    """
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # slow to import

    config = _read_mapping(path.with_name("config.json"), json.loads)
    with torch.device("meta"):
        expected = shapes_of(cast(Any, AutoencoderKL).from_config(config).state_dict())
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a readable safetensors file: {error}") from error
    compare_shapes(path, "an AutoencoderKL", _no_attention(expected), _no_attention(found))


def _no_attention(shapes: Shapes) -> Shapes:
    return {key: shape for key, shape in shapes.items() if ".attentions." not in key}


def _read_mapping(path: Path, parse: Any) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is not readable {path.suffix[1:].upper()}: {first}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; a mapping is expected")
    return content


def _check_pickle(path: Path) -> None:
    """Check both ends only: a pickle is a program, to be run by detectron2 only."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(1)
        file.seek(max(size - 1, 0))
        end = file.read(1)
    if start != b"\x80" or end != b".":
        raise DataError(f"{path} is not a whole pickle file of detectron2")
