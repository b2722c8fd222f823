"""Packages that only some settings need: ``python -m configs.extras NAME [--constraint FILE]``.

``make setup-NAME`` and ``viton-dit setup NAME`` install an extra of pyproject.toml into the
environment that runs this file. detectron2 with DensePose is in no package index and is compiled.
"""

import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from configs.command import run_command
from configs.errors import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[1]
DENSEPOSE = "densepose"
_DETECTRON2 = "git+https://github.com/facebookresearch/detectron2"
_FROM_SOURCE = (
    ("--no-build-isolation", _DETECTRON2),
    ("--no-build-isolation", "--no-deps", f"{_DETECTRON2}#subdirectory=projects/DensePose"),
)


def extras() -> list[str]:
    """Names that can be set up: the extras of pyproject.toml for users, and densepose."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return sorted([*(set(project["optional-dependencies"]) - {"dev"}), DENSEPOSE])


def read_arguments(argv: Sequence[str]) -> tuple[str, str | None]:
    """The extra's name, and a file of versions to keep to.

    Raises:
        ConfigError: there is no such extra, or a word is not understood.
    """
    name, *rest = argv or [""]
    if name not in extras():
        found = f"{name!r} is no extra" if name else "NAME is missing"
        raise ConfigError(f"{found}; accepted: {', '.join(extras())}")
    if rest[:1] == ["--constraint"] and len(rest) == 2:
        return name, rest[1]
    if rest:
        raise ConfigError(f"{rest[0]!r} is not understood; usage: {name} [--constraint FILE]")
    return name, None


def main(argv: list[str]) -> int:
    """Install an extra.

    Raises:
        DataError: pip is not in this environment, or fails; it has said why.
    """
    name, constraint = read_arguments(argv)
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"{sys.executable} has no pip; install the extra {name!r} of {ROOT} with the program "
            "that made this environment"
        )
    kept = () if constraint is None else ("--constraint", constraint)
    calls = _FROM_SOURCE if name == DENSEPOSE else ((*kept, "--editable", f"{ROOT}[{name}]"),)
    for words in calls:
        done = subprocess.run([sys.executable, "-m", "pip", "install", *words], check=False)
        if done.returncode:
            raise DataError(f"pip could not install {name}; its last lines above say why")
    return 0


if __name__ == "__main__":
    run_command(main)
