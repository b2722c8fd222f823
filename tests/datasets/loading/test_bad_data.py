"""Shards and samples as the world leaves them: the run goes on, or stops with one sentence."""

import io
import json
import logging
import os
import shutil
import tarfile
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from configs.errors import DataError
from datasets.loading.config import DataConfig
from datasets.loading.datamodule import TryOnData
from datasets.shards import scan_shard
from tests.shard_fixtures import sample_members

Members = dict[str, bytes]


def write_tar(path: Path, samples: dict[str, Members]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, members in samples.items():
            for member, content in members.items():
                info = tarfile.TarInfo(f"{key}.{member}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def write_index(shard: Path, num_bytes: int) -> None:
    """What curation notes beside a shard."""
    samples = [
        {"key": s.key, "members": {name: list(place) for name, place in s.members.items()}}
        for s in scan_shard(shard).samples
    ]
    index = {"num_bytes": num_bytes, "content": "abc", "samples": samples}
    shard.with_suffix(".json").write_text(json.dumps(index))


@pytest.fixture(scope="module")
def good() -> dict[str, Members]:
    random = np.random.default_rng(0)
    return {f"clip-{n:02d}": sample_members(f"clip-{n:02d}", 6, random) for n in range(6)}


@pytest.fixture
def unequal(good: dict[str, Members]) -> dict[str, Members]:
    """Six clips; the masks of clip-03 are one frame longer than its video."""
    longer = sample_members("clip-03", 7, np.random.default_rng(9))["mask.mp4"]
    return {**good, "clip-03": {**good["clip-03"], "mask.mp4": longer}}


def data_for(root: Path, **settings: object) -> TryOnData:
    values: dict[str, object] = {
        "roots": [str(root)], "num_frames": 3, "batch_size": 2, "num_workers": 0,
        "num_validation_clips": 0, "max_bad_share": 0.5, **settings,
    }  # fmt: skip
    data = TryOnData(DataConfig(**values), 32, 32, 0)  # type: ignore[arg-type]
    data.setup()
    return data


def shown(data: TryOnData, count: int, step: int = 0) -> dict[int, str]:
    """Number -> key."""
    batches = islice(iter(data.loader_from(step)), count)
    return {int(n): k for b in batches for n, k in zip(b.numbers, b.keys, strict=True)}


def test_a_sample_with_unequal_tracks_is_named_once_counted_and_replaced(
    good: dict[str, Members], unequal: dict[str, Members], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    write_tar(tmp_path / "good/shards/train-000000.tar", good)
    write_tar(tmp_path / "bad/shards/train-000000.tar", unequal)
    data = data_for(tmp_path / "bad")
    with caplog.at_level(logging.WARNING):
        found, expected = shown(data, 6), shown(data_for(tmp_path / "good"), 6)
        data.teardown("fit")
    replaced = [number for number, key in expected.items() if key == "clip-03"]
    assert len(replaced) == 2  # two epochs of six
    assert "clip-03" not in found.values()
    assert {n: k for n, k in found.items() if n not in replaced} == {
        n: k for n, k in expected.items() if n not in replaced
    }
    named = [r.message for r in caplog.records if "is skipped" in r.message]
    assert len(named) == 1
    assert "sample 'clip-03' is skipped" in named[0]
    assert "'mask.mp4': 7" in named[0]
    assert "clip-03', 2 times" in caplog.text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_and_resumed_runs_replace_a_bad_sample_alike(
    unequal: dict[str, Members], tmp_path: Path
) -> None:
    write_tar(tmp_path / "shards/train-000000.tar", unequal)
    alone = shown(data_for(tmp_path), 6)
    assert shown(data_for(tmp_path, num_workers=2), 6) == alone
    resumed = shown(data_for(tmp_path, num_workers=1), 4, step=2)
    assert resumed == {n: k for n, k in alone.items() if n >= 4}


@pytest.mark.parametrize("indexed", [False, True])
def test_of_a_truncated_shard_what_is_whole_is_used_and_what_is_lost_is_named(
    good: dict[str, Members], tmp_path: Path, indexed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    shard = tmp_path / "shards/train-000000.tar"
    write_tar(shard, good)
    whole = scan_shard(shard).samples
    if indexed:
        write_index(shard, shard.stat().st_size)
    offset, size = whole[4].members["mask.mp4"]
    os.truncate(shard, offset + size // 2)
    with caplog.at_level(logging.WARNING):
        keys = set(shown(data_for(tmp_path), 8).values())
    assert keys == {f"clip-{n:02d}" for n in range(4)}
    assert "sample 'clip-04' is skipped" in caplog.text
    assert ("sample 'clip-05' is skipped" in caplog.text) == indexed


def test_a_shard_that_is_no_tar_is_named_beside_good_ones(
    good: dict[str, Members], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tar(tmp_path / "shards/train-000000.tar", good)
    (tmp_path / "shards/train-000001.tar").write_bytes(b"not a tar file" * 100)
    with caplog.at_level(logging.WARNING):
        assert len(set(shown(data_for(tmp_path), 6).values())) == 6
    assert "train-000001.tar is skipped: is not a complete, uncompressed tar" in caplog.text


@pytest.mark.parametrize("num_frames", ["absent", None, "six", 0])
def test_a_sample_whose_json_says_no_number_of_frames_is_named_and_the_others_are_used(
    good: dict[str, Members],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    num_frames: object,
) -> None:
    record = {**json.loads(good["clip-02"]["json"]), "num_frames": num_frames}
    if num_frames == "absent":
        del record["num_frames"]
    bad = {**good["clip-02"], "json": json.dumps(record).encode()}
    write_tar(tmp_path / "shards/train-000000.tar", {**good, "clip-02": bad})
    data = data_for(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert set(shown(data, 6).values()) == good.keys() - {"clip-02"}
    assert "sample 'clip-02' is skipped: has an invalid json, or one without" in caplog.text
    with pytest.raises(DataError, match=r"1 of 6 clips cannot be read.*'clip-02'"):
        data_for(tmp_path, max_bad_share=0.1)


def test_more_bad_clips_than_allowed_stop_the_run_with_one_sentence(
    unequal: dict[str, Members], tmp_path: Path
) -> None:
    write_tar(tmp_path / "shards/train-000000.tar", unequal)
    told = r"1 of 6 clips cannot be read, more than data\.max_bad_share = 0\.1 allows; .*'clip-03'"
    with pytest.raises(DataError, match=told):
        shown(data_for(tmp_path, max_bad_share=0.1), 6)


def test_all_that_a_truncated_shard_lost_is_counted_before_the_run_is_stopped(
    good: dict[str, Members], tmp_path: Path
) -> None:
    shard = tmp_path / "shards/train-000000.tar"
    write_tar(shard, good)
    write_index(shard, shard.stat().st_size)
    os.truncate(shard, scan_shard(shard).samples[3].members["mp4"][0])
    with pytest.raises(DataError, match=r"^3 of 6 clips cannot be read, more than"):
        data_for(tmp_path, max_bad_share=0.1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_200_bad_samples_in_a_row_stop_the_run_with_one_sentence(
    good: dict[str, Members], tmp_path: Path, num_workers: int
) -> None:
    bad = {name: b"" if name == "garment.png" else c for name, c in good["clip-00"].items()}
    write_tar(tmp_path / "shards/train-000000.tar", {f"bad-{n:03d}": bad for n in range(210)})
    with pytest.raises(DataError) as caught:
        shown(data_for(tmp_path, max_bad_share=1.0, num_workers=num_workers), 1)
    assert str(caught.value).startswith("200 samples in a row cannot be read, the last one is ")
    assert "\n" not in str(caught.value)


def test_a_read_that_hangs_is_left_behind_and_counted(
    good: dict[str, Members], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe that nobody writes to hangs whoever opens it, as a dead file system does."""
    for number, key in enumerate(good):
        write_tar(tmp_path / f"shards/train-{number:06d}.tar", {key: good[key]})
    data = data_for(tmp_path, read_timeout_s=0.2)
    hanging = tmp_path / "shards/train-000002.tar"
    hanging.unlink()
    os.mkfifo(hanging)
    with caplog.at_level(logging.WARNING):
        found = shown(data, 6)
    assert "clip-02" not in found.values()
    assert "sample 'clip-02' is skipped: no answer within 0.2 s" in caplog.text
    writer = os.open(hanging, os.O_RDWR | os.O_NONBLOCK)  # lets the thread go
    os.close(writer)


def test_a_watchdog_hands_on_results_and_errors_and_survives_a_hang() -> None:
    from datasets.loading.watchdog import Watchdog

    dog = Watchdog(0.2)
    assert dog.run(lambda: 3) == 3
    with pytest.raises(KeyError, match="lost"):
        dog.run(lambda: {}["lost"])
    gate = threading.Event()
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        dog.run(gate.wait)
    gate.set()
    assert dog.run(lambda: 4) == 4


def test_clips_that_changed_since_a_checkpoint_are_said(
    good: dict[str, Members], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tar(tmp_path / "a/shards/train-000000.tar", good)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    state = data_for(tmp_path / "a").state_dict()
    with caplog.at_level(logging.WARNING):
        data_for(tmp_path / "b").load_state_dict(state)
    assert not caplog.records
    write_tar(tmp_path / "b/shards/train-000001.tar", {"new": good["clip-00"]})
    with caplog.at_level(logging.WARNING):
        data_for(tmp_path / "b").load_state_dict(state)
    assert "other samples than an unbroken run would" in caplog.text
