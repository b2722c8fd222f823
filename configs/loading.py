"""YAML files and ``key=value`` overrides -> frozen, keyword-only dataclasses.

A YAML file may start with ``extends: other.yaml`` (relative to itself); its own keys win.
Schemas use only what OmegaConf 2.3 and 2.4 both support: plain strings checked in
``__post_init__`` instead of Literal, lists instead of tuples, ``Optional`` instead of unions.

A value for a text or path field is that text: an override as it stands (``src=dances #2``, ``007``,
``[a]``, ``~``), a YAML file's scalar as written (``2024.10``). Only ``null`` means None, where the
field may be None, and only a YAML file's ``${...}`` is filled in. A key is a text, too: ``007``,
``12:30`` and, behind the name of a map, ``2024.10``.
"""

import copy
import dataclasses
import difflib
import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)
from yaml import YAMLError

from configs.errors import ConfigError
from configs.yaml_texts import find_field, keep_texts, literal, parse

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[1]
_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
_CONVERTED = re.compile(rf"Value (.*) of type '.*' could not be converted to ({'|'.join(_KINDS)})")
"""What OmegaConf says of a value that is not of its field's type."""


def find_config(path: str | Path) -> Path:
    """The user's own file; or, where there is none, the one of that name that ships.

    So ``configs/stage3.yaml`` works in every folder. Other paths are returned as they are.
    """
    path = Path(path)
    if path.is_file() or path.is_absolute() or path.parts[:1] != ("configs",):
        return path
    shipped = CHECKOUT / path
    is_named_here = path.parent.is_dir() or not shipped.parent.is_dir()
    return shipped if shipped.is_file() or not is_named_here else path


def find_shipped(path: Path) -> Path:
    """``models/pretrained/...`` in any folder: where it is not there, the one that ships.

    Other paths, and ones that are there, are returned as they are.
    """
    is_ours = path.parts[:2] == ("models", "pretrained")
    return CHECKOUT / path if is_ours and not path.exists() and (CHECKOUT / path).exists() else path


def load_config(schema: type[T], path: str | Path | None, overrides: Sequence[str] = ()) -> T:
    """Load the settings of a run.

    Args:
        schema: frozen dataclass that defines every key, its type and its default.
        path: YAML file; None uses the schema's defaults.
        overrides: ``key=value`` words; a dotted key sets a value in a section.

    Returns:
        An instance of ``schema``; nested values are frozen dataclasses and plain values.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range or an unreadable file.
    """
    config = _defaults(schema)
    if path is not None:
        for file, content, written in reversed(_extends_chain(find_config(path))):
            kept = keep_texts(content, written, (schema,))
            config = _merge(config, _section(kept), where=str(file))
    for word in overrides:
        config = _merge(config, _parse_override(word, schema), where=f"override {word!r}")
    return _build(config, where=str(path) if path is not None else "the command line")


def read_plain(path: Path) -> dict[str, Any]:
    """A YAML file merged with those it extends, as written: no schema, nothing resolved."""
    files = [content for _, content, _ in reversed(_extends_chain(find_config(path)))]
    return copy.deepcopy(functools.reduce(_overlaid, files))


def to_plain(config: Any) -> dict[str, Any]:
    """A config as nested dicts, lists and scalars, for YAML and checkpoints."""
    return dataclasses.asdict(config)


def from_plain(schema: type[T], values: dict[str, Any], where: str) -> T:
    """The inverse of ``to_plain``; ``where`` names the origin in errors."""
    config = _defaults(schema)
    return _build(_merge(config, _section(literal(values)), where), where)


