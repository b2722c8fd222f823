"""File names that people send: text to show, never a path."""

import unicodedata
from pathlib import PurePosixPath

_LONGEST = 60


def shown_name(sent: str) -> str:
    """The last part of a name, without what would confuse a reader or a terminal.

    Control characters, marks that turn the reading direction and surrogates go; so do folders of
    either kind of slash.
    """
    last = sent.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    kept = " ".join(unicodedata.normalize("NFC", kept).split()).lstrip(".")
    if len(kept) > _LONGEST:
        suffix = PurePosixPath(kept).suffix[:8]
        kept = kept[: _LONGEST - len(suffix) - 1] + "…" + suffix
    return kept or "unnamed"


def download_name(video: str, garment: str) -> str:
    """ASCII letters, digits and dashes that name a result."""
    stems = (_plain(PurePosixPath(name).stem) for name in (video, garment))
    return ("-in-".join(stem for stem in stems if stem)[:80] or "result") + ".mp4"


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    kept = "".join(letter if letter.isalnum() else "-" for letter in ascii_text)
    return "-".join(part for part in kept.split("-") if part)
