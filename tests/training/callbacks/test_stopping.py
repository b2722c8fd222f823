"""Runs that are told to stop by a signal."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import training.fit as program
from tests.training.test_fit import CLIPS, PATH, curve, states
from tests.warm import WarmPython
from training.callbacks.progress import StepProgress
from training.callbacks.stopping import EXIT_INTERRUPTED, EXIT_STOPPED, StopSignals, requeue
from training.checkpoints.files import list_steps
from training.config import TrainConfig
from training.fit import fit


class Signalled(StepProgress):
    """Sends this process a signal in step 3."""

    def on_step(self, trainer: Any, pl_module: Any) -> None:
        super().on_step(trainer, pl_module)
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint_that_goes_on_exactly(
    tiny: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tiny("name=whole", *CLIPS, max_steps=6), PATH)
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(program, "StepProgress", Signalled)
        signals = StopSignals()
        fit(tiny("name=told", *CLIPS, max_steps=6), PATH, signals)
    assert signals.is_stopping
    assert (signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)) == before
    folder = tmp_path / "runs" / "told"
    assert list(list_steps(folder / "checkpoints")) == [3]
    fit(tiny("name=told", *CLIPS, max_steps=6), PATH)
    assert curve(folder) == curve(tmp_path / "runs" / "whole")
    left, right = (
        states(tmp_path / "runs" / name / "checkpoints" / "last.ckpt") for name in ("whole", "told")
    )
    assert all(torch.equal(left[name], right[name]) for name in left)


class GroupSignalled(StepProgress):
    """Sends this process and its workers a signal in step 3, as `timeout` and Slurm do."""

    def on_step(self, trainer: Any, pl_module: Any) -> None:
        super().on_step(trainer, pl_module)
        if trainer.global_step == 3:
            os.killpg(os.getpgrp(), signal.SIGTERM)
            for worker in multiprocessing.active_children():
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGTERM)
                os.kill(worker.pid, signal.SIGUSR1)
                worker.join(0.5)  # a dead one would be noticed here
                assert worker.is_alive()


class Interrupted(StepProgress):
    """Ctrl-C in step 3."""

    times = 1

    def on_step(self, trainer: Any, pl_module: Any) -> None:
        super().on_step(trainer, pl_module)
        if trainer.global_step == 3:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


class InterruptedTwice(Interrupted):
    """Ctrl-C and again."""

    times = 2


COMMAND = """
import os, signal, sys
from tests.training.callbacks.test_stopping import CALLBACK
import training.fit as program
from configs.command import run_command
program.StepProgress = CALLBACK
program.write_report = lambda folder, *_: folder
run_command(program.main)
"""


def test_the_command_leaves_with_a_code_of_its_own_and_puts_the_slurm_job_back(
    tiny: Callable[..., TrainConfig], tmp_path: Path, clips_root: Path, warm_python: WarmPython
) -> None:
    tiny()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_PROCID": "0",
             "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NAME": "train",
             "SLURM_NTASKS_PER_NODE": "1", "SLURM_NODELIST": "localhost"}  # fmt: skip
    words = [str(tmp_path / "tiny.yaml"), f"data.roots=[{clips_root}]", f"runs={tmp_path}/runs",
             *CLIPS, "max_steps=6"]  # fmt: skip
    path = {"PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    run = warm_python.run(
        COMMAND.replace("CALLBACK", "Signalled"), words, tmp_path, {**slurm, **path}
    )
    assert run.returncode == EXIT_STOPPED, run.stderr[-2000:]
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    assert "stopped by a signal at step 3 of 6" in run.stderr


@pytest.mark.parametrize(
    ("callback", "code", "said", "steps"),
    [
        ("GroupSignalled", EXIT_STOPPED, "stopped by a signal at step 3 of 6", [3]),
        ("Interrupted", EXIT_INTERRUPTED, "stopped by a signal at step 3 of 6", [3]),
        ("InterruptedTwice", EXIT_INTERRUPTED, "interrupted; rerun the same command", []),
    ],
)
def test_workers_serve_until_the_checkpoint_is_written_and_ctrl_c_means_that_too(
    tiny: Callable[..., TrainConfig], tmp_path: Path, clips_root: Path, warm_python: WarmPython,
    callback: str, code: int, said: str, steps: list[int],
) -> None:  # fmt: skip
    tiny("name=told")
    words = [str(tmp_path / "tiny.yaml"), f"data.roots=[{clips_root}]", f"runs={tmp_path}/runs",
             *CLIPS, "name=told", "max_steps=6", "data.num_workers=2"]  # fmt: skip
    run = warm_python.run(COMMAND.replace("CALLBACK", callback), words, tmp_path)
    assert run.returncode == code, run.stderr[-2000:]
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert list(list_steps(tmp_path / "runs" / "told" / "checkpoints")) == steps


def test_outside_slurm_nothing_is_put_back() -> None:
    assert not requeue({})
