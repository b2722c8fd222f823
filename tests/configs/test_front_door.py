"""Messages name commands as the user calls them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.extras import extras, read_arguments
from configs.front_door import CALLED_BY, COMMAND_LINE, FORMS, as_called

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("run `make latents` to resume", "run `viton-dit latents` to resume"),
        ("`make curate SRC=<raw> OUT=data/x`", "`viton-dit curate <raw> --out data/x`"),
        ('make app [CONFIG=a.yaml] [ARGS="port=1 x=2"]', "viton-dit app [a.yaml] [port=1 x=2]"),
        ("make curate-explain OUT=d CLIP=a|b, or", "viton-dit curate-explain a|b --out d, or"),
        ("with `make train-stage2`.", "with `viton-dit train configs/stage2.yaml`."),
        ("needs it: make setup-lowmem, or", "needs it: viton-dit setup lowmem, or"),
        ("that make curate-refilter accepts", "that viton-dit curate-refilter accepts"),
        ("make room; make plans", "make room; make plans"),
    ],
)  # fmt: skip
def test_a_command_is_named_as_it_is_called(
    message: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CALLED_BY, raising=False)
    assert as_called(message) == message
    monkeypatch.setenv(CALLED_BY, COMMAND_LINE)
    assert as_called(message) == shown


def test_errors_and_log_lines_are_said_so(tmp_path: Path) -> None:
    code = (
        "import logging\nfrom configs.command import run_command\n"
        "from configs.errors import DataError\n"
        "def main(argv):\n"
        "    logging.getLogger('x').warning('run `make latents`')\n"
        "    raise DataError('first `make demo`')\n"
        "run_command(main, [])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT,
        env={CALLED_BY: COMMAND_LINE},
    )  # fmt: skip
    assert done.returncode == 2
    assert "run `viton-dit latents`" in done.stderr
    assert "error: first `viton-dit demo`" in done.stderr


def test_no_message_names_pip_where_a_command_installs() -> None:
    """Messages and comments of settings say `make setup-NAME`; a wheel's download may name pip."""
    for room in ("configs", "models", "datasets", "curation", "inference", "training"):
        for path in (ROOT / room).rglob("*"):
            if path.suffix in {".py", ".yaml"}:
                assert "pip install" not in path.read_text(encoding="utf-8"), path


def test_every_extra_has_a_target_of_make() -> None:
    assert {f"setup-{name}" for name in extras()} <= FORMS.keys()
    assert read_arguments(["lowmem"]) == ("lowmem", None)
    assert read_arguments(["text", "--constraint", "c.txt"]) == ("text", "c.txt")
    with pytest.raises(ConfigError, match="'--upgrade' is not understood"):
        read_arguments(["text", "--upgrade"])


def test_no_text_that_is_printed_keeps_makes_words() -> None:
    """Constants that name a target are raised, logged, or given to as_called before a print."""
    printing = {"print", "write"}
    found = []
    for room in ("curation", "inference", "training", "datasets"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                if name not in printing or "as_called" in ast.unparse(call):
                    continue
                texts = [n.value for n in ast.walk(call) if isinstance(n, ast.Constant)]
                joined = " ".join(text for text in texts if isinstance(text, str))
                if any(f"make {target}" in joined for target in FORMS):
                    found.append((path.name, call.lineno, joined))
    assert not found
