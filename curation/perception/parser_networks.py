"""A parser's network from a local file: a transformers folder, ONNX, or TorchScript.

Each takes images (b, 3, h, w), normalised, as a float tensor, and returns logits
(b, labels, h', w'), or tuples that hold them (``choose_logits``).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import DataError

INSTALL_TRANSFORMERS = "make setup-text"
INSTALL_ONNX = "make setup-onnx"
DEFAULT_SIDE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class ParserNetwork:
    """A network and the size that it was trained on."""

    run: Callable[[Any], Any]  # (b, 3, height, width) float tensor -> see ``choose_logits``
    height: int
    width: int


def load_network(path: Path, device: str) -> ParserNetwork:
    """Open a parser.

    Raises:
        DataError: the file, or the package that reads it, is missing, or it is no network.
    """
    if not path.exists():
        raise DataError(f"human parser {path} does not exist; or choose perception=embedded")
    if path.is_dir():
        return _transformers(path, device)
    return _onnx(path, device) if path.suffix == ".onnx" else _torchscript(path, device)


def choose_logits(output: Any, num_labels: int) -> Any:
    """The parse among a network's outputs, a tensor (b, num_labels, h, w).

    SCHP answers with a first parse, the parse fused with edges, and edges: the last tensor of so
    many labels is meant. Of a dict, the first entry is. If no tensor fits, the first is returned.
    """
    tensors = list(_tensors(output))
    fitting = [one for one in tensors if one.ndim == 4 and one.shape[1] == num_labels]
    return fitting[-1] if fitting else tensors[0]


def _tensors(output: Any) -> Iterator[Any]:
    if isinstance(output, dict):
        yield from _tensors(next(iter(output.values())))
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)
    else:
        yield output


def _transformers(path: Path, device: str) -> ParserNetwork:
    try:
        from transformers import (  # type: ignore[import-not-found]  (an extra)
            AutoModelForSemanticSegmentation,
        )
    except ImportError as error:
        raise DataError(
            f"the human parser in {path} needs transformers: {INSTALL_TRANSFORMERS}, "
            "or choose perception=embedded"
        ) from error
    try:
        model = AutoModelForSemanticSegmentation.from_pretrained(
            path, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"the human parser in {path} cannot be loaded: {first}") from error
    model.to(device).eval()
    height, width = _trained_size(path)
    return ParserNetwork(
        run=lambda images: model(pixel_values=images).logits, height=height, width=width
    )


def _trained_size(folder: Path) -> tuple[int, int]:
    """Height and width in the folder's preprocessor_config.json; the default without one."""
    try:
        stated = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        size = stated["size"]
    except (OSError, ValueError, KeyError):
        return DEFAULT_SIDE, DEFAULT_SIDE
    if isinstance(size, int):
        return size, size
    side = size.get("shortest_edge", DEFAULT_SIDE)
    return int(size.get("height", side)), int(size.get("width", side))


def _onnx(path: Path, device: str) -> ParserNetwork:
    try:
        import onnxruntime  # type: ignore[import-not-found]  (an extra)
    except ImportError as error:
        raise DataError(
            f"the human parser {path} needs onnxruntime: {INSTALL_ONNX}, "
            "or choose perception=embedded"
        ) from error
    import torch

    wanted = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    if wanted not in onnxruntime.get_available_providers():
        raise DataError(
            f"perception.device={device}, but this onnxruntime has no {wanted}; "
            "the package onnxruntime-gpu has it; or give perception.device=cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[wanted])
    except Exception as error:  # its exceptions have no common class
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"human parser {path} is not an ONNX network: {first}") from error
    taken = session.get_inputs()[0]
    sides = [side if isinstance(side, int) and side > 0 else DEFAULT_SIDE for side in taken.shape]
    batch = taken.shape[0]

    def run(images: Any) -> Any:
        arrays = images.cpu().numpy()
        parts = [arrays[i : i + 1] for i in range(len(arrays))] if batch == 1 else [arrays]
        found = [session.run(None, {taken.name: part}) for part in parts]
        return [torch.cat([torch.from_numpy(a) for a in same]) for same in zip(*found, strict=True)]

    return ParserNetwork(run=run, height=sides[-2], width=sides[-1])


def _torchscript(path: Path, device: str) -> ParserNetwork:
    import torch

    try:
        network = torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"human parser {path} is neither TorchScript nor ONNX (*.onnx) nor a transformers "
            "folder; a .pth of parameters alone must be exported first"
        ) from error
    return ParserNetwork(run=network, height=DEFAULT_SIDE, width=DEFAULT_SIDE)
