import errno
import gc
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

from configs.errors import DataError
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.shards.catalogue import build_catalogue, packed_clips
from curation.shards.duplicates import (
    DuplicatesConfig,
    Fingerprint,
    distance,
    find_clusters,
    mirror_hashes,
    pack_hashes,
    sample_hashes,
    unpack_hashes,
)
from curation.shards.manifest import manifest_rows, write_manifest
from curation.shards.shards import (
    PackedClip,
    ShardsConfig,
    index_path,
    pack_shards,
    plan_shards,
    split_of,
)
from datasets.storage import store_folder, write_file

ROOT = Path(__file__).parents[3]


def packed(folder: Path, key: str, split: str = "train", size: int = 100) -> PackedClip:
    files = {"mp4": key.encode() * size, "garment.png": b"g" * size}
    path = folder / store_folder(folder, files)
    return PackedClip(key=key, split=split, folder=path, record={"clip_id": key})


def pack(
    clips: list[PackedClip], out: Path, config: ShardsConfig, known: dict[str, str] | None = None
) -> tuple[dict[str, str], int]:
    plan = plan_shards(clips, config, known)
    return plan, pack_shards(clips, out, plan)


def hashes_in(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*.tar"))
    }


def test_shards_are_the_same_bytes_in_any_order_and_on_any_day(tmp_path):
    clips = [packed(tmp_path / "clips", f"clip_{i:02d}") for i in range(7)]
    pack(clips, tmp_path / "one", ShardsConfig(max_clips=3))
    time.sleep(0.01)
    pack(clips[::-1], tmp_path / "two", ShardsConfig(max_clips=3))
    assert hashes_in(tmp_path / "one") == hashes_in(tmp_path / "two")
    assert len(hashes_in(tmp_path / "one")) == 3


def test_a_second_packing_writes_nothing_and_a_changed_clip_only_its_shard(tmp_path):
    clips = [packed(tmp_path / "clips", f"clip_{i:02d}") for i in range(6)]
    config = ShardsConfig(max_clips=2)
    shard_of, written = pack(clips, tmp_path / "out", config)
    assert written == 3
    assert shard_of["clip_03"] == "train-000001.tar"
    assert pack(clips, tmp_path / "out", config)[1] == 0
    clips[5] = replace(clips[5], record={"clip_id": "clip_05", "licence": "CC0"})
    assert pack(clips, tmp_path / "out", config)[1] == 1
    assert pack(clips[:4], tmp_path / "out", config)[1] == 0
    assert sorted(hashes_in(tmp_path / "out")) == ["train-000000.tar", "train-000001.tar"]


def test_the_index_says_where_every_member_lies(tmp_path):
    pack([packed(tmp_path / "c", "a"), packed(tmp_path / "c", "b")], tmp_path / "out",
                ShardsConfig())  # fmt: skip
    shard = tmp_path / "out" / "train-000000.tar"
    index = json.loads(index_path(shard).read_text())
    assert index["sha256"] == hashlib.sha256(shard.read_bytes()).hexdigest()
    data = shard.read_bytes()
    with tarfile.open(shard) as archive:
        for sample in index["samples"]:
            for member, (offset, size) in sample["members"].items():
                file = archive.extractfile(f"{sample['key']}.{member}")
                assert file is not None
                assert file.read() == data[offset : offset + size]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset's own
def test_webdataset_reads_the_shards_as_they_are(tmp_path):
    clips = [packed(tmp_path / "clips", f"clip{number}") for number in range(3)]
    pack(clips, tmp_path / "out", ShardsConfig())
    (shard,) = (tmp_path / "out").glob("*.tar")
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    gc.collect()
    assert [sample["__key__"] for sample in samples] == ["clip0", "clip1", "clip2"]
    for sample, clip in zip(samples, clips, strict=True):
        for path in clip.folder.iterdir():
            assert sample[path.name] == path.read_bytes()


