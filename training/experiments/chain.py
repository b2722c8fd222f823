"""One command of a chain (``make demo``, ``make ablate``), run as a user would type it.

A chain that is told to stop (SIGTERM, as ``timeout`` and cluster schedulers send it) hands this on
and waits: a training run then still writes its checkpoint. Ctrl-C reaches the command by itself,
since a terminal tells all programs in it; the chain waits for it just so.
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

_STOPPED = (130, -signal.SIGINT)  # Ctrl-C: as ``run_command`` says it, or before it could
PATIENCE_S = 10
"""For a command that was told twice to stop at once."""


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """A command, run as a process of its own; it resumes by itself if it is run again."""

    words: tuple[str, ...]  # behind ``python -m``
    title: str = ""  # for people
    makes: Path | None = None  # the folder, for those who mark what was made from what

    @property
    def shown(self) -> str:
        """As somebody would type it."""
        return f"python -m {shlex.join(self.words)}"

    def run(self) -> None:
        """Show the command and run it to its end.

        Raises:
            UserError: it failed, was killed, or the chain was told to stop; what it said stands
                above.
            KeyboardInterrupt: it was stopped, as by Ctrl-C.
        """
        sys.stdout.write(f"\n{self.shown}\n")
        sys.stdout.flush()
        code, told = _run([sys.executable, "-m", *self.words])
        if told:
            raise UserError(f"told to stop in {self.shown}; the same command goes on from there")
        if code in _STOPPED:
            raise KeyboardInterrupt
        if code < 0:
            raise UserError(
                f"{self.shown} was killed ({signal.Signals(-code).name}; SIGKILL is mostly too "
                "little memory); the same command goes on from there"
            )
        if code:
            raise UserError(
                f"{self.shown} ended with exit code {code}; its message stands above; the same "
                "command goes on from there"
            )


def _run(command: list[str]) -> tuple[int, bool]:
    """The exit code, and whether this process was told to stop meanwhile."""
    told: list[int] = []
    process = subprocess.Popen(command)

    def hand_on(number: int, frame: FrameType | None) -> None:
        told.append(number)
        process.send_signal(number)

    listens = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, hand_on) if listens else None
    try:
        return process.wait(), bool(told)
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
    """A command that heard Ctrl-C ends by itself; after a second one it has ``PATIENCE_S``."""
    try:
        process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(PATIENCE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
