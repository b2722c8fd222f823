"""Which checkpoints are there, which one is taken, which are kept."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError, DataError
from tests.training.test_fit import CLIPS, PATH, curve, states
from training.checkpoints.files import (
    list_steps,
    newest_readable,
    prune,
    step_file,
    write_scores,
)
from training.config import TrainConfig
from training.fit import fit


def written(folder: Path, *steps: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        torch.save({"step": torch.full((1000,), step)}, step_file(folder, step))


def damage(path: Path) -> None:
    """Change one byte in the middle: the file's length and index stay right."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", ["cut short", "one byte changed"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_taken(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, 100, 200)
    newest = step_file(tmp_path, 200)
    if kind == "cut short":
        newest.write_bytes(newest.read_bytes()[:-2000])
    else:
        damage(newest)
    with caplog.at_level(logging.WARNING):
        assert newest_readable(tmp_path) == step_file(tmp_path, 100)
    assert "step-00000200.ckpt is" in caplog.text
    assert "trying an older checkpoint" in caplog.text


def test_the_newest_and_the_best_are_kept_and_what_was_never_finished_goes(tmp_path: Path) -> None:
    written(tmp_path, 100, 200, 300, 400, 500)
    (tmp_path / "step-00000600.ckpt.part").write_bytes(b"half")
    write_scores(tmp_path, "ssim", {100: 0.5, 200: 0.9, 300: 0.7})
    prune(tmp_path, keep_last=2, keep_best=1)
    assert list(list_steps(tmp_path)) == [500, 400, 200]
    assert (tmp_path / "best.ckpt").resolve() == step_file(tmp_path, 200).resolve()
    assert not list(tmp_path.glob("*.part"))


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_exactly(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    words = [*CLIPS, "trainer.checkpoint_every_steps=2"]
    fit(tiny("name=whole", *words, max_steps=6), PATH)
    fit(tiny("name=hurt", *words, max_steps=4), PATH)
    checkpoints = tmp_path / "runs" / "hurt" / "checkpoints"
    damage(step_file(checkpoints, 4))
    fit(tiny("name=hurt", *words, max_steps=6), PATH)
    assert list(list_steps(checkpoints)) == [6, 4]
    assert curve(tmp_path / "runs" / "hurt") == curve(tmp_path / "runs" / "whole")
    left, right = (
        states(tmp_path / "runs" / name / "checkpoints" / "last.ckpt") for name in ("whole", "hurt")
    )
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_none_of_whose_checkpoints_can_be_read_is_not_begun_anew(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(max_steps=2), PATH)
    damage(step_file(tmp_path / "runs" / "tiny" / "checkpoints", 2))
    with pytest.raises(DataError, match=r"no checkpoint in .* can be read"):
        fit(tiny(max_steps=4), PATH)


def test_a_global_batch_of_another_size_is_refused_and_one_shared_otherwise_is_not(
    tiny: Callable[..., TrainConfig],
) -> None:
    fit(tiny("data.batch_size=2", "trainer.accumulate=2", max_steps=1), PATH)
    with pytest.raises(ConfigError, match=r"trainer\.global_batch=4: a global batch = 4, now it"):
        fit(tiny("data.batch_size=2", max_steps=2), PATH)
    fit(tiny("data.batch_size=1", "trainer.global_batch=4", max_steps=2), PATH)


def test_a_checkpoint_says_where_it_comes_from(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny(max_steps=2), PATH)
    content = torch.load(tmp_path / "runs/tiny/checkpoints/last.ckpt", weights_only=True)
    assert len(content["code"]["commit"].rstrip("+")) == 40
    assert content["position"] == {"step": 2, "global_batch": 2}
    assert content["config"]["optimizer"]["lr"] == 1e-3
    assert len(content["random_states"]) == 1


def test_the_best_checkpoint_is_the_one_that_validation_liked(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = tiny(*CLIPS, "validation.every_steps=1", "trainer.keep_last=1", max_steps=4)
    fit(config, PATH)
    folder = tmp_path / "runs" / "tiny"
    scores = curve(folder, "validation/ssim")
    best = max(scores, key=lambda step: scores[step])
    assert (folder / "checkpoints" / "best.ckpt").resolve().name == f"step-{best:08d}.ckpt"
    assert set(list_steps(folder / "checkpoints")) == {best, 4}
