"""A purged source is gone from everything, and nothing else is touched."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.errors import ConfigError, DataError
from curation import purge, verify
from curation.ledger import Ledger
from curation.publish import Published, publish
from tests.output_fixtures import config_of, stored_source, write_output


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("purge") / "out"
    write_output(out, num_sources=6)
    return out


@pytest.fixture
def output(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "out"))


def shards_of(out):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted((out / "shards").glob("*"))}  # fmt: skip


def test_only_the_shard_that_held_it_is_written_anew(output):
    before = shards_of(output)
    assert len(before) == 6  # three tars of two clips, three indices
    purge.main([str(output), "dancer 2.mp4"])
    after = shards_of(output)
    assert {name for name in before if before[name] != after[name]} == {
        "train-000001.tar",
        "train-000001.json",
    }
    assert set(after) == set(before)
    assert verify.main([str(output)]) == 0


def test_nothing_of_a_purged_source_is_left(output):
    sha = "02" * 32
    (folder,) = (
        output / "clips" / row["folder"] for row in _clip_rows(output) if row["sha"] == sha
    )
    assert folder.is_dir()
    purge.main([str(output), sha[:12]])
    assert not folder.exists()
    for path in sorted(output.rglob("*")):
        if path.is_file() and not path.name.startswith("ledger"):
            content = path.read_bytes()
            assert sha[:16].encode() not in content, path
            assert b"dancer 2.mp4" not in content, path
        assert sha[:16] not in path.name
    stored = b"".join(path.read_bytes() for path in output.glob("ledger*"))
    assert b"dancer 2.mp4" not in stored
    assert sha[:16].encode() + b"_" not in stored
    assert pq.read_table(output / "manifest.parquet").num_rows == 6  # five clips, one foreign file
    with Ledger(output / "ledger.sqlite") as ledger:
        assert ledger.purged() == {sha}


def _clip_rows(out):
    with Ledger(out / "ledger.sqlite") as ledger:
        return [{"sha": clip.source_sha256, "folder": clip.folder} for clip in ledger.clips()]


def test_a_copy_does_not_take_its_place_in_silence(output, caplog):
    config = config_of(output)
    with Ledger(output / "ledger.sqlite") as ledger:
        ledger.record(*stored_source(config, 9, seed=2))
        publish(config, ledger, Published(num_sources=7, num_decoded=1))
    rows = pq.read_table(output / "manifest.parquet").to_pylist()
    assert [row["source"] for row in rows if row["reason"] == "near_duplicate"] == ["dancer 9.mp4"]
    again = Path(shutil.copytree(output, output.parent / "again"))
    purge.main([str(output), "dancer 2.mp4"])
    assert "dancer 9.mp4" in caplog.text
    assert "copies=true" in caplog.text
    purge.main([str(again), "dancer 2.mp4", "copies=true"])
    with Ledger(again / "ledger.sqlite") as ledger:
        assert ledger.purged() == {"02" * 32, "09" * 32}


def test_an_unbroken_purge_and_one_that_was_killed_half_way_end_alike(output):
    again = Path(shutil.copytree(output, output.parent / "again"))
    purge.main([str(output), "dancer 2.mp4"])
    with Ledger(again / "ledger.sqlite") as ledger:
        ledger.purge("02" * 32)  # killed here
    purge.main([str(again), "02" * 32])
    assert {name: data for name, (data, _) in shards_of(output).items()} == {
        name: data for name, (data, _) in shards_of(again).items()
    }
    assert not list((again / "signals").glob("02*"))


def test_a_name_that_means_nothing_takes_nothing_out(output):
    before = shards_of(output)
    with pytest.raises(DataError, match=r"no source named 'dancer 77\.mp4' .*similar names"):
        purge.main([str(output), "dancer 2.mp4", "dancer 77.mp4"])
    with pytest.raises(ConfigError, match="no source is named"):
        purge.main([str(output)])
    assert shards_of(output) == before
