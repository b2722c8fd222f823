from pathlib import Path

import pytest
import torch
from torch import nn

from configs.errors import ConfigError
from training import optimizers
from training.optimizers import (
    BYTES_OF_STATES,
    OptimizerConfig,
    build_optimizer,
    build_schedule,
    lr_share,
)


def test_frozen_parameters_are_not_in_the_optimizer_and_vectors_do_not_decay() -> None:
    layer, frozen = nn.Linear(3, 2), nn.Linear(2, 2).requires_grad_(False)
    network = nn.Sequential(layer, frozen)
    optimizer = build_optimizer(OptimizerConfig(weight_decay=0.1), network.named_parameters())
    groups = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert [p.shape for p in groups[0.1]] == [layer.weight.shape]
    assert [p.shape for p in groups[0.0]] == [layer.bias.shape]


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    config = OptimizerConfig(warmup_steps=4)
    shares = [lr_share(config, step, 100) for step in range(6)]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_cosine_ends_at_its_smallest_share_and_passes_the_middle_half_way() -> None:
    config = OptimizerConfig(schedule="cosine", warmup_steps=10, min_lr_share=0.2)
    assert lr_share(config, 60, 110) == pytest.approx(0.6)
    assert lr_share(config, 110, 110) == pytest.approx(0.2)
    assert lr_share(config, 500, 110) == pytest.approx(0.2)


def test_the_scheduler_sets_the_rate_of_every_group() -> None:
    optimizer = build_optimizer(
        OptimizerConfig(lr=1.0, warmup_steps=1), nn.Linear(2, 2).named_parameters()
    )
    schedule = build_schedule(OptimizerConfig(lr=1.0, warmup_steps=1), optimizer, 10)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]
    assert isinstance(optimizer, torch.optim.AdamW)


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr", 0.0), ("betas", [0.9]), ("schedule", "linear"), ("clip", -1.0), ("min_lr_share", 2.0)],
)
def test_settings_out_of_range_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        OptimizerConfig(**{key: value})  # type: ignore[arg-type]


def test_eight_bit_states_without_bitsandbytes_name_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimizers, "find_spec", lambda _: None)
    layer = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="make setup-lowmem"):
        build_optimizer(OptimizerConfig(states="8bit"), layer.named_parameters())


def learned(states: str) -> tuple[float, torch.optim.Optimizer]:
    """The loss after some steps of a small regression, and the optimizer."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))
    optimizer = build_optimizer(OptimizerConfig(lr=1e-3, states=states), network.named_parameters())
    given = torch.randn(32, 64)
    loss = torch.tensor(0.0)
    for _ in range(30):
        optimizer.zero_grad()
        loss = (network(given) - given.roll(1, dims=1)).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item(), optimizer


def test_eight_bit_states_learn_as_float32_ones_and_take_what_is_said(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    whole, _ = learned("float32")
    small, optimizer = learned("8bit")
    assert small == pytest.approx(whole, rel=0.03)
    weight = optimizer.param_groups[0]["params"][0]
    held = [value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor)]
    taken = sum(value.numel() * value.element_size() for value in held)
    table = 2 * 256 * 4  # of the 256 values, once a tensor
    assert taken - table == pytest.approx(BYTES_OF_STATES["8bit"] * weight.numel(), rel=0.01)
    torch.save(optimizer.state_dict(), tmp_path / "states.pt")
    optimizer.load_state_dict(torch.load(tmp_path / "states.pt", weights_only=True))
    optimizer.step()
