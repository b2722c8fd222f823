"""The commands of the README are understood by make; what docs/ say is held by test_docs.py."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TARGETS = set(
    re.findall(r"^([a-z][a-z0-9-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
)


def make_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("make ")]


@pytest.mark.parametrize("command", make_commands())
def test_a_command_of_the_readme_is_understood_by_make(command: str) -> None:
    result = subprocess.run(
        f"{command} --dry-run", shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "python -m" in result.stdout


def test_the_two_commands_come_first() -> None:
    assert [command.split()[1] for command in make_commands()[:2]] == ["demo", "test"]


def test_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert len(TARGETS) > 15
    for target in TARGETS:
        assert f"m{target} " in shown, target  # after the colour's escape code
