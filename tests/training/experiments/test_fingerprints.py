"""Marks tell what was made from what; a folder of another mark is moved aside, never mixed."""

from pathlib import Path

import pytest

import curation.versions
from training.experiments.fingerprints import CURATION, claim, fingerprint


def test_curations_versions_are_read_where_they_are_written():
    assert Path(curation.versions.__file__) == CURATION


def test_a_mark_is_of_words_settings_and_code_and_not_of_comments(tmp_path):
    base, stage = tmp_path / "base.yaml", tmp_path / "stage.yaml"
    base.write_text("lr: 1\n")
    stage.write_text("extends: base.yaml\nmax_steps: 1\n")
    words = ("training.fit", str(stage), "seed=0")
    before = fingerprint([words])
    stage.write_text("# longer\nextends: base.yaml\nmax_steps: 1 # one\n")
    assert fingerprint([words]) == before
    base.write_text("lr: 2\n")
    assert fingerprint([words]) != before
    assert fingerprint([(*words[:-1], "seed=1")]) != fingerprint([words])


@pytest.mark.parametrize("content", ["another mark", None])
def test_what_was_made_of_something_else_is_moved_aside_and_kept(tmp_path, content, caplog):
    folder = tmp_path / "dance"
    for time in (1, 2):
        folder.mkdir()
        (folder / "shard.tar").write_text(f"old {time}")
        if content is not None:
            (folder / ".made_from").write_text(content)
        assert not claim(folder, "mark")
        assert [path.name for path in folder.iterdir()] == [".made_from"]
        assert claim(folder, "mark")
        assert (tmp_path / f"dance-before-{time}" / "shard.tar").read_text() == f"old {time}"
        assert f"moved to {tmp_path / f'dance-before-{time}'}, and made again" in caplog.text
        (folder / ".made_from").unlink()
        folder.rmdir()
