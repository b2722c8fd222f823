"""One command of a chain (``make demo``, ``make ablate``), run as a user would type it."""

import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError

_STOPPED = (130, -signal.SIGINT)  # Ctrl-C: as ``run_command`` says it, or before it could


@dataclass(frozen=True, kw_only=True)
class Step:
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
            UserError: it failed, or was killed; what it said stands above.
            KeyboardInterrupt: it was stopped, as by Ctrl-C.
        """
        sys.stdout.write(f"\n{self.shown}\n")
        sys.stdout.flush()
        code = subprocess.run([sys.executable, "-m", *self.words], check=False).returncode
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
