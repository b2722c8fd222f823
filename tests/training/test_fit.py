"""Runs that are stopped, refused or damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from configs.errors import ConfigError, DataError
from tests.shard_fixtures import write_shards
from tests.warm import AS_MODULE, WarmPython
from training import fit as program
from training.checkpoints.init_from import start_from
from training.config import TrainConfig
from training.fit import fit, main
from training.report import read_scalars

PATH = Path("tiny.yaml")
CLIPS = ["stage=stage3", "data.num_frames=4", "trainer.accumulate=2"]


def curve(folder: Path, tag: str = "loss/train") -> dict[int, float]:
    steps, values = read_scalars(folder)[tag]
    return dict(zip(steps, values, strict=True))


def states(file: Path) -> dict[str, torch.Tensor]:
    content = torch.load(file, weights_only=True)
    ema = {f"ema.{name}": value for name, value in content["ema"].items()}
    return {**content["state_dict"], **ema}


def test_a_stopped_run_goes_on_with_the_losses_and_weights_of_an_unbroken_one(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny("name=whole", *CLIPS, max_steps=6), PATH)
    fit(tiny("name=broken", *CLIPS, max_steps=3), PATH)
    fit(tiny("name=broken", *CLIPS, "data.num_workers=1", max_steps=6), PATH)
    runs = tmp_path / "runs"
    whole, broken = curve(runs / "whole"), curve(runs / "broken")
    assert len(whole) == 6
    assert whole == broken
    left = states(runs / "whole" / "checkpoints" / "last.ckpt")
    right = states(runs / "broken" / "checkpoints" / "last.ckpt")
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    drawn = [
        torch.load(runs / name / "checkpoints" / "last.ckpt", weights_only=True)["random_states"]
        for name in ("whole", "broken")
    ]
    assert torch.equal(drawn[0][0]["torch"], drawn[1][0]["torch"])


KILLED = """
import os, signal, sys
from lightning import Callback
from pathlib import Path
import training.fit as program
from configs.loading import load_config
from training.callbacks.progress import StepProgress

class Killed(StepProgress):
    def on_train_batch_end(self, trainer, *rest, **named):
        super().on_train_batch_end(trainer, *rest, **named)
        if trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

