"""The house stands as docs/architecture.md draws it."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("configs", "models", "datasets", "curation", "inference", "training")
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc"}


def python_files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_the_top_level_is_what_was_ordered() -> None:
    for name in (*ROOMS, "tests", "docs", "Makefile", "pyproject.toml", "README.md", "LICENSE",
                 "CHANGELOG.md", "CONTRIBUTING.md"):  # fmt: skip
        assert (ROOT / name).exists(), name


def test_files_have_names_that_say_something_and_stay_short() -> None:
    for path in python_files():
        assert path.stem not in EMPTY_NAMES, path
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        assert num_lines <= 400, f"{path.relative_to(ROOT)} has {num_lines} lines"


def test_a_package_starts_with_a_docstring_and_nothing_else() -> None:
    for path in python_files():
        if path.name == "__init__.py" and path.parent.name != "datasets":
            text = path.read_text(encoding="utf-8").strip()
            assert re.fullmatch(r'"""[^"]+"""', text), path


def test_every_public_file_says_what_it_is_for() -> None:
    for path in python_files():
        assert path.read_text(encoding="utf-8").startswith(('"""', "#!")), path


WRITES_ITSELF = {
    "configs/loading.py": "writes aside and renames; it may not import storage",
    "curation/shards/upload.py": "in a temporary folder, for another place",
    "datasets/storage.py": "is the place",
    "training/checkpoints/model_card.py": "in a folder that is renamed",
    "training/distributed/sharding.py": "in a folder that is renamed",
    "training/experiments/fingerprints.py": "in a folder that is renamed",
    "models/weights/adapters.py": "in a folder that export renames",
    "training/export.py": "in a folder that is renamed",
}


def test_files_are_written_so_that_a_kill_leaves_no_half_of_one() -> None:
    direct = re.compile(r"\.write_(text|bytes)\(|cv2\.imwrite\(")
    found = {
        str(path.relative_to(ROOT))
        for path in python_files()
        if direct.search(path.read_text(encoding="utf-8"))
    }
    assert found == WRITES_ITSELF.keys(), "use datasets/storage.py"


def test_no_file_names_a_package_registry_or_a_private_path() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    hosts = re.compile(r"files\.pythonhosted|pypi\.org|/opt/wheels|/opt/pypi")
    for name in filter(None, listed):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ""} and path.is_file():
            if path == Path(__file__).resolve():
                continue
            assert not hosts.search(path.read_text(encoding="utf-8", errors="replace")), name


def test_a_folder_holds_at_most_twenty_files_of_its_own() -> None:
    for room in ROOMS:
        folders = {path.parent for path in (ROOT / room).rglob("*.py")}
        for folder in sorted(folders):
            files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= 20, f"{folder.relative_to(ROOT)} holds {len(files)} files"


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in python_files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    twice = {name: files for name, files in places.items() if len(files) > 1}
    assert not twice, f"defined more than once: {twice}"
