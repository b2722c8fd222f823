"""Several roots, several sizes, clips mixed with images."""

import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from configs.errors import DataError
from datasets.clips import choose_frames
from datasets.loading.clip_reader import nearest_size
from datasets.loading.config import DataConfig
from datasets.loading.datamodule import TryOnData
from tests.shard_fixtures import write_shards


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Clips, longer clips, and a set of single images."""
    folder = tmp_path_factory.mktemp("roots")
    lengths = {"dance": 6, "fashion": 9, "images": 1}
    for seed, (name, frames) in enumerate(lengths.items()):
        write_shards(folder / name, {"train": 3}, num_frames=frames, seed=seed)
    return [str(folder / name) for name in lengths]


def data_for(roots: list[str], **settings: object) -> TryOnData:
    values = {"roots": roots, "num_frames": 4, "num_workers": 0, "num_validation_clips": 0}
    data = TryOnData(DataConfig(**{**values, **settings}), 32, 32, 0)  # type: ignore[arg-type]
    data.setup()
    return data


def test_images_and_clips_are_mixed_step_by_step_and_images_come_from_all_roots(
    roots: list[str],
) -> None:
    data = data_for(roots, image_share=0.5, images_per_window=3, batch_size=2)
    lengths = {6: 0, 9: 0, 1: 0}
    shapes: set[tuple[bool, tuple[int, ...]]] = set()
    table = data.dataset().table
    for step in islice(data.sample_order().steps(), 40):
        for ticket in step.tickets:
            stream = data.dataset().streams[ticket.stream]
            row = stream.rows[ticket.position % len(stream.rows)]
            lengths[int(table.num_frames[row])] += step.kind == "images"
    for batch in islice(iter(data.loader_from(0)), 6):
        shapes.add((batch.is_images, tuple(batch.unpack().video.shape)))
    assert shapes == {(False, (2, 4, 3, 32, 32)), (True, (2, 3, 3, 32, 32))}
    assert all(lengths.values())


def test_a_root_without_a_clip_long_enough_gives_none(
    roots: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = data_for(roots, weights=[1.0, 1.0, 2.0])
    assert data.num_clips == 6
    assert f"{roots[2]} has no clips of 4 frames" in caplog.text


def test_one_root_with_val_shards_is_enough_and_none_is_one_sentence_with_all_roots(
    roots: list[str], tmp_path: Path
) -> None:
    held = str(write_shards(tmp_path / "held", {"train": 1, "val": 2}, num_frames=6))
    data = data_for([*roots, held], num_validation_clips=2)
    assert [batch.keys for batch in data.val_dataloader()] == [["val-000"], ["val-001"]]
    named = f"{', '.join(map(re.escape, roots))}: no shards/val-"
    with pytest.raises(DataError, match=named + r".*split: val.*num_validation_clips=0"):
        data_for(roots, num_validation_clips=2)


def test_clips_go_to_the_size_nearest_in_aspect_and_are_not_squashed(roots: list[str]) -> None:
    assert nearest_size(512, 384, [(64, 64), (64, 48), (48, 64)]) == (64, 48)
    assert nearest_size(512, 512, [(64, 48), (64, 64), (128, 128)]) == (128, 128)
    data = data_for(roots[:2], buckets=[[32, 32], [64, 48], [32, 64]])
    assert {stream.size for stream in data.dataset().streams} == {(64, 48)}  # all are 128 x 96
    batch = next(iter(data.loader_from(0)))
    assert batch.unpack().video.shape == (1, 4, 3, 64, 48)


def test_a_single_frame_is_never_the_one_the_garment_was_cut_from() -> None:
    random = np.random.default_rng(0)
    drawn = [choose_frames(5, 1, random, garment_frame=2) for _ in range(200)]
    assert {frame for frames in drawn for frame in frames} == {0, 1, 3, 4}
    assert choose_frames(1, 1, random, garment_frame=0) == [0]


def test_single_frames_of_a_clip_differ_as_long_as_it_has_enough() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        assert sorted(choose_frames(5, 4, random, garment_frame=2)) == [0, 1, 3, 4]
    assert set(choose_frames(3, 4, random, garment_frame=1)) <= {0, 2}
    assert choose_frames(1, 3, random, garment_frame=0) == [0, 0, 0]


def test_flips_are_off_by_default_and_mirror_the_share_that_is_asked_for(roots: list[str]) -> None:
    plain, turned = data_for(roots[:1]), data_for(roots[:1], flip=1.0)
    left = next(iter(plain.loader_from(0))).unpack()
    right = next(iter(turned.loader_from(0))).unpack()
    assert (left.video.flip(-1) - right.video).abs().max() < 0.02
    draws = [data_for(roots[:1], flip=0.3).dataset().draw(n, "clips", _clip()).mirror
             for n in range(300)]  # fmt: skip
    assert np.mean(draws) == pytest.approx(0.3, abs=0.08)


def _clip():
    from datasets.shards import IndexedSample

    record = {"num_frames": 6, "garment_frame": 0}
    return IndexedSample(key="x", shard=Path("x"), members={}, record=record)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weights": [1.0]}, "weights has 1 numbers for 2 roots"),
        ({"weights": [0.0, 0.0]}, "must not be negative, nor all 0"),
        ({"buckets": [[30, 32]]}, "multiples of 8"),
        ({"num_frames": 1, "image_share": 0.5}, "has no effect"),
        ({"latents": "auto", "recolour": 0.5}, "recolour = 0.5 changes pixels"),
        ({"latents": "auto", "flip": 0.5}, "flip = 0.5 changes pixels"),
        ({"latent_dtype": "bfloat16"}, "float16, float32"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DataConfig(roots=["a", "b"], **settings)
