"""A checkpoint belongs to the learned codec whose latents it was trained on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError, DataError
from inference.sampling.painter import load_system
from models.weights.files import file_sha256
from tests.codec_fixtures import write_small_codec
from training.config import TrainConfig
from training.fit import fit

PATH = Path("tiny.yaml")
Tiny = Callable[..., TrainConfig]


@pytest.fixture
def codec(tmp_path: Path) -> Path:
    return write_small_codec(tmp_path / "small.safetensors")


@pytest.fixture
def words(codec: Path) -> list[str]:
    return ["system.codec.kind=learned", f"system.codec.path={codec}"]


def checkpoint(tmp_path: Path, name: str = "tiny") -> Path:
    return tmp_path / "runs" / name / "checkpoints" / "last.ckpt"


def test_a_checkpoint_keeps_the_hash_of_its_codec_and_is_read_with_that_file_only(
    tiny: Tiny, tmp_path: Path, codec: Path, words: list[str]
) -> None:
    fit(tiny(*words), PATH)
    content = torch.load(checkpoint(tmp_path), weights_only=True)
    assert content["system"]["codec"]["sha256"] == file_sha256(codec)
    loaded = load_system(checkpoint(tmp_path), any_stage=True)
    assert loaded.system.codec.name == "learned4"
    write_small_codec(codec, mean=0.2)
    with pytest.raises(DataError, match="the latents were made with the codec of sha256") as told:
        load_system(checkpoint(tmp_path), any_stage=True)
    assert "\n" not in str(told.value)


def test_a_run_is_not_resumed_with_another_codec(
    tiny: Tiny, tmp_path: Path, codec: Path, words: list[str]
) -> None:
    fit(tiny(*words, max_steps=2), PATH)
    write_small_codec(codec, mean=0.2)
    with pytest.raises(ConfigError, match=r"codec\.sha256"):
        fit(tiny(*words), PATH)


def test_a_stage_does_not_start_from_weights_that_saw_another_codec(
    tiny: Tiny, tmp_path: Path, codec: Path, words: list[str]
) -> None:
    fit(tiny(max_steps=1), PATH)
    after = ("stage=stage1", "name=after", f"init_from={checkpoint(tmp_path)}")
    with pytest.raises(ConfigError, match=r"was trained with codec\.kind=dct, now learned"):
        fit(tiny(*words, *after), PATH)
    fit(tiny(*words, "name=before", max_steps=1), PATH)
    after = ("stage=stage1", "name=after", f"init_from={checkpoint(tmp_path, 'before')}")
    fit(tiny(*words, *after, max_steps=1), PATH)
    write_small_codec(codec, mean=0.2)
    with pytest.raises(ConfigError, match=r"was trained with codec\.sha256=\w+, now \w+"):
        fit(tiny(*words, "name=again", *after[:1], *after[2:], max_steps=1), PATH)
