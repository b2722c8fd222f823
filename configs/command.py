"""Entry point of every command: user errors become one line and exit code 2."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence

from configs.errors import UserError

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
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        code = main(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
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
