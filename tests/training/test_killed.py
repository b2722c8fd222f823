"""Forty steps, killed by SIGKILL and gone on with: the same losses and weights to the last bit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.conftest import TINY
from tests.training.distributed.test_ranks import PROGRAM, same_weights, start_two_ranks
from training.report import read_scalars

WORDS = ["stage=stage3", "data.num_frames=4", "max_steps=40", "data.batch_size=1",
         "trainer.global_batch=4", "trainer.checkpoint_every_steps=7"]  # fmt: skip


def run(path: Path, runs: list[str], num_ranks: int) -> list[int]:
    """Exit codes of all ranks; the other rank of one that was killed is killed too."""
    if num_ranks == 1:
        words = [sys.executable, str(PROGRAM), str(path), *runs]
        environ = {**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
        alone = subprocess.run(
            words, cwd=PROGRAM.parents[3], env=environ, capture_output=True, check=False
        )
        return [alone.returncode]
    first, second = start_two_ranks(path, runs)
    first.communicate(timeout=600)
    if first.returncode:
        second.kill()
    second.communicate(timeout=600)
    return [first.returncode, second.returncode]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("num_ranks", "workers_before", "workers_after"), [(1, 0, 0), (1, 2, 2), (1, 0, 2), (2, 0, 1)]
)
def test_a_run_killed_at_a_random_step_ends_as_an_unbroken_one(
    tmp_path: Path, clips_root: Path, num_ranks: int, workers_before: int, workers_after: int
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    shared = " ".join([*WORDS, f"data.roots=[{clips_root}]", f"runs={tmp_path}"])
    if num_ranks == 2:
        shared += " trainer.strategy=fsdp2"
    killed_at = random.randint(8, 39)
    before, after = f"data.num_workers={workers_before}", f"data.num_workers={workers_after}"
    assert run(path, [f"{shared} name=whole {before}"], num_ranks) == [0] * num_ranks
    first = run(path, [f"{shared} name=killed {before} kill={killed_at}"], num_ranks)
    assert first == [-signal.SIGKILL] * num_ranks, killed_at
    assert run(path, [f"{shared} name=killed {after}"], num_ranks) == [0] * num_ranks
    whole, killed = (read_scalars(tmp_path / name)["loss/train"] for name in ("whole", "killed"))
    assert len(whole[0]) == 40
    assert whole == killed, killed_at
    assert same_weights(tmp_path / "whole", tmp_path / "killed"), killed_at
