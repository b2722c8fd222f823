"""One command of a chain (``make demo``, ``make ablate``), run as a user would type it.

A chain that receives SIGTERM (from ``timeout`` or a cluster scheduler) forwards it and waits, so
that a training run still writes its checkpoint. Ctrl-C reaches the command directly, since the
terminal signals the whole process group; the chain waits in the same way.
"""

import shlex
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from configs.errors import UserError

_STOPPED = (130, -signal.SIGINT)  # Ctrl-C: exit code of ``run_command``, or killed before that
PATIENCE_S = 10
"""Seconds that a command has to end after a second Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """A command, run as a process of its own; it resumes if it is run again."""

    words: tuple[str, ...]  # behind ``python -m``
    title: str = ""  # shown to the user
    about: str = ""  # what it does, in a sentence
    makes: Path | None = None  # output folder, if it is to carry a fingerprint

    @property
    def shown(self) -> str:
        """The command line."""
        return f"python -m {shlex.join(self.words)}"

    def run(self) -> None:
        """Show the command and run it to its end.

        Raises:
            UserError: it failed, was killed, or the chain received SIGTERM; its own message was
                printed before.
            KeyboardInterrupt: it was interrupted (Ctrl-C).
        """
        sys.stdout.write(f"\n{self.shown}\n")
        sys.stdout.flush()
        code, stopped = _run([sys.executable, "-m", *self.words])
        if stopped:
            raise UserError(f"stopped in {self.shown}; rerun the same command to resume")
        if code in _STOPPED:
            raise KeyboardInterrupt
        if code < 0:
            raise UserError(
                f"{self.shown} was killed ({signal.Signals(-code).name}; SIGKILL usually means out "
                "of memory); rerun the same command to resume"
            )
        if code:
            raise UserError(
                f"{self.shown} ended with exit code {code}; its message is above; rerun the same "
                "command to resume"
            )


def _run(command: list[str]) -> tuple[int, bool]:
    """The exit code, and whether this process received SIGTERM meanwhile."""
    signals_seen: list[int] = []
    process = subprocess.Popen(command)

    def hand_on(number: int, frame: FrameType | None) -> None:
        signals_seen.append(number)
        process.send_signal(number)

    listens = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, hand_on) if listens else None
    try:
        return process.wait(), bool(signals_seen)
    except KeyboardInterrupt:
        _let_it_end(process)
        raise
    except BaseException:
        process.kill()
        raise
    finally:
        if listens:
            signal.signal(signal.SIGTERM, before)


def _let_it_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command to end after Ctrl-C; after a second one it has ``PATIENCE_S``."""
    try:
        process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(PATIENCE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
