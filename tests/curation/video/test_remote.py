"""Sources and results at a URL: fetched once, sent whole, nothing done twice."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from configs.errors import ConfigError, DataError
from configs.loading import load_config, save_config
from curation import purge, refilter, run
from curation.ledger import Ledger
from curation.settings import CurateConfig
from curation.shards.upload import send
from curation.video.remote import fetch, open_place
from datasets.shards import index_split
from tests.judged_fixtures import write_judged
from tests.output_fixtures import CONFIG, write_output


@pytest.fixture
def bucket():
    """An empty store in memory, and how to fill it."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_files_are_fetched_once_and_again_when_they_change(bucket, tmp_path, caplog):
    bucket.pipe("/raw/a dance 💃.mp4", b"one")
    bucket.pipe("/raw/deep/b.mp4", b"two")
    bucket.pipe("/raw/deep/b.json", b"{}")
    bucket.pipe("/raw/.hidden.mp4", b"no")
    with caplog.at_level("INFO"):
        folder = fetch("memory://raw", tmp_path)
        assert fetch("memory://raw", tmp_path) == folder
    assert "3 of 3 files fetched" in caplog.text
    assert "0 of 3 files fetched" in caplog.text
    assert (folder / "a dance 💃.mp4").read_bytes() == b"one"
    assert not (folder / ".hidden.mp4").exists()
    bucket.pipe("/raw/deep/b.mp4", b"three")
    bucket.rm("/raw/a dance 💃.mp4")
    fetch("memory://raw", tmp_path)
    assert (folder / "deep" / "b.mp4").read_bytes() == b"three"
    assert not (folder / "a dance 💃.mp4").exists()


def test_a_part_of_a_run_fetches_its_part_and_all_sidecars(bucket, tmp_path):
    for name in "abcd":
        bucket.pipe(f"/raw/{name}.mp4", name.encode())
        bucket.pipe(f"/raw/{name}.json", b"{}")
    folder = fetch("memory://raw", tmp_path, lambda name: name in ("a.mp4", "c.mp4"))
    videos = sorted(path.name for path in folder.glob("*.mp4"))
    assert videos == ["a.mp4", "c.mp4"]
    assert len(list(folder.glob("[a-d].json"))) == 4


def test_what_is_sent_is_what_a_trainer_reads_and_only_changes_are_sent_again(bucket, tmp_path):
    out = tmp_path / "out"
    write_output(out, num_sources=4)
    (out / "cost.json").write_text("{}")  # a run that measured its steps writes it
    # two shards and their indices, manifest, report, costs, config, ledger
    assert send(out, "memory://results/dance") == 9
    copy = tmp_path / "copy"
    bucket.get("/results/dance/", str(copy), recursive=True)
    assert [s.key for s in index_split(copy, "train")] == [s.key for s in index_split(out, "train")]
    for path in sorted((out / "shards").iterdir()):
        assert (copy / "shards" / path.name).read_bytes() == path.read_bytes()
    with Ledger(copy / "ledger.sqlite") as ledger:
        assert len(ledger.clips()) == 4
    assert not [name for name in bucket.find("/results") if ".writing-" in name]
    before = json.loads(bucket.cat("/results/dance/sent.json"))["sent"]
    assert (copy / "cost.json").read_text() == "{}"
    assert send(out, "memory://results/dance") == 0
    (shard,) = (out / "shards").glob("train-000001.tar")
    shard.with_suffix(".json").unlink()
    shard.unlink()
    assert send(out, "memory://results/dance") == 0
    after = json.loads(bucket.cat("/results/dance/sent.json"))["sent"]
    assert before.keys() - after.keys() == {"shards/train-000001.tar", "shards/train-000001.json"}
    assert not bucket.exists("/results/dance/shards/train-000001.tar")


