"""Arguments and options of ``viton-dit`` become the words that a command's main function reads."""

from collections.abc import Sequence
from pathlib import Path

from configs.errors import ConfigError
from configs.loading import is_setting

Word = Path | str
"""What was typed; never changed on its way, so that URLs and ``a//b`` stay."""


def as_settings(
    words: Sequence[Word | None], names: Sequence[str] = (), **options: Word | float | None
) -> list[str]:
    """Everything as ``key=value``.

    Args:
        words: as typed: ``key=value``, and the values of ``names`` in their order; None is skipped.
        names: the keys of arguments that are given by their place.
        options: values of options by key; None and False are not given.

    Raises:
        ConfigError: more arguments than names, or a key that is given twice.
    """
    every = _texts(words)
    typed = [word for word in every if is_setting(word)]
    placed = [word for word in every if not is_setting(word)]
    if len(placed) > len(names):
        accepted = f"{' '.join(names).upper()} and settings" if names else "settings"
        raise ConfigError(
            f"{placed[len(names)]!r} is not key=value; this command takes {accepted} as key=value"
        )
    given = list(zip(names, placed, strict=False))
    given += [(key, _text(value)) for key, value in options.items() if value not in (None, False)]
    keys = [key for key, _ in given] + [word.partition("=")[0] for word in typed]
    for key, _ in given:
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is given twice; give it once, as an argument or as {key}=")
    return [f"{key}={value}" for key, value in given] + typed


def with_config(words: Sequence[Word | None], config: Word | None, default: str) -> list[str]:
    """The YAML file first, given as the first argument or as an option, then the settings.

    Raises:
        ConfigError: two files are given.
    """
    typed = _texts(words)
    if typed and not is_setting(typed[0]):
        if config is not None:
            raise ConfigError(f"two files with settings are given: {typed[0]} and {config}")
        config, typed = typed[0], typed[1:]
    return [str(config or default), *as_settings(typed)]


def _texts(words: Sequence[Word | None]) -> list[str]:
    return [str(word) for word in words if word is not None]


def _text(value: Word | float | None) -> str:
    return "true" if value is True else str(value)
