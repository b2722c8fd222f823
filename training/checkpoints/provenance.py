"""Provenance stored in a checkpoint: commit, versions, random states of every rank."""

import platform
import random
import subprocess
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from training.distributed.ranks import gather_from_ranks, rank

ROOT = Path(__file__).parents[2]


def describe_code() -> dict[str, str]:
    """Commit of the checkout and versions of the libraries that compute; plain strings."""
    return {
        "commit": _commit(),
        "torch": str(torch.__version__),
        "lightning": lightning.__version__,
        "python": platform.python_version(),
    }


def short_commit(commit: str) -> str:
    """A commit in 12 digits; the plus for uncommitted changes is kept."""
    return commit[:12] + ("+" if len(commit) > 12 and commit.endswith("+") else "")


def random_states() -> list[dict[str, Any]]:
    """The generators of every rank, as tensors and plain containers.

    Training draws from (seed, sample number), not from these: they are stored for layers of a user
    that draw random numbers.
    """
    version, keys, gauss = random.getstate()
    kind, words, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(keys), gauss],
        "numpy": [kind, np.asarray(words).tolist(), position, has_gauss, cached],
    }
    return gather_from_ranks(state)


def restore_random_states(states: list[dict[str, Any]]) -> None:
    """Restore this rank's generators if the number of ranks is unchanged."""
    if len(states) != len(gather_from_ranks(None)):
        return
    state = states[rank()]
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(words, dtype=np.uint32), position, has_gauss, cached))


def _commit() -> str:
    """The commit, with a plus if files differ from it; "unknown" outside a checkout."""
    try:
        head, changed = (
            subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True,
                           check=True, timeout=20).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}{'+' if changed else ''}"
