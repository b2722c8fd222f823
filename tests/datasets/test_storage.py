import hashlib
import json
import os
import platform
from pathlib import Path

import pytest

from configs.errors import DataError
from datasets import storage


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "file.txt"

    def stop_halfway():
        with storage.writing(path) as aside:
            aside.write_text("half")
            assert not path.exists()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        stop_halfway()
    assert list(path.parent.iterdir()) == []
    storage.write_file(path, b"whole")
    storage.write_file(path, lambda file: file.write(b"and replaced"))
    assert path.read_bytes() == b"and replaced"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", ["nothing", "file", "folder", "link"])
def test_a_folder_or_a_link_replaces_whatever_is_there(tmp_path, before):
    target, path = tmp_path / "target", tmp_path / "there"
    for is_link in (True, False):
        storage.remove(path)
        target.mkdir(exist_ok=True)
        if before == "file":
            path.write_text("old")
        elif before == "folder":
            path.mkdir()
            (path / "old").write_text("old")
        elif before == "link":
            path.symlink_to(target.name)
        with storage.writing(path) as aside:
            if is_link:
                aside.symlink_to(target.name)
            else:
                aside.mkdir()
                (aside / "new").write_text("new")
        assert path.is_symlink() == is_link
        assert [file.name for file in path.iterdir()] == ([] if is_link else ["new"])
        assert sorted(file.name for file in tmp_path.iterdir()) == ["target", "there"]


@pytest.mark.parametrize(("number", "advice"), [(28, "make room"), (30, "name another folder")])
def test_a_full_or_read_only_disk_is_one_sentence_with_the_final_name(tmp_path, number, advice):
    with (
        pytest.raises(DataError, match=rf"file\.txt cannot be written .*{advice}") as caught,
        storage.writing(tmp_path / "file.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path) not in caught.value.plain


def test_only_what_the_dead_left_is_swept(tmp_path):
    host = platform.node()
    names = {
        storage._temporary_name(): True,
        f".writing-{host}@{os.getpid()}-before-the-container-was-restarted": False,
        ".writing-elsewhere@1-young": True,
        f".writing-{host}@{2**22 + 1}-dead": False,
        ".writing-of-an-older-version": False,
        "resumed.part": True,
        "file": True,
    }
    for name in names:
        (tmp_path / name).write_text(name)
    storage.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {n for n, stays in names.items() if stays}


def test_the_first_write_into_a_folder_removes_what_a_killed_run_left_there(tmp_path):
    left = tmp_path / f".writing-{platform.node()}@{2**22 + 1}-dead"
    left.write_text("half")
    storage.write_file(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_hashes_are_those_that_earlier_versions_wrote_down(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"first" * 100_000)
    two.write_bytes(b"second")
    both = hashlib.sha256(one.read_bytes() + two.read_bytes())
    settings = {"b": 1, "a": [0.5, None, "ü"]}
    words = json.dumps(settings, sort_keys=True).encode()
    assert storage.file_sha256(one) == hashlib.sha256(one.read_bytes()).hexdigest()
    assert storage.file_sha256(one, two) == both.hexdigest()
    assert storage.sha256_if_file(tmp_path) is None
    assert storage.settings_sha256(settings) == hashlib.sha256(words).hexdigest()
    with_files = hashlib.sha256(words + one.read_bytes() + two.read_bytes())
    assert storage.settings_sha256(settings, one, two) == with_files.hexdigest()


def test_what_is_moved_aside_takes_the_first_free_name(tmp_path):
    for number in (1, 2):
        (tmp_path / "run").mkdir()
        assert storage.move_aside(tmp_path / "run") == Path(tmp_path, f"run-before-{number}")
    assert not (tmp_path / "run").exists()