def save_config(config: Any, path: Path) -> None:
    """Write the resolved settings as YAML; ``load_config`` reads back an equal config."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = _section(literal(to_plain(config)))
    aside = path.with_name(f"{path.name}.part")  # a kill leaves the old file or the new one
    aside.write_text(OmegaConf.to_yaml(plain), encoding="utf-8")
    aside.replace(path)


def split_arguments(argv: Sequence[str], usage: str) -> tuple[Path, list[str]]:
    """Split ``CONFIG.yaml key=value ...`` into the file and the overrides."""
    if not argv or argv[0] in {"-h", "--help"} or is_setting(argv[0]):
        raise ConfigError(f"a configuration file is missing; usage: {usage}")
    return find_config(argv[0]), _overrides(argv[1:], usage)


def split_optional(argv: Sequence[str], usage: str, default: Path) -> tuple[Path | None, list[str]]:
    """Split ``[CONFIG.yaml] key=value ...``; without a file, use ``default`` if it exists."""
    if argv and not is_setting(argv[0]):
        if argv[0] in {"-h", "--help"}:
            raise ConfigError(f"usage: {usage}")
        return find_config(argv[0]), _overrides(argv[1:], usage)
    default = find_config(default)
    return default if default.is_file() else None, _overrides(argv, usage)


def is_setting(word: str) -> bool:
    """Whether a word is ``key=value``, not a file, whose name may hold ``=`` too."""
    return "=" in word and not Path(word).is_file()


def _overrides(words: Sequence[str], usage: str) -> list[str]:
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is not key=value; usage: {usage}")
    return list(words)


def _extends_chain(path: Path) -> list[tuple[Path, dict[str, Any], Any]]:
    """A YAML file and those it extends, each with its own keys, also as written; read only."""
    chain: list[tuple[Path, dict[str, Any], Any]] = []
    following = path
    while True:
        cached, written = _read_yaml(following)
        content = dict(cached)
        base = content.pop("extends", None)
        chain.append((following, content, written))
        if base is None:
            return chain
        following = following.parent / str(base)
        if following in (file for file, _, _ in chain):
            raise ConfigError(f"{path}: 'extends' forms a cycle through {following}")


def _overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two YAML files' keys; those of ``above`` win, section by section."""
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = _overlaid(cast(Any, under), cast(Any, value)) if both else value
    return merged


def _read_yaml(path: Path) -> tuple[dict[str, Any], Any]:
    if not os.path.isfile(path):  # False for a name that no file can have, too
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        held = f"; {path.parent} holds {known}" if known else ""
        ours = Path("configs", path.name).with_suffix(".yaml")
        if len(path.parts) == 1 and find_config(ours).is_file():
            held = f"; did you mean {ours}?"
        raise ConfigError(f"configuration file {path} does not exist{held}")
    return _parse_yaml(path, path.read_bytes())


@functools.lru_cache(maxsize=128)
def _parse_yaml(path: Path, _: bytes) -> tuple[dict[str, Any], Any]:
    """``parse`` of a file with these bytes; an ablation asks for the same file 100 times."""
    try:
        with path.open(encoding="utf-8") as file:
            content, written = parse(file)
    except (YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())
        raise ConfigError(f"{path} is not readable YAML: {first}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; a mapping of keys is expected")
    return cast(dict[str, Any], content), written