program.StepProgress = Killed
program.main(sys.argv[1:])
"""


def test_a_run_killed_between_checkpoints_repeats_the_lost_steps_exactly(
    tiny: Callable[..., TrainConfig], tmp_path: Path, clips_root: Path, warm_python: WarmPython
) -> None:
    shared = [*CLIPS, f"data.roots=[{clips_root}]", f"runs={tmp_path}/runs", "max_steps=6",
              "trainer.checkpoint_every_steps=3"]  # fmt: skip
    fit(tiny("name=whole", *shared), PATH)
    words = [str(tmp_path / "tiny.yaml"), "name=killed", *shared]
    run = warm_python.run(KILLED, words, tmp_path)
    assert run.returncode == -9, run.stderr
    folder = tmp_path / "runs" / "killed"
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    fit(tiny("name=killed", *shared, "data.num_workers=2"), PATH)
    assert curve(folder) == curve(tmp_path / "runs" / "whole")
    left = states(tmp_path / "runs" / "whole" / "checkpoints" / "last.ckpt")
    right = states(folder / "checkpoints" / "last.ckpt")
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_misspelt_learning_rate_is_one_line_that_suggests_lr(
    tmp_path: Path, warm_python: WarmPython
) -> None:
    words = ["training.fit", "configs/stage3.yaml", "optimizer.lrr=1"]
    result = warm_python.run(AS_MODULE, words, tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert "optimizer.lrr" in lines[0]
    assert "'optimizer.lr'" in lines[0]


def test_the_order_of_callbacks_changes_neither_log_nor_checkpoint(
    tiny: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*CLIPS, "trainer.log_every_steps=2", "validation.every_steps=2",
             "data.num_validation_clips=1", "trainer.checkpoint_every_steps=2"]  # fmt: skip
    fit(tiny("name=forwards", *words), PATH)
    ordered = program.build_callbacks
    monkeypatch.setattr(program, "build_callbacks", lambda *given: ordered(*given)[::-1])
    fit(tiny("name=backwards", *words), PATH)
    runs = [tmp_path / "runs" / name for name in ("forwards", "backwards")]
    first, second = (read_scalars(folder) for folder in runs)
    assert first.keys() == second.keys()
    assert {"data/swap_none", "validation/ssim", "skipped_steps", "time/step_s"} <= first.keys()
    for tag in first:
        if not tag.startswith(("time/", "memory/", "data/clips_per_s")):
            assert first[tag] == second[tag], tag
    left, right = (states(folder / "checkpoints" / "best.ckpt") for folder in runs)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_finished_run_trains_no_further(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    fit(tiny(), PATH)
    file = tmp_path / "runs" / "tiny" / "checkpoints" / "last.ckpt"
    written = file.stat().st_mtime_ns
    fit(tiny(), PATH)
    assert file.stat().st_mtime_ns == written


def test_a_folder_of_another_run_is_not_overwritten(tiny: Callable[..., TrainConfig]) -> None:
    fit(tiny(), PATH)
    with pytest.raises(ConfigError, match=r"optimizer\.lr = 0\.001, now it is 0\.002"):
        fit(tiny("optimizer.lr=0.002"), PATH)
    with pytest.raises(ConfigError, match="resume is never"):
        fit(tiny("resume=never"), PATH)


def test_one_clip_can_be_learned_by_heart(tiny: Callable[..., TrainConfig], tmp_path: Path) -> None:
    root = write_shards(tmp_path / "one", {"train": 1, "val": 1}, num_frames=2)
    words = ["data.num_frames=2", "system.num_frames=2", "optimizer.lr=3e-3", "data.batch_size=4",
             "objective.vlb_weight=0", "objective.drop_probability=0", "stage=stage3",
             "freeze.preset=own", "freeze.learn=['**']", "optimizer.schedule=cosine",
             "system.network.trunk.dim=64", "system.network.trunk.depth=2",
             "data.swapping.none=1", "data.swapping.first=0", "data.swapping.first_last=0",
             "data.swapping.first_k=0", "data.swapping.scattered=0"]  # fmt: skip
    words += [f"data.roots=[{root}]", "trainer.log_every_steps=5"]
    config = tiny("name=overfit", *words, max_steps=120)
    fit(config, PATH)
    losses = list(curve(Path(config.runs) / "overfit", "loss/mse").values())
    start, end = losses[0], sum(losses[-8:]) / 8
    assert end < start / 10, (start, end)


def test_validation_writes_pictures_and_ssim_and_leaves_the_weights_alone(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny("name=plain", *CLIPS), PATH)
    fit(tiny("name=looked", *CLIPS, "validation.every_steps=2"), PATH)
    runs = tmp_path / "runs"
    assert sorted(curve(runs / "looked", "validation/ssim")) == [2, 4]
    assert len(list((runs / "looked" / "samples").glob("*.png"))) == 2
    assert curve(runs / "looked") == curve(runs / "plain")


@pytest.mark.parametrize("words", [(), ("validation.every_steps=1", "data.num_validation_clips=0")])
def test_a_folder_without_val_shards_trains_where_nothing_is_validated(
    tiny: Callable[..., TrainConfig], tmp_path: Path, words: tuple[str, ...]
) -> None:
    root = write_shards(tmp_path / "dance", {"train": 2}, num_frames=8)
    config = tiny(f"data.roots=[{root}]", "max_steps=2", *words)
    assert fit(config, Path("tiny.yaml")).global_step == 2
    asked = tiny(f"data.roots=[{root}]", "name=asked", "validation.every_steps=1")
    with pytest.raises(DataError, match=r"no shards/val-\*\.tar.*val_share.*split: val.*clips=0"):
        fit(asked, Path("tiny.yaml"))


def test_losses_that_are_not_finite_are_skipped_named_and_end_the_run_when_they_go_on(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    start = tmp_path / "start.ckpt"
    module = fit(tiny("name=good"), PATH)
    content = torch.load(tmp_path / "runs/good/checkpoints/last.ckpt", weights_only=True)
    content["state_dict"]["network.denoiser.final_layer.linear.bias"][0] = float("nan")
    content["ema"] = None
    torch.save(content, start)
    assert module.learning
    with pytest.raises(ValueError, match="3 steps in a row were not finite"):
        fit(tiny("name=bad", f"init_from={start}", "trainer.max_skipped=3"), PATH)
    lines = (tmp_path / "runs" / "bad" / "skipped.txt").read_text().splitlines()
    assert len(lines) == 3
    assert all("train-00" in line for line in lines)


def test_stage_2_without_stage_1_names_the_file_and_the_command(
    tiny: Callable[..., TrainConfig],
) -> None:
    config = tiny("stage=stage2", "init_from=runs/nowhere/checkpoints/last")
    with pytest.raises(
        DataError, match=r"nowhere/checkpoints/last, which does not exist; run `make train-stage1"
    ):
        fit(config, Path("configs/stage2.yaml"))


def test_a_checkpoint_with_other_keys_names_them(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny("name=before"), PATH)
    file = tmp_path / "runs" / "before" / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    state = content["state_dict"]
    state["network.denoiser.blocks.0.attn.query"] = state.pop(
        "network.denoiser.blocks.0.attn.qkv.weight"
    )
    content["ema"] = None
    torch.save(content, file)
    with pytest.raises(ConfigError, match=r"blocks\.0\.attn\.qkv\.weight.*blocks\.0\.attn\.query"):
        fit(tiny("stage=stage1", "name=after", f"init_from={file}"), PATH)


def test_checkpoints_load_with_weights_only_and_hold_the_average(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    module = fit(tiny(), PATH)
    content = torch.load(tmp_path / "runs/tiny/checkpoints/last.ckpt", weights_only=True)
    assert content["system"]["network"]["trunk"]["dim"] == 32
    assert not [name for name in content["state_dict"] if not name.startswith("network.denoiser.")]
    name = "denoiser.final_layer.linear.weight"
    assert not torch.equal(content["ema"][name], content["state_dict"][f"network.{name}"])
    fresh = type(module.network)(module.network.config)
    start_from(fresh, tmp_path / "runs/tiny/checkpoints/last.ckpt", "ema")
    assert torch.equal(fresh.state_dict()[name], content["ema"][name])


def test_an_unknown_key_is_one_line_that_suggests_the_right_one() -> None:
    with pytest.raises(
        ConfigError, match=r"'optimizer\.lrr' does not exist; did you mean 'optimizer\.lr'"
    ):
        main(["configs/stage3.yaml", "optimizer.lrr=1"])


@pytest.mark.parametrize("stage", ["pretrain", "stage1", "stage2", "stage3"])
def test_the_stage_files_load_and_the_large_ones_name_the_small(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from configs.loading import load_config

    small = load_config(TrainConfig, f"configs/demo/{stage}.yaml")
    assert (small.stage, small.system.height, small.system.width) == (stage, 128, 96)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"CONFIG=configs/demo/{stage}.yaml fits"):
        main([f"configs/{stage}.yaml"])


def test_an_average_on_the_cpu_is_the_same_average(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    fit(tiny("name=beside", *CLIPS, "validation.every_steps=2"), PATH)
    fit(tiny("name=apart", *CLIPS, "validation.every_steps=2", "ema.device=cpu"), PATH)
    left, right = (
        states(tmp_path / "runs" / name / "checkpoints/last.ckpt") for name in ("beside", "apart")
    )
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_recomputed_blocks_change_no_loss_and_no_weight(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    for kind in ("none", "blocks", "every_2"):
        words = [*CLIPS, f"trainer.activation_checkpointing={kind}", "max_steps=2"]
        fit(tiny(f"name={kind}", *words), PATH)
    plain = states(tmp_path / "runs" / "none" / "checkpoints/last.ckpt")
    for kind in ("blocks", "every_2"):
        other = states(tmp_path / "runs" / kind / "checkpoints/last.ckpt")
        assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_gradients_are_dropped_once_a_step_has_used_them(
    tiny: Callable[..., TrainConfig],
) -> None:
    module = fit(tiny("name=free", *CLIPS, "max_steps=2"), PATH)
    assert all(parameter.grad is None for parameter in module.network.parameters())
