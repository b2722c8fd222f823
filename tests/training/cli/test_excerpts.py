"""Settings read without the modules that they configure are the same settings."""

from importlib import import_module
from pathlib import Path

import pytest

from configs.loading import load_config, to_plain
from training.cli.excerpts import Excerpt

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs"
SCHEMAS = [
    *(("training.config", "TrainConfig", path) for path in (
        "stage1.yaml", "stage3.yaml", "demo/stage2.yaml", "recipes/24gb.yaml", "small/stage3.yaml",
    )),
    ("curation.settings", "CurateConfig", "curate.yaml"),
    ("inference.tryon_config", "TryOnConfig", "tryon.yaml"),
    ("inference.web.settings", "AppConfig", "app.yaml"),
    ("training.evaluation.config", "EvaluationConfig", "eval/vvt.yaml"),
    ("training.experiments.ablation", "AblationConfig", "experiments/known.yaml"),
    ("training.codec.config", "CodecTraining", "codec.yaml"),
    ("training.demo", "DemoConfig", "demo/demo.yaml"),
    ("datasets.synthetic.config", "SyntheticConfig", "demo/render.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "path"), SCHEMAS, ids=[one[2] for one in SCHEMAS])
def test_an_excerpt_reads_a_file_as_its_module_does(module: str, name: str, path: str) -> None:
    whole = load_config(getattr(import_module(module), name), CONFIGS / path)
    assert to_plain(load_config(Excerpt(module)[name], CONFIGS / path)) == to_plain(whole)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules are read as if they were ours."""
    monkeypatch.setattr("training.cli.excerpts.ROOT", tmp_path)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "other.py").write_text(
        "import nosuch\nfrom nosuch import gone\nLIMIT = 3\n"
    )
    return tmp_path / "room"


def test_what_is_not_looked_up_is_not_executed(room: Path) -> None:
    (room / "one.py").write_text(
        "from nosuch import Tensor\n"
        "from room.other import LIMIT as MOST\n"
        "raise_here = 1 / 0\n"
        "FIRST, SECOND = 1, 2\n"
        "try:\n    import nosuch\n    HAS = True\nexcept ImportError:\n    HAS = False\n"
        "class Base:\n"
        "    def run(self, x: Tensor) -> Tensor:\n        return late(x)\n"
        "class Rule(Base):\n    most: int = MOST\n    twice = [2 * n for n in (FIRST, SECOND)]\n"
        "def late(x: Tensor):\n    return x + MOST\n"
    )
    names = Excerpt("room.one")
    assert (names["Rule"].most, names["Rule"].twice, names["HAS"]) == (3, [2, 4], False)
    assert "late" not in names
    assert names["Rule"]().run(1) == 4
    with pytest.raises(ZeroDivisionError):
        names["raise_here"]


def test_a_name_that_does_not_exist_is_an_error_as_in_the_module(room: Path) -> None:
    (room / "one.py").write_text("def late():\n    return missing\n")
    with pytest.raises(NameError, match="missing"):
        Excerpt("room.one")["late"]()
    with pytest.raises(KeyError):
        Excerpt("room.one")["missing"]
    with pytest.raises(ModuleNotFoundError, match=r"room\.two"):
        Excerpt("room.two")
