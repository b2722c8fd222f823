"""Told to stop: SIGUSR1 from Slurm before a time limit, SIGTERM from a preempted node, Ctrl-C.

The step at hand is finished, a checkpoint written, and the process leaves with a code of its own,
so that a chain of commands does not take the run for finished. Under Slurm the job is put back into
the queue, where the same command goes on from the checkpoint.
"""

import logging
import os
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

from training.distributed.ranks import rank

logger = logging.getLogger(__name__)

EXIT_STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: not done, worth another try."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as ``run_command`` and shells say it."""
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)

_FIRST_INTERRUPT = (
    b"\nstopping after this step, with a checkpoint; Ctrl-C again: at once, without\n"
)


class StopSignals:
    """Remembers that this process was told to stop."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.is_stopping = False
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """From now on the signals are remembered instead of ending the process."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}

    def ignore(self) -> None:
        """The signals mean again what they meant before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @property
    def exit_code(self) -> int:
        """What the process leaves with once its checkpoint is written."""
        return EXIT_INTERRUPTED if self.received is signal.SIGINT else EXIT_STOPPED

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.received is signal.SIGINT:
                raise KeyboardInterrupt
            os.write(2, _FIRST_INTERRUPT)  # a print may have been interrupted, and cannot be twice
        self.received = signal.Signals(number)


def requeue(environ: dict[str, str] | None = None) -> bool:
    """Put this Slurm job back into the queue; False outside Slurm, or where it refuses."""
    names = os.environ if environ is None else environ
    job = names.get("SLURM_JOB_ID")
    if names.get("SLURM_ARRAY_JOB_ID"):
        job = f"{names['SLURM_ARRAY_JOB_ID']}_{names['SLURM_ARRAY_TASK_ID']}"
    if job is None or rank() != 0:
        return False
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True,
                              check=False)  # fmt: skip
    except OSError as error:
        logger.warning("job %s could not be put back into the queue (%s)", job, error)
        return False
    if done.returncode:
        logger.warning("scontrol requeue %s: %s", job, done.stderr.strip())
        return False
    logger.info("job %s is back in the queue", job)
    return True
