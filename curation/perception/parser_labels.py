"""What a parser's labels are called, and which of ours each of them is.

A transformers folder names its labels itself. A file carries no names, so the settings give its
table: ATR's and FASHN's parsers both have 18 labels, in different orders.
"""

import json
import re
from pathlib import Path

from configs.errors import ConfigError, DataError
from datasets.labels import ParseLabel

P = ParseLabel
TABLES: dict[str, tuple[ParseLabel, ...]] = {
    # background hat hair glasses upper skirt pants dress belt shoes face legs arms bag scarf
    "atr": (
        P.BACKGROUND, P.OTHER, P.HAIR, P.FACE, P.UPPER, P.LOWER, P.LOWER, P.DRESS, P.LOWER,
        P.FEET, P.FEET, P.FACE, P.LEGS, P.LEGS, P.ARMS, P.ARMS, P.OTHER, P.OTHER,
    ),
    # background hat hair glove glasses upper dress coat socks pants jumpsuit scarf skirt face arms
    # legs shoes
    "lip": (
        P.BACKGROUND, P.OTHER, P.HAIR, P.HANDS, P.FACE, P.UPPER, P.DRESS, P.UPPER, P.FEET,
        P.LOWER, P.DRESS, P.OTHER, P.LOWER, P.FACE, P.ARMS, P.ARMS, P.LEGS, P.LEGS,
        P.FEET, P.FEET,
    ),
    # background face hair top dress skirt pants belt bag hat scarf glasses arms hands legs feet
    # torso jewelry; bare skin of the torso is painted over with the arms
    "fashn": (
        P.BACKGROUND, P.FACE, P.HAIR, P.UPPER, P.DRESS, P.LOWER, P.LOWER, P.LOWER, P.OTHER,
        P.OTHER, P.OTHER, P.FACE, P.ARMS, P.HANDS, P.LEGS, P.FEET, P.ARMS, P.OTHER,
    ),
}  # fmt: skip
NAMES: dict[ParseLabel, str] = {
    P.BACKGROUND: "background",
    P.FACE: "face glasses sunglasses",
    P.HAIR: "hair",
    P.UPPER: "upper upperclothes top coat jacket shirt sweater sleeve vest",
    P.LOWER: "skirt pants trousers shorts belt lower lowerclothes",
    P.DRESS: "dress jumpsuit jumpsuits onepiece",
    P.ARMS: "arm arms torso torsoskin skin neck",
    P.LEGS: "leg legs",
    P.HANDS: "hand hands glove gloves",
    P.FEET: "foot feet shoe shoes sock socks",
    P.OTHER: "hat bag scarf jewelry accessory accessories",
}
_BY_NAME = {name: label for label, names in NAMES.items() for name in names.split()}
CHOICES = ("auto", *sorted(TABLES))


def label_table(path: Path, labels: str) -> tuple[ParseLabel, ...]:
    """Ours for each label of a parser, in its order.

    Args:
        path: its folder or file.
        labels: auto takes the names in the folder's config.json; or the name of a table.

    Raises:
        ConfigError: no such table.
        DataError: auto, but there are no names, or one of them is unknown.
    """
    if labels not in CHOICES:
        raise ConfigError(f"parser_labels={labels!r}; choose one of {', '.join(CHOICES)}")
    if labels != "auto":
        return TABLES[labels]
    names = _own_names(path)
    give = f"give perception.parser_labels={', '.join(sorted(TABLES)[:-1])} or {max(TABLES)}"
    if names is None:
        raise DataError(f"the parser {path} does not name its labels; {give}")
    unknown = [name for name in names if _plain(name) not in _BY_NAME]
    if unknown:
        raise DataError(f"the parser {path} has labels of unknown names, {unknown[:3]}; {give}")
    return tuple(_BY_NAME[_plain(name)] for name in names)


def _own_names(path: Path) -> list[str] | None:
    """``id2label`` of a transformers folder, in order; None: there is none."""
    try:
        settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
        numbered = {int(number): str(name) for number, name in settings["id2label"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if sorted(numbered) != list(range(len(numbered))):
        return None
    return [numbered[number] for number in range(len(numbered))]


def _plain(name: str) -> str:
    """``Left-shoe`` -> ``shoe``, ``Upper-clothes`` -> ``upperclothes``."""
    words = re.split(r"[^a-z]+", name.lower())
    return "".join(word for word in words if word not in {"left", "right"})
