"""A real training run, measured: clips a second, memory, MFU, share of time spent on data.

    python -m tests.bench.training --root data/dance [--config configs/recipes/80gb.yaml]
                                   [--steps 30] [--warmup 5] [--out FILE] [key=value ...]

Everything is as in ``make train-stage3``, codec, loader, optimizer, average and log among it, but
that no weights are started from and no checkpoint is written. Figures are medians over the steps
after the warm-up. MFU is useful operations of the networks and the codec a second, over the rate of
a large square matrix product measured here, in the run's precision.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

import training.fit as program
from configs.errors import UserError
from configs.loading import load_config
from tests.bench.cases import describe_machine
from tests.bench.timing import matmul_rate
from training.callbacks.checkpointing import Checkpoints
from training.config import TrainConfig
from training.plan import step_flops
from training.planning.flops import Flops
from training.report import read_scalars


class NoCheckpoints(Checkpoints):
    """Thirty gigabytes on a disk are no part of a step."""

    def save(self, trainer: Any) -> None:
        """Leave it."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training")
    parser.add_argument("--root", required=True, help="a curated folder")
    parser.add_argument("--config", type=Path, default=Path("configs/recipes/80gb.yaml"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        words = [f"data.roots=[{given.root}]", f"runs={folder}", "name=bench", "init_from=null",
                 f"max_steps={given.warmup + given.steps}", "validation.every_steps=0",
                 "trainer.log_every_steps=1", *given.overrides]  # fmt: skip
        program.Checkpoints = NoCheckpoints
        try:
            config = load_config(TrainConfig, given.config, words)
            module = program.fit(config, given.config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        curves = read_scalars(Path(folder) / "bench")
    found = measure(module.config, curves, given.warmup, module.device)
    print(json.dumps(found, indent=1))
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(
    config: TrainConfig, curves: dict[str, Any], warmup: int, device: torch.device
) -> dict[str, Any]:
    """Medians of the log after the warm-up, and what share of the machine they are."""
    seconds = {tag: median(values[warmup:]) for tag, (_, values) in curves.items()
               if tag.startswith(("time/", "memory/", "data/clips"))}  # fmt: skip
    half = config.trainer.precision != "32-true"
    rate = matmul_rate(
        device,
        torch.bfloat16 if half else torch.float32,
        8192 if device.type == "cuda" else 1024,
        5,
    )
    flops = sum(step_flops(config).values(), Flops())
    useful = flops.useful * config.trainer.accumulate
    data = sum(curves["time/data_s"][1][warmup:]) / sum(curves["time/step_s"][1][warmup:])
    return {
        "machine": describe_machine(device),
        "config": {"stage": config.stage, "height": config.system.height,
                   "width": config.system.width, "frames": config.data.num_frames,
                   "batch": config.data.batch_size, "accumulate": config.trainer.accumulate,
                   "devices": config.trainer.devices, "precision": config.trainer.precision,
                   "codec": config.system.codec.kind, "dim": config.system.network.trunk.dim,
                   "depth": config.system.network.trunk.depth},
        "steps": len(curves["time/step_s"][1]) - warmup,
        **seconds,
        "share of time waiting for data": data,
        "useful TFLOP a step and device": useful / 1e12,
        "mfu": useful / seconds["time/step_s"] / rate,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
