"""VITON-DiT from any folder: ``from viton_dit import TryOnPipeline``, and ``viton-dit``.

``pip install -e .`` installs this file alone. It finds the packages next to it (``curation``,
``models``, ``datasets`` and so on), whose names are too common to be installed for every program.
"""

import os
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.pipeline import TryOnPipeline

__all__ = ["TryOnPipeline"]
_CHECKOUT = Path(__file__).resolve().parent
_PACKAGES = ("configs", "models", "datasets", "curation", "inference", "training")


def _find_packages() -> None:
    """Put the checkout first on the path.

    Raises:
        ImportError: it is not there, or the process has imported another package of such a name.
    """
    if not (_CHECKOUT / "inference" / "pipeline.py").is_file():
        raise ImportError(
            f"viton-dit runs from its checkout, and {_CHECKOUT} is none; install it with "
            "`pip install -e .` in the checkout"
        )
    for name in _PACKAGES:
        module = sys.modules.get(name)
        if module is None:
            continue
        places = [Path(place).resolve().parent for place in getattr(module, "__path__", ())]
        if _CHECKOUT not in places:
            whose = "Hugging Face's 'datasets'" if name == "datasets" else f"another {name!r}"
            raise ImportError(
                f"this process has imported {whose} ({getattr(module, '__file__', None)}), and "
                "viton_dit has a package of that name, which cannot be imported beside it; run "
                "try-on in a process of its own, such as `viton-dit tryon`"
            )
    path = str(_CHECKOUT)
    if sys.path[:1] != [path]:
        sys.path.insert(0, path)


def _warn_of_hidden_packages() -> None:
    """Name what this process can no longer import, since a package of ours has its name."""
    others = [place for place in sys.path if Path(place).resolve() != _CHECKOUT]
    found = {name: PathFinder.find_spec(name, others) for name in _PACKAGES}
    for name, spec in found.items():
        if spec is not None and spec.origin is not None:
            warnings.warn(
                f"{name!r} now means the package of viton_dit; {spec.origin} cannot be imported in "
                "this process",
                stacklevel=3,
            )


def __getattr__(name: str) -> Any:
    if name == "TryOnPipeline":
        from inference.pipeline import TryOnPipeline

        return TryOnPipeline
    raise AttributeError(f"module 'viton_dit' has no attribute {name!r}")


def main() -> None:
    """Entry of the command ``viton-dit``."""
    from configs.front_door import CALLED_BY, COMMAND_LINE
    from training.cli.app import main as run

    # programs that a command starts (python -m ...) find the same packages, in any folder
    paths = [str(_CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    os.environ.setdefault(CALLED_BY, COMMAND_LINE)  # unless make has started it
    run()


_find_packages()
if __name__ == "__main__":
    main()
elif Path(sys.argv[0]).stem != "viton-dit":  # the command is a process of its own
    _warn_of_hidden_packages()
