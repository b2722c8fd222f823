"""Settings that make a run fit the available memory, cheapest first."""

from collections.abc import Iterator
from typing import Any

from configs.loading import from_plain, to_plain
from models.acceleration import parse_checkpointing
from training.config import TrainConfig
from training.planning.memory import Memory, estimate_memory

Changes = dict[str, Any]
"""Dotted keys and their new values."""

FEWEST_FRAMES = 4
"""Shorter windows teach little about motion."""


def with_changes(config: TrainConfig, changes: Changes) -> TrainConfig:
    """The same run with some settings changed."""
    values = to_plain(config)
    for key, value in changes.items():
        *sections, leaf = key.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[leaf] = value
    return from_plain(TrainConfig, values, where=" ".join(words(changes)))


def words(changes: Changes) -> list[str]:
    """The changes as command-line overrides."""
    return [f"{key}={value}" for key, value in changes.items()]


def find_fit(config: TrainConfig, available: float) -> tuple[Changes, Memory]:
    """Changes that make a run fit a GPU, and the estimate with them.

    Recomputation and rounding of frozen weights change no result; next come changes that cost time
    (the average on the CPU) or a little precision (8-bit states), then what is trained (preset
    figure), and last the data of a step: smaller batches, fewer frames. Each is kept if it helps;
    at the end unneeded ones are reverted, the most costly first.

    Args:
        config: the run.
        available: bytes of the device.

    Returns:
        No changes if it fits already. If nothing suffices, the changes that need least memory.
    """
    chosen: Changes = {}
    memory = estimate_memory(config)
    for changes in _candidates(config):
        if memory.needed <= available:
            break
        tried = estimate_memory(with_changes(config, {**chosen, **changes}))
        if tried.needed < memory.needed:
            chosen, memory = {**chosen, **changes}, tried
    if memory.needed > available:
        return chosen, memory
    for key in reversed(list(chosen)):
        fewer = {name: value for name, value in chosen.items() if name != key}
        if key == "trainer.accumulate":
            continue  # goes with the batch
        if key == "data.batch_size":
            fewer.pop("trainer.accumulate", None)
        tried = estimate_memory(with_changes(config, fewer))
        if tried.needed <= available:
            chosen, memory = fewer, tried
    return chosen, memory


def _candidates(config: TrainConfig) -> Iterator[Changes]:
    """Changes in the order they are tried; a later one of the same key replaces the earlier."""
    machine, data = config.trainer, config.data
    every = parse_checkpointing(machine.activation_checkpointing)
    if every == 0:
        yield {"trainer.activation_checkpointing": "every_2"}
    if every != 1:
        yield {"trainer.activation_checkpointing": "blocks"}
    if machine.precision == "bf16-mixed" and machine.frozen_dtype == "float32":
        yield {"trainer.frozen_dtype": "bfloat16"}
    if config.ema.enabled and config.ema.device == "auto":
        yield {"ema.device": "cpu"}
    if config.optimizer.states == "float32":
        yield {"optimizer.states": "8bit"}
    follows_preset = config.freeze.preset == "article" and not config.lora.rank
    if follows_preset and config.stage in ("stage2", "stage3"):
        yield {"freeze.preset": "figure"}
    batch, accumulate = data.batch_size, machine.accumulate
    while batch > 1 and batch % 2 == 0:
        batch, accumulate = batch // 2, accumulate * 2
        yield {"data.batch_size": batch, "trainer.accumulate": accumulate}
    frames = data.num_frames
    while frames // 2 >= FEWEST_FRAMES:
        frames //= 2
        yield {"data.num_frames": frames}
