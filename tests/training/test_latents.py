"""The latent cache: the same training without the codec, whole or refused."""

import json
import logging
import os
import tarfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import ConfigError, DataError
from datasets.loading.collate import PackedBatch
from datasets.loading.datamodule import TryOnData
from datasets.loading.latents import LatentBatch, caches_of
from datasets.shards import scan_shard
from models.codecs.vae import build_codec
from models.system import System, build_system
from tests.codec_fixtures import write_small_codec, write_tiny_vae
from tests.shard_fixtures import write_shards
from training.config import TrainConfig
from training.encoding import EncodedBatch, cache_key, encode_batch
from training.fit import fit
from training.latents import encode_all
from training.report import read_scalars

Tiny = Callable[..., TrainConfig]
CLIPS = ["stage=stage3", "data.num_frames=4", "data.strides=[1,2]", "data.cache_mb=0"]


@pytest.fixture(scope="session")
def tiny_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vae(tmp_path_factory.mktemp("vae") / "tiny-vae")


@pytest.fixture
def codec_words(request: pytest.FixtureRequest, tiny_vae: Path, tmp_path: Path) -> list[str]:
    """Of the codec that a test is run with."""
    kind = getattr(request, "param", "dct")
    if kind == "dct":
        return []
    if kind == "learned":
        file = write_small_codec(tmp_path / "small.safetensors", mean=0.2)
        return ["system.codec.kind=learned", f"system.codec.path={file}"]
    return ["system.codec.kind=kl", f"system.codec.path={tiny_vae}"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A curated folder that a test may add a cache to."""
    return write_shards(tmp_path / "dance", {"train": 4, "val": 1}, num_frames=8)


def encode(config: TrainConfig) -> Path:
    return encode_all(config, build_codec(config.system.codec), cache_key(config))[0]


def loaded(config: TrainConfig) -> TryOnData:
    key = cache_key(config) if config.data.latents else None
    system = config.system
    data = TryOnData(config.data, system.height, system.width, config.seed, 1, key)
    data.setup()
    return data


def encoded(config: TrainConfig, system: System, count: int = 4) -> list[EncodedBatch]:
    found: list[EncodedBatch] = []
    for batch in islice(iter(loaded(config).loader_from(0)), count):
        ready = batch.unpack() if isinstance(batch, PackedBatch) else batch
        assert isinstance(ready, LatentBatch) == (config.data.latents is not None)
        found.append(encode_batch(system, ready))
    return found


def largest_difference(left: list[EncodedBatch], right: list[EncodedBatch]) -> float:
    return max(
        float((getattr(a, name) - getattr(b, name)).abs().max())
        for a, b in zip(left, right, strict=True)
        for name in ("latents", "control", "garment")
    )


@pytest.mark.parametrize("codec_words", ["dct", "learned", "kl"], indirect=True)
def test_windows_out_of_a_cache_equal_windows_encoded_from_pixels_known_frames_too(
    tiny: Tiny, root: Path, codec_words: list[str]
) -> None:
    words = [*CLIPS, *codec_words, f"data.roots=[{root}]", "data.latent_dtype=float32"]
    pixels, cached = tiny(*words), tiny(*words, "data.latents=auto")
    encode(pixels)
    system = build_system(pixels.system)
    by_pixels, by_cache = encoded(pixels, system), encoded(cached, system)
    assert largest_difference(by_pixels, by_cache) < 1e-5
    known = torch.cat([batch.known for batch in islice(iter(loaded(cached).loader_from(0)), 4)])
    assert known.any()
    channels = by_pixels[0].latents.shape[1]
    for batch in by_pixels:  # a known frame's agnostic latents are the video's own
        swapped = ~batch.control[:, -1].flatten(2).any(dim=-1)
        agnostic = batch.control[:, :channels].transpose(1, 2)[swapped]
        assert torch.allclose(agnostic, batch.latents.transpose(1, 2)[swapped], atol=1e-6)


@pytest.mark.parametrize("codec_words", ["dct", "learned", "kl"], indirect=True)
def test_training_on_latents_has_the_losses_of_training_on_pixels_and_asks_no_codec(
    tiny: Tiny, root: Path, codec_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*CLIPS, *codec_words, f"data.roots=[{root}]", "data.latent_dtype=float32"]
    config = tiny("name=pixels", *words)
    encode(config)
    fit(config, Path("tiny.yaml"))
    asked: list[str] = []
    for kind in ("dct.DctCodec", "learned.LearnedCodec", "vae.KlCodec"):
        for name in ("encode", "encode_images", "decode"):
            monkeypatch.setattr(
                f"models.codecs.{kind}.{name}", lambda *_, name=name: asked.append(name)
            )
    cached = tiny("name=latents", *words, "data.latents=auto")
    fit(cached, Path("tiny.yaml"))
    left, right = (
        read_scalars(Path(config.runs) / name)["loss/train"][1] for name in ("pixels", "latents")
    )
    assert not asked
    assert len(left) == 4
    assert left == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize("codec_words", ["kl"], indirect=True)
def test_a_16_bit_cache_rounds_by_a_two_thousandth(
    tiny: Tiny, root: Path, codec_words: list[str]
) -> None:
    words = [*CLIPS, *codec_words, f"data.roots=[{root}]"]
    pixels, cached = tiny(*words), tiny(*words, "data.latents=auto")
    encode(pixels)
    system = build_system(pixels.system)
    for exact, rounded in zip(encoded(pixels, system), encoded(cached, system), strict=True):
        error = (exact.latents - rounded.latents).abs()
        assert float((error / exact.latents.abs().clamp(min=1e-3)).max()) < 2**-10
        assert float(error.max()) > 0


def test_a_cache_of_another_learned_codec_is_refused_by_its_hash(
    tiny: Tiny, root: Path, tmp_path: Path
) -> None:
    file = write_small_codec(tmp_path / "small.safetensors")
    words = ["system.codec.kind=learned", f"system.codec.path={file}", f"data.roots=[{root}]"]
    encode(tiny(*CLIPS, *words))
    loaded(tiny(*CLIPS, *words, "data.latents=auto"))
    write_small_codec(file, mean=0.2)
    with pytest.raises(DataError, match=r"encoded with other settings \(codec\.sha256 \w+, now"):
        loaded(tiny(*CLIPS, *words, "data.latents=auto"))


def test_encoding_goes_on_clip_by_clip_and_ends_with_the_same_bytes(
    tiny: Tiny, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(*CLIPS, f"data.roots=[{root}]")
    folder = encode(config)
    shard = folder / "train-000000.tar"
    whole = shard.read_bytes()
    encode(config)
    assert shard.read_bytes() == whole
    scan = scan_shard(root / "shards/train-000000.tar")
    (folder / "train-000000.source.json").unlink()
    third = scan_shard(shard, ()).samples[2].members["latents.npy"]
    pending = folder / f"train-000000.{scan.content[:12]}.part"
    pending.write_bytes(whole[: third[0] + third[1] // 2])  # killed within the third clip
    shard.unlink()
    seen: list[int] = []
    original = TarSpy.watch(monkeypatch, seen)
    encode(config)
    assert original is not None
    assert shard.read_bytes() == whole
    assert seen == [2]
    assert not list(folder.glob("*.part"))


class TarSpy:
    """Counts the clips that are handed over to be encoded."""

    @staticmethod
    def watch(monkeypatch: pytest.MonkeyPatch, seen: list[int]) -> Any:
        import training.latents as program

        original = program.encode_clips

        def counted(clips: Any, *rest: Any) -> Any:
            seen.append(len(clips))
            return original(clips, *rest)

        monkeypatch.setattr(program, "encode_clips", counted)
        return original


def test_a_stale_or_unfinished_cache_is_refused_by_name(
    tiny: Tiny, root: Path, tmp_path: Path
) -> None:
    words = [*CLIPS, f"data.roots=[{root}]", "data.latents=auto"]
    config = tiny(*words)
    folder = encode(config)
    loaded(config)
    with pytest.raises(DataError, match=rf"{folder.name} was encoded with other settings \(dtype"):
        loaded(tiny(*words, "data.latent_dtype=float32"))
    with pytest.raises(DataError, match=r"sizes \[\[32, 32\]\], now \[\[48, 32\]\]"):
        loaded(tiny(*words, "system.height=48"))
    with pytest.raises(DataError, match=r"elsewhere/dance/dct4-32x32-float16-.* does not exist"):
        loaded(tiny(*words, f"data.latents={tmp_path}/elsewhere"))
    write_shards(root, {"train": 4}, num_frames=8, seed=5)
    with pytest.raises(DataError, match=rf"{folder.name} is stale: train-000000\.tar"):
        loaded(config)
    encode(config)
    loaded(config)
    (folder / "train-000000.source.json").unlink()
    with pytest.raises(DataError, match="is incomplete: 0 of 1 train shards are encoded"):
        loaded(config)


def test_auto_without_a_cache_takes_pixels_and_says_so(
    tiny: Tiny, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = loaded(tiny(*CLIPS, f"data.roots=[{root}]", "data.latents=auto"))
    assert isinstance(next(iter(data.loader_from(0))), PackedBatch)
    assert "the codec encodes in every step" in caplog.text


def test_latents_travel_without_the_clips(tiny: Tiny, root: Path, tmp_path: Path) -> None:
    words = [*CLIPS, f"data.roots=[{root}]", f"data.latents={tmp_path}/cache"]
    config = tiny(*words, "data.num_validation_clips=0")
    encode(config)
    (root / "shards").rename(tmp_path / "gone")
    batch = next(iter(loaded(config).loader_from(0)))
    assert isinstance(batch, LatentBatch)
    assert caches_of(str(root), f"{tmp_path}/cache") == tmp_path / "cache" / "dance"


def test_a_clip_that_cannot_be_encoded_is_named_there_and_in_training(
    tiny: Tiny, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = root / "shards/train-000000.tar"
    offset, size = scan_shard(shard).samples[1].members["iuv.mp4"]
    with shard.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(size))
    words = [*CLIPS, f"data.roots=[{root}]", "data.max_bad_share=0.5"]
    encode(tiny(*words))
    assert "sample 'train-001' is skipped" in caplog.text
    cached, pixels = loaded(tiny(*words, "data.latents=auto")), loaded(tiny(*words))
    keys = [
        [key for batch in islice(iter(data.loader_from(0)), 6) for key in batch.keys]
        for data in (cached, pixels)
    ]
    assert keys[0] == keys[1]
    assert "train-001" not in keys[0]
    assert next(iter(cached.tally.counts)).endswith("sample 'train-001'")


def test_what_a_truncated_shard_lost_is_named_and_counted_and_the_rest_is_encoded(
    tiny: Tiny, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_shards(root, {"train": 4}, num_frames=8)
    whole, shard = root / "shards/train-000000.tar", root / "shards/train-000001.tar"
    shard.write_bytes(whole.read_bytes())
    os.truncate(shard, scan_shard(shard).samples[2].members["mp4"][0] + 100)
    words = [*CLIPS, f"data.roots=[{root}]"]
    with pytest.raises(DataError, match=r"1 of 7 clips cannot be read.*'train-002'"):
        encode(tiny(*words, "data.max_bad_share=0.1"))
    with caplog.at_level(logging.INFO):
        encode(tiny(*words, "data.max_bad_share=0.5"))
        shard.unlink()
        encode(tiny(*words))
    assert "train-000001.tar: sample 'train-002' is skipped" in caplog.text
    assert "2 of 2 shards to encode, 48 frames" in caplog.text
    assert "train-000001.tar: 2 clips" in caplog.text
    assert "0 of 1 shards to encode" in caplog.text


def test_what_changes_pixels_is_refused_before_anything_is_encoded(tiny: Tiny, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"data: recolour = 0\.5 changes pixels"):
        encode(tiny(f"data.roots=[{root}]", "data.recolour=0.5"))


def test_processes_share_out_the_shards(
    tiny: Tiny, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = root / "shards/train-000000.tar"
    os.link(first, root / "shards/train-000001.tar")
    config = tiny(*CLIPS, f"data.roots=[{root}]", "data.latents=auto")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    folder = encode(config)
    assert [path.name for path in folder.glob("*.tar")] == ["train-000001.tar"]
    monkeypatch.setenv("RANK", "0")
    encode(config)
    loaded(config)
    note = json.loads((folder / "cache.json").read_text())
    assert note["shards"] == {"train": ["train-000000.tar", "train-000001.tar"]}
    with tarfile.open(folder / "train-000000.tar") as archive:
        names = archive.getnames()[:4]
    assert names == [f"train-000.{m}" for m in ("latents.npy", "mask.npy", "garment.npy", "json")]
