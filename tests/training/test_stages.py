"""After a few steps of each stage and preset: what learns has moved, what is frozen has not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.checkpoints.init_from import start_from
from training.config import TrainConfig
from training.fit import fit
from training.report import draw_curves


def shaken(config: TrainConfig, path: Path) -> None:
    """A start checkpoint without zeros: behind a zero layer nothing moves in the first steps."""
    from configs.loading import to_plain
    from models.system import build_system

    torch.manual_seed(1)
    network = build_system(config.system).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    content = {"state_dict": state, "system": to_plain(config.system), "global_step": 0}
    torch.save(content, path)


STAGES = [
    ("pretrain", "article"), ("stage1", "article"), ("stage2", "article"), ("stage2", "figure"),
    ("stage3", "article"), ("stage3", "figure"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "preset"), STAGES)
def test_what_learns_moves_and_what_is_frozen_stays(
    tiny: Callable[..., TrainConfig], tmp_path: Path, stage: str, preset: str
) -> None:
    frames = 4 if stage == "stage3" else 1
    words = [f"stage={stage}", f"freeze.preset={preset}", f"data.num_frames={frames}"]
    start = tmp_path / "start.ckpt"
    config = tiny(*words, f"init_from={start}", "objective.drop_probability=0")
    shaken(config, start)
    module = fit(config, Path("tiny.yaml"))
    before = torch.load(start, weights_only=True)["state_dict"]
    learning = set(module.learning)
    for name, parameter in module.network.named_parameters():
        moved = not torch.equal(parameter.detach(), before[f"network.{name}"])
        assert moved == (name in learning), name
    in_optimizer = sum(p.numel() for g in module.optimizers().param_groups for p in g["params"])  # type: ignore[union-attr]
    assert in_optimizer == sum(
        p.numel() for name, p in module.network.named_parameters() if name in learning
    )


def test_the_stages_run_one_after_the_other_each_from_the_one_before(
    tiny: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: str | None = None
    for stage in ("pretrain", "stage1", "stage2", "stage3"):
        start = [f"init_from={tmp_path}/runs/{before}/checkpoints/last"] if before else []
        frames = 4 if stage == "stage3" else 1
        config = tiny(f"stage={stage}", f"name={stage}", f"data.num_frames={frames}", *start)
        if stage == "stage3":
            monkeypatch.setattr("training.report.draw_curves", draw_curves)
        module = fit(config, Path("tiny.yaml"))
        before = stage
    run = tmp_path / "runs" / "stage3"
    assert {file.name for file in run.iterdir()} >= {"config.yaml", "checkpoints", "report.html"}
    page = (run / "report.html").read_text()
    assert len(page.partition('alt="curves of the run"')[2].partition(">")[0]) > 50_000
    fresh = type(module.network)(module.network.config)
    start_from(fresh, run / "checkpoints" / "last.ckpt", "raw")
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, module.network.state_dict()[name]), name


def test_the_first_network_of_a_stage_predicts_as_the_one_before_did(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    from models.conditions import Conditions

    before = fit(tiny("name=pretrain"), Path("tiny.yaml"))
    after = type(before.network)(before.network.config)
    start_from(after, tmp_path / "runs" / "pretrain" / "checkpoints" / "last.ckpt", "raw")
    latents, timesteps = torch.randn(1, 4, 2, 4, 4), torch.tensor([300])
    raw, _ = before.system.captions(1)
    caption = after.encode_caption(raw)
    garment = after.encode_garment(torch.randn(1, 4, 4, 4), caption)
    control = torch.randn(1, 9, 2, 4, 4)
    bare = before.network(latents, timesteps, Conditions(caption=caption))
    dressed = after(
        latents, timesteps, Conditions(caption=caption, garment=garment, control=control)
    )
    assert torch.equal(bare, dressed)
    source = after.denoiser.blocks[0].attn.qkv.weight
    assert torch.equal(after.control.blocks[0].attn.qkv.weight, source)


def test_networks_that_a_run_did_not_use_are_copied_from_its_averaged_trunk_too(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    before = fit(tiny("name=pretrain"), Path("tiny.yaml"))
    after = type(before.network)(before.network.config)
    start_from(after, tmp_path / "runs" / "pretrain" / "checkpoints" / "last.ckpt", "ema")
    for part in (after.garment, after.control):
        source = after.denoiser.blocks[0].attn.qkv.weight
        assert torch.equal(part.blocks[0].attn.qkv.weight, source)
