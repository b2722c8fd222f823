"""The arrows between the rooms, and what may be imported where."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "configs": set(),
    "models": set(),
    "datasets": {"configs"},
    "curation": {"datasets", "configs"},
    "inference": {"models", "configs", "datasets", "curation"},
    "training": {"models", "configs", "datasets", "inference"},
}
# Heavy or AGPL packages, and the one file that may name each.
LAZY = {
    "ultralytics": {"curation/perception/ultralytics_people.py"},
    "detectron2": {"curation/perception/detectron2_densepose.py"},
    "densepose": {"curation/perception/detectron2_densepose.py"},
    "bitsandbytes": {"training/optimizers.py"},
    "transformers": {"curation/perception/parser_networks.py", "models/text.py"},
    "peft": {"training/lora/adapters.py"},
    "onnxruntime": {"curation/perception/parser_networks.py"},
}


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """The syntax tree of a file."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Top-level package of every import, and whether it happens when the file is imported."""
    inside = {
        id(node)
        for function in nodes_of(path)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found: list[tuple[str, bool]] = []
    for node in nodes_of(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        found += [(name.split(".")[0], id(node) not in inside) for name in names]
    return found


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_before_it(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files, f"{room}/ has no Python file"
    for path in files:
        ours = {name for name, _ in imports_of(path)} & (ALLOWED.keys() - {room})
        assert ours <= ALLOWED[room], f"{path.relative_to(ROOT)} imports {ours - ALLOWED[room]}"


def test_the_installed_file_imports_nothing_of_ours_before_it_has_found_it() -> None:
    at_import = {name for name, is_at_import in imports_of(ROOT / "viton_dit.py") if is_at_import}
    text = (ROOT / "viton_dit.py").read_text(encoding="utf-8")
    assert at_import & ALLOWED.keys() == {"inference"}
    assert "if TYPE_CHECKING:\n    from inference.pipeline import TryOnPipeline\n" in text


def test_heavy_packages_are_imported_lazily_and_only_by_their_adapter() -> None:
    for room in ALLOWED:
        for path in (ROOT / room).rglob("*.py"):
            where = path.relative_to(ROOT).as_posix()
            for name, is_at_import in imports_of(path):
                if name in LAZY:
                    assert where in LAZY[name], f"{where} imports {name}"
                    assert not is_at_import, f"{where} imports {name} when it is imported"


def test_hugging_face_names_asked_of_our_datasets_get_a_clear_message() -> None:
    code = "import datasets; datasets.load_dataset"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert "belongs to Hugging Face's package" in result.stderr


def test_rendered_data_and_the_latent_path_need_neither_av_nor_decord() -> None:
    code = (
        "import sys\n"
        "for name in ('av', 'decord'): sys.modules[name] = None\n"
        "import datasets.synthetic.dataset, datasets.loading.swapping\n"
        "import models.system, inference.sampling.solvers\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_judging_again_by_other_thresholds_does_not_wait_for_torch() -> None:
    code = "import sys\nimport curation.refilter\nassert 'torch' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def modules() -> dict[str, Path]:
    """Every file of the rooms by its module's name; a package by the name of its folder."""
    files = [path for room in ALLOWED for path in sorted((ROOT / room).rglob("*.py"))]
    files.append(ROOT / "viton_dit.py")
    named = {path: path.relative_to(ROOT).with_suffix("").as_posix() for path in files}
    return {name.replace("/", ".").removesuffix(".__init__"): path for path, name in named.items()}


def imported_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= below & known.keys() or {node.module}
    return found & known.keys()


def arrows_by_folder(imports: dict[str, set[str]]) -> dict[str, set[tuple[str, str]]]:
    """Folder -> arrows between its entries, which are files and whole sub-folders."""
    arrows: dict[str, set[tuple[str, str]]] = {}
    for module, targets in imports.items():
        for target in targets - {module}:
            here, there = module.split("."), target.split(".")
            shared = next(
                (i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b),
                min(len(here), len(there)),
            )
            if shared < min(len(here), len(there)):
                pair = (here[shared], there[shared])
                arrows.setdefault(".".join(here[:shared]), set()).add(pair)
    return arrows


def circles(arrows: set[tuple[str, str]]) -> set[str]:
    """The entries that lie on a circle of arrows."""
    targets: dict[str, set[str]] = {}
    for start, end in arrows:
        targets.setdefault(start, set()).add(end)
    on_circle: set[str] = set()
    for start in targets:
        seen: set[str] = set()
        waiting = list(targets[start])
        while waiting:
            entry = waiting.pop()
            if entry not in seen:
                seen.add(entry)
                waiting += targets.get(entry, ())
        if start in seen:
            on_circle.add(start)
    return on_circle


def test_the_entries_of_every_folder_depend_on_each_other_in_one_direction() -> None:
    known = modules()
    imports = {name: imported_modules(path, known) for name, path in known.items()}
    for folder, arrows in arrows_by_folder(imports).items():
        found = circles(arrows)
        assert not found, f"{folder or 'the checkout'}: circle through {sorted(found)}"


def test_a_circle_between_files_or_between_folders_is_found() -> None:
    files = {"a.one": {"a.two"}, "a.two": {"a.one"}}
    assert circles(arrows_by_folder(files)["a"]) == {"one", "two"}
    folders = {"a.x.one": {"a.y.two"}, "a.y.three": {"a.z.four"}, "a.z.five": {"a.x.six"}}
    assert circles(arrows_by_folder(folders)["a"]) == {"x", "y", "z"}
    layers = {"a.main": {"a.x.one", "a.ground"}, "a.x.one": {"a.ground"}}
    assert not circles(arrows_by_folder(layers)["a"])


def test_every_file_is_imported_by_another_or_run_by_a_command() -> None:
    known = modules()
    imported = {
        target for name, path in known.items() for target in imported_modules(path, known) - {name}
    }
    for name, path in known.items():
        is_run = path.name == "__main__.py" or "__main__" in path.read_text(encoding="utf-8")
        is_package = path.name == "__init__.py"
        assert name in imported or is_run or is_package, f"nobody imports or runs {name}"
