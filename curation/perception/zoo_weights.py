"""Weights of detectron2's model zoo, read without running code that a pickle may name.

The zoo's ``.pkl`` files are pickles of numpy arrays in plain containers; ``pickle.load`` would also
run whatever else a file names. This unpickler knows arrays and containers alone.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import DataError

ZOO = "model_final_162be9.pkl of densepose_rcnn_R_50_FPN_s1x"


def read_zoo_weights(path: Path) -> dict[str, Any]:
    """The content of a ``.pkl`` of the zoo or a ``.pth`` that detectron2 wrote.

    Returns:
        ``model``: parameter name -> array or tensor; and what else the file says of itself.

    Raises:
        DataError: it names other things than arrays and containers, is no such file, or holds no
            model.
    """
    try:
        if path.suffix == ".pkl":
            with path.open("rb") as file:
                content = _ArraysOnly(file, encoding="latin1").load()
        else:
            import torch

            content = torch.load(path, map_location="cpu", weights_only=True)
    except _Forbidden as error:
        raise DataError(
            f"{path} is not opened: it names {error}, and weights are arrays and plain containers "
            f"alone; take {ZOO}"
        ) from error
    except Exception as error:  # a damaged pickle raises nearly anything
        first = (str(error).splitlines() or [""])[0][:120]
        raise DataError(
            f"{path} cannot be read as weights ({type(error).__name__}: {first}); take {ZOO}"
        ) from error
    if isinstance(content, Mapping) and path.suffix != ".pkl" and "model" not in content:
        content = {"model": content}
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not model:
        held = sorted(map(str, content))[:3] if isinstance(content, Mapping) else [type(content)]
        raise DataError(
            f"{path} holds no DensePose model: there is no 'model' in it, but "
            f"{', '.join(map(str, held)) or 'nothing'} (a bare backbone?); take {ZOO}"
        )
    return {**content, "model": dict(model)}


class _Forbidden(pickle.UnpicklingError):
    """The pickle names something that is not allowed."""


class _ArraysOnly(pickle.Unpickler):
    """Knows numpy arrays and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module.replace("numpy.core", "numpy._core"), name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise _Forbidden(f"the encoding {encoding}")
    return text.encode("latin1")


def _new_array(kind: type, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """An empty array, which the pickle then fills."""
    if kind is not np.ndarray:
        raise _Forbidden(str(kind))
    return np.ndarray((0,), dtype="b")


def _scalar(dtype: np.dtype, content: bytes = b"") -> Any:
    if dtype.hasobject:
        raise _Forbidden("a scalar of objects")
    return np.frombuffer(content, dtype=dtype)[0]


def _from_buffer(
    content: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str, *_: Any
) -> np.ndarray:
    """How protocol 5 writes arrays."""
    if dtype.hasobject or order not in {"C", "F"}:
        raise _Forbidden(f"an array of {dtype} in order {order}")
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="C" if order == "C" else "F")


_KNOWN: dict[tuple[str, str], type | Callable[..., Any]] = {
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 writes an empty one
}