def test_a_half_written_file_never_appears_under_its_name(tmp_path):
    def fail(file):
        file.write(b"half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_file(tmp_path / "shard.tar", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    def fill_the_disk(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"shard\.tar cannot be written .*make room"):
        write_file(tmp_path / "shard.tar", fill_the_disk)
    assert list(tmp_path.iterdir()) == []


def test_the_same_tracks_are_stored_once(tmp_path):
    first = store_folder(tmp_path, {"mp4": b"1", "json": b"2"})
    assert store_folder(tmp_path, {"json": b"2", "mp4": b"1"}) == first
    assert store_folder(tmp_path, {"json": b"2", "mp4": b"3"}) != first
    assert len(list(tmp_path.glob("*/*"))) == 2


def test_splits_depend_on_the_group_alone(tmp_path):
    config = ShardsConfig(val_share=0.3)
    splits = [split_of(f"group {i}", config) for i in range(2000)]
    assert 0.25 < splits.count("val") / 2000 < 0.35
    assert split_of("group 7", config) == splits[7]


def source(sha: str, split: str | None = None, group: str | None = None) -> SourceRow:
    return SourceRow(
        sha256=sha, name=f"{sha}.mp4", group=group or sha, num_bytes=1, fingerprint="f",
        sidecar={"split": split} if split else {},
    )  # fmt: skip


def clip(sha: str, seed: int, size: int = 512, start: float = 0.0) -> ClipRow:
    hashes = np.random.default_rng(seed).integers(-1, 2, (12, 256)).astype(np.int8)
    record = {
        "height": size, "width": size, "start_s": start, "end_s": start + 3.0,
        "scene_start_s": start, "scene_end_s": start + 3.0, "num_people": 1,
        "hashes": pack_hashes(hashes),
    }  # fmt: skip
    return ClipRow(
        clip_id=f"{sha}_{round(start * 1000):08d}", source_sha256=sha, status="kept", code=None,
        evidence={}, record=record, folder="aa/bb",
    )  # fmt: skip


def test_of_two_copies_the_better_stays_and_their_sources_share_a_split():
    sources = [source(name) for name in "abc"]
    clips = [clip("a", 1, 256), clip("b", 1, 512), clip("a", 2, start=5.0), clip("c", 3)]
    entries = build_catalogue(sources, clips, DuplicatesConfig(), ShardsConfig(val_share=0.5))
    by_id = {entry.clip.clip_id: entry for entry in entries}
    assert by_id["a_00000000"].clip.code == "near_duplicate"
    assert by_id["a_00000000"].clip.evidence["same_as"] == "b_00000000"
    assert by_id["a_00005000"].split == by_id["b_00000000"].split
    assert by_id["a_00005000"].group == by_id["b_00000000"].group
    assert by_id["c_00000000"].is_kept


def test_a_copy_of_a_benchmark_clip_never_trains():
    sources = [source("a"), source("b", split="bench")]
    entries = build_catalogue(
        sources, [clip("a", 1, 1024), clip("b", 1, 256)], DuplicatesConfig(), ShardsConfig()
    )
    kept = [entry for entry in entries if entry.is_kept]
    assert [(entry.clip.clip_id[0], entry.split) for entry in kept] == [("b", "bench")]


def test_mirrored_and_shifted_copies_are_found_and_others_are_not(moving):
    def thumbs_of(seed: int) -> np.ndarray:
        return np.stack([cv2.resize(f[..., 1], (17, 16)) for f in moving(seed, 90)])

    thumbs = thumbs_of(5)
    times = np.arange(90) / 30.0
    whole = sample_hashes(times, thumbs, (0.0, 3.0), 4.0)
    later = sample_hashes(times, thumbs, (0.5, 3.0), 4.0)
    assert (unpack_hashes(pack_hashes(whole)) == whole).all()
    assert distance(whole, later, 4) < 0.02
    assert distance(whole, mirror_hashes(later), 4) < 0.02
    assert distance(whole, sample_hashes(times, thumbs_of(6), (0.0, 3.0), 4.0), 4) > 0.2
    prints = [
        Fingerprint(clip_id=name, hashes=hashes, pixels=1, duration_s=3.0)
        for name, hashes in (("one", whole), ("two", later))
    ]
    assert len(find_clusters(prints, DuplicatesConfig())) == 1


def test_the_manifest_has_a_row_for_every_candidate_and_every_lost_source(tmp_path):
    lost = replace(source("z"), code="not_a_video", evidence={"detail": "text"})
    sources, clips = [source("a"), lost], [clip("a", 1)]
    entries = build_catalogue(sources, clips, DuplicatesConfig(), ShardsConfig(val_share=0.0))
    rows = manifest_rows(entries, sources, {"a_00000000": "train-000000.tar"})
    write_manifest(tmp_path / "manifest.parquet", rows)
    kept, rejected = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert (kept["status"], kept["reason"], kept["num_people"]) == ("kept", None, 1)
    assert (kept["scene_start_s"], kept["scene_end_s"]) == (0.0, 3.0)
    assert kept["shard"] == "train-000000.tar"
    assert (rejected["status"], rejected["reason"]) == ("rejected", "not_a_video")
    assert json.loads(rejected["evidence"]) == {"detail": "text"}
    assert packed_clips(entries, tmp_path)[0].record["source"] == "a.mp4"


def test_the_ledger_gives_back_what_it_was_told_and_replaces_a_source_at_once(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record(source("a"), [clip("a", 1), clip("a", 2, start=5.0)])
        ledger.record(source("a"), [clip("a", 3)])
        assert ledger.clips() == [clip("a", 3)]
        made = replace(clip("a", 4), record={"request": "r1"})
        ledger.record(source("a"), [made])
        ledger.record(source("a"), [])
        assert ledger.clips() == []
        assert ledger.made_of("a") == {"r1": made}
        assert ledger.sources() == [source("a")]
        assert ledger.fingerprint_of("a") == "f"
        assert ledger.fingerprint_of("b") is None


def test_hashes_of_unchanged_files_are_remembered(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"one")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        first = ledger.hash_of(path)
        stamp = path.stat()
        path.write_bytes(b"two")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert ledger.hash_of(path) == first  # same size, same time: not read again
        path.write_bytes(b"three")
        assert ledger.hash_of(path) != first


def test_a_foreign_ledger_is_one_sentence(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all, just text " * 50)
    with pytest.raises(DataError, match="is not a curation ledger"):
        Ledger(tmp_path / "ledger.sqlite")
    with Ledger(tmp_path / "newer.sqlite"):
        pass
    with sqlite3.connect(tmp_path / "newer.sqlite") as database:
        database.execute("UPDATE meta SET value='9' WHERE key='schema'")
    database.close()
    with pytest.raises(DataError, match="schema 9"):
        Ledger(tmp_path / "newer.sqlite")


KILLED = """
import sys
from pathlib import Path
from curation.shards.shards import PackedClip, ShardsConfig, pack_shards, plan_shards
from datasets.storage import store_folder
root = Path(sys.argv[1])
print("started", flush=True)
while True:
    clips = []
    for i in range(40):
        name = store_folder(root / "clips", {"mp4": bytes([i]) * 40_000})
        clips.append(PackedClip(key=f"k{i}", split="train", folder=root / "clips" / name,
                                record={"n": i}))
    pack_shards(clips, root / "shards", plan_shards(clips, ShardsConfig(max_clips=10)))
    for path in (root / "shards").glob("*.tar"):
        path.unlink()
"""


def test_a_kill_at_any_moment_leaves_whole_shards_and_the_next_run_the_same_bytes(tmp_path):
    clips = [packed(tmp_path / "w", f"k{i}") for i in range(4)]
    pack(clips, tmp_path / "warm", ShardsConfig())
    delays = np.random.default_rng(0).uniform(0.02, 0.4, 4)
    for delay in delays:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(delay))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for shard in (tmp_path / "shards").glob("*.tar"):
            with tarfile.open(shard) as archive:
                assert len(archive.getnames()) == 20
        for folder in (tmp_path / "clips").glob("??/*"):
            assert (folder / "mp4").stat().st_size == 40_000
    root = tmp_path / "clips"
    final = [
        PackedClip(
            key=f"k{i}",
            split="train",
            folder=root / store_folder(root, {"mp4": bytes([i]) * 40_000}),
            record={"n": i},
        )
        for i in range(40)
    ]
    pack(final, tmp_path / "shards", ShardsConfig(max_clips=10))
    pack(final, tmp_path / "unbroken", ShardsConfig(max_clips=10))
    assert hashes_in(tmp_path / "shards") == hashes_in(tmp_path / "unbroken")


def test_a_clip_stays_in_its_shard_when_others_come_and_go(tmp_path):
    config = ShardsConfig(max_clips=3)
    clips = [packed(tmp_path / "c", f"m{i}") for i in range(8)]
    plan, _ = pack(clips, tmp_path / "out", config)
    before = hashes_in(tmp_path / "out")
    more = [*clips[:4], *clips[5:], packed(tmp_path / "c", "a0"), packed(tmp_path / "c", "z9")]
    later, written = pack(more, tmp_path / "out", config, plan)
    assert {key: later[key] for key in plan if key != "m4"} == {
        key: name for key, name in plan.items() if key != "m4"
    }
    assert (later["a0"], later["z9"]) == ("train-000002.tar", "train-000003.tar")
    assert written == 3  # the one that lost m4, the last one that had room, a new one
    assert hashes_in(tmp_path / "out")["train-000000.tar"] == before["train-000000.tar"]


def test_shards_that_became_too_large_are_dealt_out_anew(tmp_path):
    clips = [packed(tmp_path / "c", f"m{i}") for i in range(6)]
    plan = plan_shards(clips, ShardsConfig(max_clips=6))
    smaller = plan_shards(clips, ShardsConfig(max_clips=2), plan)
    assert sorted(set(smaller.values())) == [f"train-{n:06d}.tar" for n in range(3)]
    moved = plan_shards([replace(clips[0], split="val"), *clips[1:]], ShardsConfig(), plan)
    assert moved["m0"] == "val-000000.tar"
