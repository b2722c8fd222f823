"""A loader's worker processes: whose signals they are, and how many threads they have."""

import os
import signal
from types import FrameType

import cv2

GRACE_S = 30
"""How long a worker that was told to stop still serves; its program ends it sooner."""


def settle_worker(_: int = 0) -> None:
    """Given to loaders as ``worker_init_fn``.

    A program that is told to stop ends its step and writes a checkpoint; PyTorch breaks off both
    if a worker dies meanwhile. So a worker has a process group of its own, which the signals of
    ``timeout`` and of a terminal, sent to the program's whole group, do not reach; and one that
    reaches every process (Slurm, systemd) leaves it ``GRACE_S`` seconds.

    OpenCV has one thread: those of its pool do not live after a fork. PyTorch does the same for its
    own.
    """
    cv2.setNumThreads(0)
    os.setpgid(0, 0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_soon)


def _leave_soon(number: int, frame: FrameType | None) -> None:
    """SIGALRM ends the process in a while."""
    signal.alarm(GRACE_S)
