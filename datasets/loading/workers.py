"""Signals and threads of a loader's worker processes."""

import os
import signal
from types import FrameType

import cv2

GRACE_S = 30
"""Seconds that a worker keeps serving after SIGTERM; its parent usually ends it sooner."""


def settle_worker(_: int = 0) -> None:
    """Set up a worker; passed to loaders as ``worker_init_fn``.

    A stopped program finishes its step and writes a checkpoint; PyTorch aborts both if a worker
    dies meanwhile. So each worker has its own process group, which signals from ``timeout`` or a
    terminal, sent to the program's group, do not reach. A signal sent to every process (Slurm,
    systemd) leaves it ``GRACE_S`` seconds.

    OpenCV gets one thread: its pool does not survive a fork. PyTorch does the same for its own.
    """
    cv2.setNumThreads(0)
    os.setpgid(0, 0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_soon)


def _leave_soon(number: int, frame: FrameType | None) -> None:
    """Let SIGALRM end the process after ``GRACE_S`` seconds."""
    signal.alarm(GRACE_S)
