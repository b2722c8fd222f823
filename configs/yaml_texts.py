"""Texts of settings stay as they were written, whatever YAML and OmegaConf would read in them."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, TextIO, cast, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf

_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def parse(text: str | TextIO) -> tuple[Any, Any]:
    """YAML as OmegaConf reads it, and with every scalar as text; keys are texts in both.

    2024.10 stays 2024.10, and the keys 007 and 12:30 do not become 7 and 750.
    """
    yaml_module: Any = yaml  # its types are partly unknown
    root = yaml_module.compose(text, Loader=yaml.SafeLoader)
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        is_map = isinstance(node, yaml.MappingNode)
        waiting += [pair[1] for pair in node.value] if is_map else node.value
        for key in [pair[0] for pair in node.value] if is_map else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag, key.style = _TEXT, "'"
    if root is None:
        return {}, {}
    written = yaml_module.BaseLoader("").construct_document(root)
    if not isinstance(root, yaml.CollectionNode):
        return written, written
    serialized: str = yaml_module.serialize(root, allow_unicode=True)
    return OmegaConf.to_container(OmegaConf.create(serialized)), written


def keep_texts(value: Any, written: Any, kinds: tuple[Any, ...]) -> Any:
    """A YAML value with the text of text fields that YAML took for numbers, dates or booleans.

    Args:
        value: plain, as OmegaConf read it.
        written: the same with every scalar as text.
        kinds: the types that its field may have.
    """
    if isinstance(value, dict) and isinstance(written, dict):
        texts = cast(dict[Any, Any], written)
        return {
            key: keep_texts(inner, texts.get(key), _kinds_inside(kinds, key))
            for key, inner in cast(dict[str, Any], value).items()
        }
    if isinstance(value, list) and isinstance(written, list) and list[str] in kinds:
        pairs = zip(cast(list[Any], value), cast(list[Any], written), strict=True)
        return [keep_texts(item, text, (str,)) for item, text in pairs]
    kept = str in kinds and isinstance(written, str) and not isinstance(value, str | None)
    return cast(Any, written if kept else value)


def literal(value: Any) -> Any:
    """Plain values with every ``${`` escaped, so that OmegaConf fills nothing in."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + "\\${", value)
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in cast(dict[Any, Any], value).items()}
    if isinstance(value, list):
        return [literal(inner) for inner in cast(list[Any], value)]
    return value


def find_field(schema: Any, keys: Sequence[str]) -> tuple[Sequence[str], tuple[Any, ...]]:
    """The keys to a field and the types that it may have; none where there is no such field.

    Behind the name of a map comes one key, whatever dots it holds.
    """
    kinds: tuple[Any, ...] = (schema,)
    for place, key in enumerate(keys):
        is_map = any(get_origin(kind) is dict for kind in kinds)
        kinds = _kinds_inside(kinds, key)
        if is_map:
            return [*keys[:place], ".".join(keys[place:])], kinds
    return keys, kinds


def _kinds_inside(kinds: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    """The types that a key's value may have, in a section or a map of these types."""
    for kind in kinds:
        if get_origin(kind) is dict:
            return get_args(kind)[1:]
        if dataclasses.is_dataclass(kind):
            found = get_type_hints(kind).get(key)
            options = get_args(found)
            return options if type(None) in options else (found,)
    return ()
