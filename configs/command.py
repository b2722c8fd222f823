"""Entry point of every command: user errors become one line and exit code 2."""

import logging
import os
import sys
from collections.abc import Callable, Sequence

from configs.errors import UserError

EXIT_USER_ERROR = 2


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
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; rerun the same command to resume\n")
        code = 130
    sys.exit(code or 0)
