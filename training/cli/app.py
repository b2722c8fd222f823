"""The command line ``viton-dit``: its sub-commands, and errors in one sentence.

A sub-command turns what was typed into the words of a command's main function, the same that
``python -m`` runs, and starts it. Nothing heavy is imported before its arguments are checked.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cyclopts import App, CycloptsError, UnknownOptionError

from configs.command import run_command
from configs.errors import ConfigError
from training.cli import data, train, use, work

NAME = "viton-dit"
EPILOGUE = """Examples:
  viton-dit curate raw/ --out data/dance
  viton-dit train configs/stage3.yaml optimizer.lr=5e-5
  viton-dit tryon me.mp4 shirt.jpg -o out.mp4

Any setting of a YAML file is given as key=value. More: viton-dit COMMAND --help
From a folder of videos to your own model, step by step: docs/tutorial.md of the checkout"""


def build_app() -> App:
    """All sub-commands, in the order of the help."""
    app = App(
        name=NAME,
        help="Video virtual try-on: curation, training, inference and evaluation.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # run_command reports it
    )
    for part in (use, data, train, work):
        part.add_commands(app)
    for place, name in enumerate(name for name in app if not name.startswith("-")):
        app[name].sort_key = place
    app.register_install_completion_command()
    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Run a sub-command and exit the process with its exit code."""
    run_command(_run, argv)


def _run(argv: list[str]) -> int | None:
    app = build_app()
    try:
        return app(argv, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        command = f"{NAME} {argv[0]}" if argv[0] in app else NAME
        words = " ".join(str(error).split())
        if isinstance(error, UnknownOptionError) and "Did you mean" not in words:
            option = error.token.keyword or error.token.value
            key = option.strip("-").partition("=")[0].replace("-", "_")
            words += f" Settings are given without dashes, as {key}=value."
        raise ConfigError(f"{words} See {command} --help") from error


def _version() -> str:
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "not installed"
