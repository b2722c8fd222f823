"""A hash of the code that paints: work that older code began is never resumed."""

from functools import lru_cache
from pathlib import Path

from datasets.storage import file_sha256

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("models", "inference/sampling")
_FILES = ("datasets/places.py",)


@lru_cache(maxsize=1)
def painting_code_sha256() -> str:
    """Of the files that a painted latent depends on, beside weights, conditions and settings."""
    found = [path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")]
    return file_sha256(*sorted(found), *(_ROOT / file for file in _FILES))
