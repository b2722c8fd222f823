"""Checks of a dataclass of settings, for its ``__post_init__``: which values its fields accept.

``loading.py`` adds the file and the section to their errors.
"""

from collections.abc import Collection
from typing import Any

from configs.errors import ConfigError


def check_choices(settings: Any, **accepted: Collection[str]) -> None:
    """Each named field must have one of its accepted values.

    Raises:
        ConfigError: the first that has not.
    """
    for name, values in accepted.items():
        value = getattr(settings, name)
        if value not in values:
            raise ConfigError(f"{name} is {value!r}; accepted: {', '.join(values)}")


def check_range(
    settings: Any,
    *names: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Each named field must lie in a range; None, where a field may be None, is accepted.

    Args:
        settings: the dataclass.
        names: of its fields.
        least: the smallest value accepted.
        above: or the limit that it must exceed.
        most: the largest value accepted.
        below: or the limit that it must stay under.

    Raises:
        ConfigError: the first that does not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is None:
            continue
        is_in = (
            (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        )
        if not is_in:
            limits = {"at least": least, "above": above, "at most": most, "below": below}
            words = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
            raise ConfigError(f"{name} is {value:g}; accepted: {' and '.join(words)}")
