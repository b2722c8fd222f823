"""A sidecar: ``<stem>.json`` next to a raw video, with its licence, split and companions."""

import json
import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from configs.errors import DataError
from datasets.shards import SPLITS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Metadata of a raw video; None means unknown."""

    licence: str | None = None
    url: str | None = None
    group: str | None = None  # videos of one group are in one split
    split: str | None = None
    truth: str | None = None  # path relative to the sidecar
    truth_mask: str | None = None
    target_garment: str | None = None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file: UTF-8, with or without a byte order mark, or UTF-16.

    Raises:
        DataError: it is not JSON, or not an object.
    """
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"sidecar {path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"sidecar {path} contains a {type(content).__name__}; expected an object")
    return content


def read_sidecar(path: Path) -> Sidecar:
    """The known keys of a sidecar; empty values are unknown ones.

    Raises:
        DataError: it is not a JSON object, or a value cannot be right.
    """
    content = read_object(path)
    known = {field.name for field in fields(Sidecar)}
    for key in sorted(set(content) - known):
        logger.debug("%s: unknown key %r ignored", path, key)
    values = {
        key: _text(value, key, path) for key, value in content.items() if key in known and value
    }
    if values.get("split", SPLITS[0]) not in SPLITS:
        raise DataError(
            f"sidecar {path}: split is {values['split']!r}; accepted: {', '.join(SPLITS)}"
        )
    return Sidecar(**values)


def _text(value: Any, key: str, path: Path) -> str:
    """A text or a number as text that every file format can hold."""
    text = str(value) if isinstance(value, str | int | float) else None
    if text is None or "\0" in text or not _is_unicode(text):
        raise DataError(f"sidecar {path}: {key} is {ascii(value)[:80]}; expected a text")
    return text


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON can express and no file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
