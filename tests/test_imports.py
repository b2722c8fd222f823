"""The arrows between the rooms, and what may be imported where."""

import ast
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
    "transformers": {"curation/perception/human_parser.py", "models/text.py"},
}


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Top-level package of every import, and whether it happens when the file is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found: list[tuple[str, bool]] = []
    for node in ast.walk(tree):
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
