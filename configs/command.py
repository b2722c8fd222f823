"""Entry point of every command: user errors become one line and exit code 2."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence

from configs.errors import UserError
from configs.front_door import as_called

EXIT_USER_ERROR = 2
_FOR_THE_USER = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG,
    errno.ELOOP,
}  # fmt: skip
"""Errors of the system that only the user can mend: no room, no permission, an impossible name."""


def run_command(main: Callable[[list[str]], int | None], argv: Sequence[str] | None = None) -> None:
    """Run ``main(argv)`` and exit the process with its exit code.

    Args:
        main: takes the arguments after the program name; returns an exit code, or None for 0.
        argv: the arguments; ``sys.argv[1:]`` if None.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        _AsCalled("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    )
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO").upper(), handlers=[handler])
    try:
        code = main(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        sys.stderr.write(f"error: {as_called(str(error))}\n")
        code = EXIT_USER_ERROR
    except OSError as error:
        if error.errno not in _FOR_THE_USER:
            raise
        named = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {named}{error.strerror}; mend that and rerun the same command\n")
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; rerun the same command to resume\n")
        code = 130
    sys.exit(code or 0)


class _AsCalled(logging.Formatter):
    """Log lines name commands as the user calls them."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return as_called(super().formatMessage(record))
