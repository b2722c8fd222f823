from pathlib import Path

import numpy as np
import pytest

from configs.errors import DataError
from datasets.shards import TRACK_MEMBERS, find_shards, index_shard, index_split
from datasets.tracks import read_frames


def test_every_sample_is_found_with_its_record_in_stored_order(shard_root: Path) -> None:
    samples = index_split(shard_root, "train")
    assert [sample.key for sample in samples] == [f"train-{n:03d}" for n in range(4)]
    assert all(sample.num_frames == 12 for sample in samples)


def test_a_read_fetches_exactly_the_stored_bytes_of_the_asked_members(shard_root: Path) -> None:
    import tarfile

    sample = index_split(shard_root, "train")[2].read(["box.npy", "garment.png"])
    assert set(sample.files) == {"box.npy", "garment.png"}
    with tarfile.open(shard_root / "shards" / "train-000000.tar") as archive:
        stored = archive.extractfile("train-002.garment.png")
        assert stored is not None
        assert stored.read() == sample.files["garment.png"]


def test_a_track_read_by_random_access_equals_the_whole_track(shard_root: Path) -> None:
    sample = index_split(shard_root, "train")[0].read(TRACK_MEMBERS)
    whole = read_frames(sample.files["mp4"])
    assert np.array_equal(read_frames(sample.files["mp4"], [9, 2, 5]), whole[[9, 2, 5]])


def test_a_missing_folder_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make curate"):
        find_shards(tmp_path / "nothing", "train")


def test_a_missing_split_is_named_with_what_is_there(shard_root: Path) -> None:
    with pytest.raises(DataError, match=r"no bench-\*\.tar; it holds train-000000\.tar"):
        find_shards(shard_root, "bench")


def test_a_truncated_shard_is_named(shard_root: Path, tmp_path: Path) -> None:
    content = (shard_root / "shards" / "train-000000.tar").read_bytes()
    broken = tmp_path / "train-000000.tar"
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"train-000000\.tar"):
        index_shard(broken)


def test_a_sample_without_a_track_is_named(tmp_path: Path) -> None:
    import io
    import tarfile

    path = tmp_path / "train-000000.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("clip-1.mp4")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(DataError, match=r"sample 'clip-1' has no mask\.mp4"):
        index_shard(path)
