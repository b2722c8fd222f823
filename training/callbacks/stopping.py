"""Stop signals: SIGUSR1 from Slurm before a time limit, SIGTERM on preemption, Ctrl-C.

The current step is finished, a checkpoint is written, and the process exits with a code of its own,
so that a chain of commands does not mistake the run for finished. Under Slurm the job is requeued
and resumes from the checkpoint.
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
"""EX_TEMPFAIL of sysexits.h: not finished, try again."""
EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as in ``run_command`` and shells."""
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)

_FIRST_INTERRUPT = (
    b"\nwriting a checkpoint after this step, then stopping; Ctrl-C again stops now, without one\n"
)


class StopSignals:
    """Remembers whether this process received a stop signal."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.is_stopping = False
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Install handlers: signals are remembered instead of ending the process."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in SIGNALS}

    def ignore(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @property
    def exit_code(self) -> int:
        """The exit code once the checkpoint is written."""
        return EXIT_INTERRUPTED if self.received is signal.SIGINT else EXIT_STOPPED

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.received is signal.SIGINT:
                raise KeyboardInterrupt
            os.write(2, _FIRST_INTERRUPT)  # print is not reentrant and may be what was interrupted
        self.received = signal.Signals(number)


def requeue(environ: dict[str, str] | None = None) -> bool:
    """Requeue this Slurm job; False outside Slurm, or if Slurm refuses."""
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
        logger.warning("job %s could not be requeued (%s)", job, error)
        return False
    if done.returncode:
        logger.warning("scontrol requeue %s: %s", job, done.stderr.strip())
        return False
    logger.info("job %s is requeued", job)
    return True