def _parse_override(word: str, schema: type) -> DictConfig:
    if "=" not in word or word.startswith("="):
        raise ConfigError(f"override {word!r} is not key=value")
    key, _, text = word.partition("=")
    keys, kinds = find_field(schema, key.split("."))
    value: Any
    try:
        if str in kinds and not (type(None) in kinds and text == "null"):
            value = literal(text)
        elif list[str] in kinds and text.startswith("["):
            value = literal(yaml.load(text, Loader=yaml.BaseLoader))
        elif dict[str, str] in kinds and text.startswith("{"):
            value = literal(keep_texts(*parse(text), kinds))
        else:
            read = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
            value = cast(dict[str, Any], read)["value"]
        for name in reversed(keys):
            value = {name: value}
        return _section(value)
    except (YAMLError, OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        first = " ".join(str(error).split())
        hint = f"; {key}.NAME=VALUE takes any name" if dict[str, str] in kinds else ""
        raise ConfigError(f"override {word!r} is not readable: {first}{hint}") from error


def _section(plain: Any) -> DictConfig:
    section = cast(Any, OmegaConf.create(plain))
    assert isinstance(section, DictConfig)
    return section


def _defaults(schema: type[Any]) -> DictConfig:
    config = OmegaConf.structured(schema)
    assert isinstance(config, DictConfig)
    return config


def _unlock(config: DictConfig) -> None:
    """Allow writing to every section: OmegaConf 2.3.1 locks each frozen dataclass, not the root."""
    OmegaConf.set_readonly(config, False)
    for key in config:
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            _unlock(config[key])


def _spell_out(config: DictConfig, update: DictConfig) -> None:
    """``section=word`` is short for the key that the section's schema names as its SHORTHAND."""
    for key in map(str, config):
        short = getattr(OmegaConf.get_type(config, key), "SHORTHAND", None)
        if short is not None and isinstance(update.get(key), str):
            update[key] = {short: update[key]}


def _merge(config: DictConfig, update: DictConfig, where: str) -> DictConfig:
    try:
        _unlock(config)
        _spell_out(config, update)
        merged = OmegaConf.unsafe_merge(
            config, update
        )  # no copy: both are ours, and not read after
    except (ConfigKeyError, ConfigAttributeError) as error:
        raise ConfigError(_unknown_key(config, error, where)) from error
    except (OmegaConfBaseException, TypeError) as error:  # a list where a text is put together
        message = " ".join(str(getattr(error, "msg", None) or error).split())
        message = message.split(" full_key:")[0]
        key = getattr(error, "full_key", None)
        if found := _CONVERTED.fullmatch(message):
            kind = _KINDS[found[2]]
            raise ConfigError(f"{where}: {key} is {found[1]}; {kind} is expected") from error
        if "is not a ListConfig" in message:
            raise ConfigError(f"{where}: {key} must be a list, such as {key}=[a,b]") from error
        at = f" at key {key!r}" if key else ""
        raise ConfigError(f"{where}:{at} {message}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _unknown_key(config: DictConfig, error: OmegaConfBaseException, where: str) -> str:
    full_key = str(error.full_key or error.key)
    removed = getattr(OmegaConf.get_type(config), "REMOVED", {})
    if full_key in removed:
        now = yaml.safe_dump(removed[full_key]).split()[0]
        return f"{where}: key {full_key!r} was removed: every run works as with {now}; leave it out"
    parent, _, leaf = full_key.rpartition(".")
    section: Any = error.object_type  # also of an item of a list, whose place is not in the error
    fields = dataclasses.fields(section) if dataclasses.is_dataclass(section) else ()
    known = sorted(field.name for field in fields)
    close = difflib.get_close_matches(leaf, known, n=1, cutoff=0.5)
    meant = f"{parent}.{close[0]}" if close and parent else "".join(close)
    hint = f"did you mean {meant!r}?" if close else f"known keys: {', '.join(known)}"
    return f"{where}: key {full_key!r} does not exist; {hint}"


def _build(config: DictConfig, where: str) -> Any:
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if not missing:
            return OmegaConf.to_object(config)
    except (GrammarParseError, InterpolationResolutionError) as error:
        at = f" at key {error.full_key!r}" if error.full_key else ""
        raise ConfigError(f"{where}:{at} {' '.join(str(error.msg or error).split())}") from error
    except (ValueError, TypeError) as error:
        section = _failing_section(config)
        at = f" in section {section!r}" if section else ""
        raise ConfigError(f"{where}{at}: {error}") from error
    raise ConfigError(f"{where}: key {missing[0]!r} must be given (key=value)")


def _failing_section(config: DictConfig, prefix: str = "") -> str:
    """The innermost section that fails its own checks."""
    for key in config:
        value = config[key]
        if isinstance(value, DictConfig):
            try:
                OmegaConf.to_object(value)
            except (ValueError, TypeError):
                return _failing_section(value, f"{prefix}{key}.")
    return prefix.rstrip(".")
