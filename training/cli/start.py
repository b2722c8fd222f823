"""Runs a command's main function: its arguments are checked first, before slow imports."""

import logging
import os
from collections.abc import Sequence
from importlib import import_module

from configs.loading import is_setting, load_config, split_arguments
from training.cli.excerpts import Excerpt

logger = logging.getLogger(__name__)


def start(
    module: str, words: Sequence[str], *, settings: str | None = None, uses_torch: bool = False
) -> int | None:
    """Run ``main(words)`` of a module, as ``python -m module words`` does.

    Args:
        module: with a function ``main``; a string, since importing it takes seconds.
        words: its arguments.
        settings: ``module:name`` of the class or function that reads the words; see ``check``.
        uses_torch: log what torch runs on.

    Returns:
        The exit code; None for 0.

    Raises:
        UserError: the arguments are refused.
    """
    if settings is not None:
        check(settings, words)
    main = import_module(module).main
    if uses_torch and os.environ.get("LOCAL_RANK", "0") == "0":
        _log_device()
    return main(list(words))


def check(settings: str, words: Sequence[str]) -> None:
    """Read the words as the command will, without importing what it needs to run.

    Args:
        settings: ``module:Class`` of the settings, or ``module:function`` that takes the words.
        words: ``[CONFIG.yaml] key=value ...``.

    Raises:
        UserError: a file, a key or a value is refused.
    """
    module, _, name = settings.partition(":")
    reader = Excerpt(module)[name]
    if not isinstance(reader, type):
        reader(list(words))
    elif words and not is_setting(words[0]):
        load_config(reader, *split_arguments(words, "viton-dit --help"))
    else:
        load_config(reader, None, words)


def _log_device() -> None:
    import torch  # here: a command that does not use it must not wait for it

    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    logger.info("torch %s on %s", torch.__version__, found)
