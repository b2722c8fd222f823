"""The one installed file: the packages are found from any folder, and what cannot be is said."""

import subprocess
import sys
import tomllib
import types
import warnings
from pathlib import Path

import pytest

import viton_dit

ROOT = Path(__file__).resolve().parents[1]


def test_the_project_installs_one_file_and_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"viton-dit": "viton_dit:main"}
    assert project["tool"]["setuptools"] == {"packages": [], "py-modules": ["viton_dit"]}
    assert callable(viton_dit.main)


def test_the_pipeline_is_the_one_of_inference() -> None:
    from inference.pipeline import TryOnPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert viton_dit.TryOnPipeline is TryOnPipeline
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from viton_dit import Nothing  # noqa: F401  # pyright: ignore


def test_it_is_imported_from_any_folder_without_torch(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"  # as an editable install finds the file
        "import viton_dit, configs.loading, datasets.locks\n"
        "assert 'torch' not in sys.modules\n"
        f"assert datasets.__file__.startswith({str(ROOT)!r}), datasets\n"
    )
    (tmp_path / "datasets.py").write_text("")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_process_that_holds_another_datasets_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    other = types.ModuleType("datasets")
    other.__file__, other.__path__ = (
        "/site-packages/datasets/__init__.py",
        ["/site-packages/datasets"],
    )
    monkeypatch.setitem(sys.modules, "datasets", other)
    with pytest.raises(ImportError, match=r"has imported Hugging Face's 'datasets'.*own"):
        viton_dit._find_packages()
    monkeypatch.setitem(sys.modules, "datasets", types.ModuleType("datasets"))  # a single file
    with pytest.raises(ImportError, match="process of its own"):
        viton_dit._find_packages()


def test_an_installed_package_that_cannot_be_imported_any_more_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("")
    (tmp_path / "models").mkdir()  # no package: it hides nothing
    monkeypatch.setattr(sys, "path", [str(ROOT), str(tmp_path)])
    with pytest.warns(UserWarning, match=r"'datasets' now means .*cannot be imported") as told:
        viton_dit._warn_of_hidden_packages()
    assert len(told) == 1


def test_a_copy_outside_the_checkout_says_how_to_install(tmp_path: Path) -> None:
    (tmp_path / "viton_dit.py").write_text((ROOT / "viton_dit.py").read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-c", "import viton_dit"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "viton-dit runs from its checkout" in done.stderr
    assert "pip install -e ." in done.stderr
