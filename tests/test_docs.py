"""What README and docs/ say is so: files, links, commands; and their form stays readable."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("configs", "models", "datasets", "curation", "inference", "training")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
TARGETS = set(
    re.findall(r"^([a-z][a-z0-9-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
)
OURS = re.compile(rf"(?:{'|'.join((*ROOMS, 'tests', 'docs'))})/[A-Za-z0-9_./-]*")
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).replace("/", "-")
)


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def rows(page: Path) -> list[list[str]]:
    """The cells of a page's tables, row by row."""
    lines = [line.strip() for line in prose(page).splitlines()]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_file_has_one_row_that_gives_its_idea() -> None:
    listed: Counter[str] = Counter()
    for page in sorted((ROOT / "docs" / "files").glob("*.md")):
        for file, *idea in rows(page):
            if not file.startswith("`"):
                continue
            assert file.startswith(f"`{page.stem}/"), f"{page.name} lists {file}"
            assert len(idea) == 1, f"{file} has {len(idea) + 1} cells"
            assert 10 <= len(idea[0]) <= 100, f"{file}: {len(idea[0])} characters, at most 100"
            listed[file.strip("`")] += 1
    there = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py"
    }
    twice = [file for file, count in listed.items() if count > 1]
    assert not twice, f"listed twice in docs/files: {twice}"
    assert not there - set(listed), f"missing in docs/files: {sorted(there - set(listed))}"
    assert not set(listed) - there, f"in docs/files but not there: {sorted(set(listed) - there)}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda page: page.name)
def test_a_guide_stays_short(guide: Path) -> None:
    assert len(guide.read_text(encoding="utf-8").splitlines()) <= 250


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@each_page
def test_no_table_cell_is_long(page: Path) -> None:
    long = [cell for row in rows(page) for cell in row if len(cell) > 160]
    assert not long, f"at most 160 characters a cell; make it prose or more rows: {long}"


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in headings(place), f"{page.name} links to {link}: no such heading"


@each_page
def test_every_path_of_ours_that_is_named_exists(page: Path) -> None:
    for span in re.findall(r"`([^`]+)`", prose(page)):
        for word in re.split(r"[\s=]+", span):
            path = word.rstrip(":,")
            if OURS.fullmatch(path) and (Path(path).suffix or path.endswith("/")):
                assert (ROOT / path).exists(), f"{page.name} names {path}"
    for config in re.findall(r"configs/[a-z0-9_/]+\.yaml", page.read_text(encoding="utf-8")):
        assert (ROOT / config).exists(), f"{page.name} names {config}"


@each_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"`make\s+([a-z][a-z0-9-]*)", text))
    targets |= set(re.findall(r"^make ([a-z][a-z0-9-]*)", text, re.MULTILINE))
    assert targets <= TARGETS, f"{page.name} names {targets - TARGETS}"
    if page.name == "CHANGELOG.md":  # tells of modules that were
        return
    for module in re.findall(r"python -m\s+((?:[a-z_]+\.)+[a-z_0-9]+)", text):
        if module.split(".")[0] in {*ROOMS, "tests"}:
            place = ROOT / Path(*module.split("."))
            assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_what_the_readme_says_to_read_is_six_files() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("Read these six files")[2].partition("\n\nGuides")[0]
    assert len(re.findall(r"^\| `[a-z_/]+\.py` \|", table, re.MULTILINE)) == 6
