"""What the README and docs/ say is so: commands exist, links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_link_in_the_docs_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z][a-z0-9-]*)", text))
    assert named <= TARGETS, f"{page.name} names targets that do not exist: {named - TARGETS}"
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for module in re.findall(r"python -m ((?:[a-z_]+\.)+[a-z_0-9]+)", text):
        if module.split(".")[0] in {"curation", "datasets", "training", "inference", "models"}:
            place = ROOT / Path(*module.split("."))
            assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for config in re.findall(r"configs/[a-z0-9_/]+\.yaml", text):
        assert (ROOT / config).exists(), f"{page.name} names {config}"


def test_help_lists_every_target() -> None:
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert len(TARGETS) > 15
    for target in TARGETS:
        assert f"m{target} " in shown, target  # after the colour's escape code
