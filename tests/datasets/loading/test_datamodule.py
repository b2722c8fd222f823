from itertools import islice
from pathlib import Path

import pytest
import torch

from configs.errors import DataError
from datasets.loading.collate import PackedBatch
from datasets.loading.config import DataConfig
from datasets.loading.datamodule import TryOnData
from datasets.sample import NumberedBatch


def data_for(root: Path, seed: int = 0, **settings: object) -> TryOnData:
    defaults: dict[str, object] = {
        "roots": [str(root)], "num_frames": 4, "strides": [1, 2], "batch_size": 2, "num_workers": 0,
    }  # fmt: skip
    data = TryOnData(DataConfig(**{**defaults, **settings}), 32, 32, seed)  # type: ignore[arg-type]
    data.setup()
    return data


def take(data: TryOnData, step: int, count: int, **ranks: int) -> list[NumberedBatch]:
    batches = islice(iter(data.loader_from(step, **ranks)), count)
    return [batch.unpack() for batch in batches if isinstance(batch, PackedBatch)]


def same(left: NumberedBatch, right: NumberedBatch) -> bool:
    names = ("numbers", "video", "mask", "densepose", "garment", "known")
    same_words = left.keys == right.keys and left.patterns == right.patterns
    return same_words and all(
        torch.equal(getattr(left, name), getattr(right, name)) for name in names
    )


@pytest.fixture(scope="module")
def unbroken(shard_root: Path) -> list[NumberedBatch]:
    """Six batches: three epochs of four clips."""
    return take(data_for(shard_root), 0, 6)


def test_every_epoch_shows_every_clip_once_in_another_order(unbroken) -> None:
    keys = [key for batch in unbroken for key in batch.keys]
    epochs = [keys[first : first + 4] for first in (0, 4, 8)]
    assert all(sorted(epoch) == [f"train-{n:03d}" for n in range(4)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_resuming_mid_epoch_continues_with_the_samples_an_unbroken_run_sees(
    shard_root: Path, unbroken
) -> None:
    resumed = take(data_for(shard_root), 3, 3)
    assert all(same(left, right) for left, right in zip(resumed, unbroken[3:], strict=True))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_workers_give_the_same_batches_as_none(shard_root: Path, unbroken) -> None:
    batches = take(data_for(shard_root, num_workers=2), 1, 4)
    assert all(same(left, right) for left, right in zip(batches, unbroken[1:5], strict=True))


def test_the_cache_changes_nothing_but_the_time(shard_root: Path, unbroken) -> None:
    batches = take(data_for(shard_root, cache_mb=64), 0, 4)
    assert all(same(left, right) for left, right in zip(batches, unbroken[:4], strict=True))


def test_two_ranks_together_see_one_global_batch(shard_root: Path, unbroken) -> None:
    small = data_for(shard_root, batch_size=1)
    ranks = [take(small, 0, 3, rank=rank, world_size=2) for rank in (0, 1)]
    for step in range(3):
        numbers = [int(batches[step].numbers[0]) for batches in ranks]
        assert numbers == unbroken[step].numbers.tolist()
        assert [batches[step].keys[0] for batches in ranks] == unbroken[step].keys


def test_another_seed_gives_other_windows(shard_root: Path, unbroken) -> None:
    other = take(data_for(shard_root, seed=1), 0, 2)
    assert not same(other[0], unbroken[0])


def test_no_clip_long_enough_is_one_sentence(shard_root: Path) -> None:
    with pytest.raises(DataError, match="has 40 frames; the longest has 12"):
        data_for(shard_root, num_frames=40)


def test_validation_windows_are_the_held_out_clips_unswapped(shard_root: Path) -> None:
    batches = [batch.unpack() for batch in data_for(shard_root).val_dataloader()]
    assert [batch.keys for batch in batches] == [["val-000"], ["val-001"]]
    assert not any(batch.known.any() for batch in batches)


def test_a_damaged_track_names_its_sample(shard_root: Path, tmp_path: Path) -> None:
    from datasets.shards import index_split

    folder = tmp_path / "shards"
    folder.mkdir()
    for split in ("train", "val"):
        content = bytearray((shard_root / "shards" / f"{split}-000000.tar").read_bytes())
        for sample in index_split(shard_root, split):
            offset, size = sample.members["iuv.mp4"]
            content[offset : offset + size] = bytes(size)
        (folder / f"{split}-000000.tar").write_bytes(content)
    named = r"4 samples in a row cannot be read.*train-000000\.tar: sample 'train-00\d'"
    with pytest.raises(DataError, match=named):
        take(data_for(tmp_path, num_validation_clips=0, max_bad_share=1.0), 0, 1)
    with pytest.raises(DataError, match=r"no clip of the val shards .* can be read"):
        data_for(tmp_path)
