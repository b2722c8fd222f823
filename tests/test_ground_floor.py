"""Tools that every package needs are written once: hashes, whole files, bytes as floats, bars."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("configs", "models", "datasets", "curation", "inference", "training")
HOMES = {  # what: the only files that may do it; models/ imports nothing of ours
    "sha256 of a file": {"datasets/storage.py", "models/weights/files.py"},
    "write, then rename": {
        "configs/loading.py",  # may not import storage
        "datasets/storage.py",
        "models/weights/files.py",
    },
    "[-1, 1] and bytes": {"datasets/sample.py"},
    "bar of progress": {"configs/console.py"},
    "lock of a file": {"datasets/locks.py"},
    "file opened by PyAV": {"datasets/media_files.py"},
}


def deeds_in(source: str) -> Iterator[tuple[str, int]]:
    """(what of ``HOMES``, line) of everything in a source text that has a home."""
    tree = ast.parse(source)
    functions = imported_functions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value == 127.5:
            yield "[-1, 1] and bytes", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "rich.progress":
            yield "bar of progress", node.lineno
        elif isinstance(node, ast.Import) and any(name.name == "fcntl" for name in node.names):
            yield "lock of a file", node.lineno
        elif isinstance(node, ast.Call):
            if opens_a_path(node):
                yield "file opened by PyAV", node.lineno
            if hashes_a_file(node, tree):
                yield "sha256 of a file", node.lineno
            if renames(node, functions):
                yield "write, then rename", node.lineno


def opens_a_path(call: ast.Call) -> bool:
    """``av.open`` of anything but bytes in memory (a name with "buffer" or "track", or BytesIO)."""
    if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "av.open"):
        return False
    source = call.args[0] if call.args else call.keywords[0].value
    if isinstance(source, ast.Call):
        return name_of(source.func) != "BytesIO"
    return not (isinstance(source, ast.Name) and source.id in {"buffer", "track"})


def hashes_a_file(call: ast.Call, tree: ast.AST) -> bool:
    """``file_digest``, and ``sha256(...)`` or ``.update(...)`` of what was just read."""
    name = name_of(call.func)
    if name == "file_digest":
        return True
    if name not in {"sha256", "update"} or not call.args:
        return False
    argument = call.args[0]
    if isinstance(argument, ast.Name):  # while block := file.read(...), or for block in iter(...)
        values = [
            getattr(node, "value", None) or getattr(node, "iter", None)
            for node in ast.walk(tree)
            if isinstance(node, ast.NamedExpr | ast.For)
            and isinstance(node.target, ast.Name)
            and node.target.id == argument.id
        ]
        return any(value is not None and reads(value) for value in values)
    return reads(argument)


def reads(node: ast.AST) -> bool:
    """Whether an expression reads bytes from a file."""
    calls = (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return any(name_of(call.func) in {"read", "read_bytes"} for call in calls)


def renames(call: ast.Call, functions: set[str]) -> bool:
    """``Path.replace`` and ``Path.rename`` take one argument, ``str.replace`` two."""
    if isinstance(call.func, ast.Name):
        return call.func.id in functions
    if not isinstance(call.func, ast.Attribute):
        return False
    owner, name = name_of(call.func.value), call.func.attr
    if owner in {"os", "shutil"} and name in {"replace", "rename", "renames", "move"}:
        return True
    if owner in {"dataclasses", "copy"} or name not in {"replace", "rename"}:
        return False
    return len(call.args) + len(call.keywords) == 1


def imported_functions(tree: ast.AST) -> set[str]:
    """Names under which os and shutil gave away their renaming functions."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "shutil"}
        for alias in node.names
        if alias.name in {"replace", "rename", "renames", "move"}
    }


def name_of(node: ast.AST) -> str | None:
    """The last name of ``a`` or ``b.a``."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


@pytest.fixture(scope="module")
def deeds() -> list[tuple[str, str]]:
    """(what of ``HOMES``, file and line) of every deed in the packages."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 200
    return [
        (deed, f"{path.relative_to(ROOT).as_posix()}:{line}")
        for path in files
        for deed, line in deeds_in(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("what", sorted(HOMES))
def test_what_every_package_needs_is_written_in_one_place(
    deeds: list[tuple[str, str]], what: str
) -> None:
    found = {place for deed, place in deeds if deed == what}
    homes = {place.partition(":")[0] for place in found}
    assert homes <= HOMES[what], sorted(found)
    assert homes, f"nobody does this any more: {what}"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('hashlib.file_digest(file, "sha256")', "sha256 of a file"),
        ("hashlib.sha256(path.read_bytes()).hexdigest()", "sha256 of a file"),
        ("digest.update(path.read_bytes())", "sha256 of a file"),
        ("while block := file.read(9): digest.update(block)", "sha256 of a file"),
        ("for b in iter(lambda: file.read(9), b''): digest.update(b)", "sha256 of a file"),
        ("os.replace(partial, path)", "write, then rename"),
        ("partial.replace(path)", "write, then rename"),
        ("(folder / 'x.part').rename(path)", "write, then rename"),
        ("shutil.move(partial, path)", "write, then rename"),
        ("from os import replace as put; put(partial, path)", "write, then rename"),
        ("frames / 127.5 - 1", "[-1, 1] and bytes"),
        ("from rich.progress import Progress", "bar of progress"),
        ("import fcntl", "lock of a file"),
        ("av.open(str(path))", "file opened by PyAV"),
        ("av.open(path, 'w')", "file opened by PyAV"),
        ("av.open(f'file:{path}')", "file opened by PyAV"),
    ],
)
def test_the_check_sees_what_it_is_for(line: str, what: str) -> None:
    assert [deed for deed, _ in deeds_in(line)] == [what]


@pytest.mark.parametrize(
    "line",
    [
        "word.replace('a', 'b')",
        "from dataclasses import replace; replace(config, seed=1); replace(config, **other)",
        "dataclasses.replace(config)",
        "hashlib.sha256(name.encode())",
        "digest.update(array.tobytes())",
        "counts.update(known)",
        "av.open(buffer, 'w', format='mp4'); av.open(io.BytesIO(data))",
        "write_file(path, text)",
    ],
)
def test_the_check_takes_nothing_else_for_it(line: str) -> None:
    assert list(deeds_in(line)) == []