def test_a_broken_upload_leaves_no_half_file_under_its_name_and_the_next_one_mends_it(
    bucket, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    write_output(out, num_sources=2)
    whole = type(bucket).put_file

    def break_off(self, local, target, **kwargs):
        self.pipe(target, Path(local).read_bytes()[:10])
        raise OSError("the line is dead")

    monkeypatch.setattr(type(bucket), "put_file", break_off)
    with pytest.raises(DataError, match="memory://r cannot be reached: the line is dead"):
        send(out, "memory://r")
    assert not bucket.exists("/r/shards/train-000000.tar")
    assert not bucket.exists("/r/sent.json")
    monkeypatch.setattr(type(bucket), "put_file", whole)
    send(out, "memory://r")
    tar = (out / "shards" / "train-000000.tar").read_bytes()
    assert bucket.cat("/r/shards/train-000000.tar") == tar


def test_a_run_reads_from_one_url_and_writes_to_another(bucket, tmp_path, monkeypatch):
    bucket.pipe("/raw/page.mp4", b"<html>")
    words = [
        str(CONFIG), "src=memory://raw", f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}",
        "perception=embedded", "workers=1", "send=memory://done",
    ]  # fmt: skip
    monkeypatch.setattr(run, "work_off", _nothing_to_do)
    assert run.main(words) == 0
    assert bucket.exists("/done/manifest.parquet")
    assert bucket.exists("/done/ledger.sqlite")


def test_what_is_purged_or_judged_otherwise_leaves_the_store_too(bucket, tmp_path):
    out, judged = tmp_path / "out", tmp_path / "judged"
    config = write_output(out, num_sources=4)
    save_config(replace(config, send="memory://done"), out / "config.yaml")
    send(out, "memory://done")
    assert any(b"dancer 2.mp4" in bucket.cat(name) for name in bucket.find("/done/shards"))
    purge.main([str(out), "dancer 2.mp4"])
    for name in bucket.find("/done"):
        assert b"dancer 2.mp4" not in bucket.cat(name), name
    assert any(b"dancer 1.mp4" in bucket.cat(name) for name in bucket.find("/done/shards"))
    write_judged(judged, 2, 4.0, "selection.quality.min_sharpness=10", fps=10.0)
    words = [str(judged), "send=memory://judged", "selection.quality.min_sharpness=50"]
    refilter.main([*words, "dry_run=true"])
    assert not bucket.find("/judged")
    refilter.main(words)
    assert bucket.cat("/judged/manifest.parquet") == (judged / "manifest.parquet").read_bytes()


def _nothing_to_do(jobs, *_):
    assert [job.name for job in jobs] == ["page.mp4"]
    assert jobs[0].source.path.read_bytes() == b"<html>"
    return run.Published(num_sources=1)


def test_what_a_stores_own_library_says_is_one_sentence(bucket, tmp_path, monkeypatch):
    class BotoCoreError(Exception):
        pass

    def refuse(*_, **__):
        raise BotoCoreError("Unable to locate credentials")

    library = SimpleNamespace(BotoCoreError=BotoCoreError)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", library)
    monkeypatch.setattr(type(bucket), "find", refuse)
    with pytest.raises(DataError, match="memory://raw cannot be reached: Unable to loc"):
        fetch("memory://raw", tmp_path)


def test_mistakes_are_one_sentence(bucket, tmp_path):
    with pytest.raises(DataError, match="memory://nothing contains no files"):
        fetch("memory://nothing", tmp_path)
    with pytest.raises(ConfigError, match="unsupported protocol nonsense://"):
        open_place("nonsense://bucket")
    with pytest.raises(ConfigError, match="give a local folder, and send=s3://b"):
        load_config(CurateConfig, CONFIG, ["out=s3://b"])
    with pytest.raises(ConfigError, match="dry_run=true needs local videos"):
        load_config(CurateConfig, CONFIG, ["src=s3://b", "dry_run=true"])


def test_a_missing_speaker_of_a_protocol_is_named():
    try:
        import s3fs  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(ConfigError, match=r"unsupported protocol s3://: .*s3fs"):
            open_place("s3://bucket/raw")
    else:
        pytest.skip("s3fs is installed")
