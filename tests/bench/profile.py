"""``make profile``: where the time of a training step goes, and a trace for chrome://tracing.

python -m tests.bench.profile [--device cpu|cuda] [--size toy|small|xl] [--steps 3] [--out DIR]
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from models.acceleration import checkpoint_blocks
from tests.bench.cases import SIZES, build_system_of, learn_as_stage3
from tests.bench.device import training_step


def arguments(argv: list[str]) -> argparse.Namespace:
    """What was typed; exits with 2 if it is not understood."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--size", choices=sorted(SIZES), help="default: xl on cuda, small on cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--checkpoint", action="store_true", help="recompute every block")
    parser.add_argument("--out", type=Path, help="default runs/profile/DATE")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    given = arguments(argv)
    cuda = torch.cuda.is_available()
    device = torch.device(given.device or ("cuda" if cuda else "cpu"))
    if device.type == "cuda" and not cuda:
        print("error: --device cuda, but torch finds no CUDA device here", file=sys.stderr)
        return 2
    size = SIZES[given.size or ("xl" if device.type == "cuda" else "small")]
    out = given.out or Path("runs/profile") / datetime.now(UTC).date().isoformat()

    network = build_system_of(size, device).network
    learn_as_stage3(network)
    checkpoint_blocks(network, int(given.checkpoint))
    step = training_step(network, size, device)
    step()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=activities, record_shapes=True) as found:
        for _ in range(given.steps):
            step()
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    table = found.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=50)
    print(f"{given.steps} training steps, {size.name} on {device.type}")
    print(table)
    out.mkdir(parents=True, exist_ok=True)
    name = f"{size.name}-{device.type}"
    (out / f"{name}.txt").write_text(table + "\n", encoding="utf-8")
    found.export_chrome_trace(str(out / f"{name}.json"))
    print(f"trace: {out / name}.json (chrome://tracing, or ui.perfetto.dev)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
